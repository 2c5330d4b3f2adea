"""Calibrated long-tailed recognition: two-stage training, honest measurement, one recipe for every method."""

__version__ = "0.1.0"
