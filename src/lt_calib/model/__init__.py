"""Backbones (pictures to features) and classifiers (features to logits)."""
