"""Augmentations of a whole batch: ``(images, targets, generator, partner) -> (images, targets)``."""
