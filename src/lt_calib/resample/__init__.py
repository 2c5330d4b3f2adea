"""Resampling, once, before the sampler: ``(images, targets, seed) -> (images, targets)``, by imbalanced-learn."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
