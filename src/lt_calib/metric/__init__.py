"""Metrics: pure functions of predictions and targets. Values are fractions, never percent."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
