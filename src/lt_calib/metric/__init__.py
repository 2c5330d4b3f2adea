"""Metrics: pure functions of predictions and targets. Values are fractions, never percent."""
