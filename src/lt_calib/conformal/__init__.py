"""Prediction sets by split conformal prediction, fitted on the held-out validation part."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
