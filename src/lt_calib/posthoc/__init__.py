"""Post-hoc calibrators: fitted on the held-out validation part, ``logits -> probs``."""
