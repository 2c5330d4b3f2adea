"""Where a run reports to, beside its own folder."""

from lt_calib.exports import of_room

__getattr__, __all__ = of_room(__name__, __file__)
