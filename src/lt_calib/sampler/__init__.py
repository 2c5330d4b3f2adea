"""Samplers: one epoch's indices from ``(seed, epoch)``, and the class frequencies ``prior`` that they draw."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
