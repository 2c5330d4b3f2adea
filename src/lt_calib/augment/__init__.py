"""Augmentations of a whole batch: ``(images, targets, generator, partner) -> (images, targets)``."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
