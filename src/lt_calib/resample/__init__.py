"""Resampling, once, before the sampler: ``(images, targets, seed) -> (images, targets)``, by imbalanced-learn."""
