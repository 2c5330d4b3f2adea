"""Columns of a table of predictions that say how unknown an image is."""

from collections import deque
from pathlib import Path
from textwrap import fill

from torch import Tensor

from lt_calib.ensemble.average import disagreement
from lt_calib.ensemble.load import Members
from lt_calib.predictor import Predictor
from lt_calib.unknown.of_run import kept_means
from lt_calib.unknown.scores import energy, feature_distance, max_logit

COLUMNS = 79


class Scores:
    """Further cells of each image, higher the less it is like what was trained on; of an average its disagreement.

    Args:
        predictor: A finished run.
        folder: The run's; where class means are kept there, the distance to them is a column.
    """

    def __init__(self, predictor: Predictor, folder: Path) -> None:
        self.of_average = isinstance(predictor.backbone, Members)
        self.means = None if self.of_average else kept_means(folder)
        self.rows: deque[list[float]] = deque()
        self.features: Tensor | None = None
        predictor.backbone.register_forward_hook(self._of_features)
        predictor.classifier.register_forward_hook(self._of_logits)

    def _of_features(self, module: object, given: object, features: Tensor) -> None:
        self.features = features.detach()

    def _of_logits(self, module: object, given: object, logits: Tensor) -> None:
        assert self.features is not None
        if self.of_average:
            columns = [disagreement(self.features)]
        else:
            columns = [max_logit(logits), energy(logits)]
            if self.means is not None:
                columns.append(feature_distance(self.features, *(x.to(logits.device) for x in self.means)))
        self.rows.extend(list(row) for row in zip(*(c.tolist() for c in columns), strict=True))

    @property
    def names(self) -> list[str]:
        """Name the columns."""
        if self.of_average:
            return ["disagreement"]
        return ["max_logit", "energy"] + ["feature_distance"] * (self.means is not None)

    def cells(self, probs: Tensor) -> list[float]:
        """Make the next image's cells; images come in the order in which they were predicted."""
        return [round(value, 6) for value in self.rows.popleft()]

    def said(self) -> list[str]:
        """Say in lines what the columns are."""
        said = f"{', '.join(self.names)}: the higher, the less an image is like what was trained on."
        if not self.of_average and self.means is None:
            said += " feature_distance comes with it once lt_calib.report RUN --unknown DIR has kept the class means."
        return [fill(said, COLUMNS)]
