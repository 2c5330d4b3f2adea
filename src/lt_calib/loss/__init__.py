"""Losses: ``forward(logits, targets)``, linear in the target."""
