"""What is computed of predictions beside the metrics themselves: all metrics at once, by class, intervals."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
