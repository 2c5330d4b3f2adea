"""Class frequencies of the world that predictions are for: named, estimated, and predictions re-weighed to them."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
