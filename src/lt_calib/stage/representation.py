"""Stage 1: the representation."""

from collections.abc import Iterable
from typing import Any

from lt_calib.stage.base import StageModule


class RepresentationModule(StageModule):
    """Stage 1: backbone and classifier are trained together; see :class:`lt_calib.stage.base.StageModule`."""

    stage = 1

    def param_groups(self) -> Iterable[dict[str, Any]]:
        """All parameters, at one learning rate."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]
