"""Samplers: one epoch's indices from ``(seed, epoch)``, and the class frequencies ``prior`` that they draw."""
