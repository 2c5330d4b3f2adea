"""Backbones (pictures to features) and classifiers (features to logits)."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
