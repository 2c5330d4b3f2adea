"""Columns of a table of predictions: the decision by least expected cost, and what it costs."""

from pathlib import Path
from textwrap import fill

import torch
from torch import Tensor

from lt_calib.decision.costs import expected_costs, read_costs, saving
from lt_calib.job.results import read_predictions
from lt_calib.predictor import Predictor

COLUMNS = 79


class Cheapest:
    """Cells of each image.

    Args:
        costs: C (K, K) float64, see :func:`lt_calib.decision.costs.expected_costs`.
        class_names: K names.
        tested: Mean cost of the test set's images by the most probable class, and by least expected cost.
    """

    names = ("decision", "expected_cost")

    def __init__(self, costs: Tensor, class_names: list[str], tested: tuple[float, float]) -> None:
        self.costs, self.class_names, self.tested = costs, class_names, tested

    def cells(self, probs: Tensor) -> list[str | float]:
        """Make the cells of an image's probabilities (K,)."""
        expected = expected_costs(probs[None], self.costs)[0]
        best = int(expected.argmin())
        return [self.class_names[best], round(float(expected[best]), 6)]

    def said(self) -> list[str]:
        """Say in a line what deciding so saves."""
        plain, least = self.tested
        line = (
            f"In short: deciding by least expected cost costs {least:.3g} per image of the test set, and taking the "
            f"most probable class {plain:.3g}."
        )
        return [fill(line, COLUMNS)]


def cheapest_of(folder: Path, predictor: Predictor, path: Path) -> Cheapest:
    """Read the costs, and measure on the run's test set, with its class frequencies, what they save.

    Args:
        folder: The run's.
        predictor: Made of it.
        path: Of the costs, see :func:`lt_calib.decision.costs.read_costs`.

    Raises:
        InputError: the costs are not as needed.
    """
    costs = read_costs(path, predictor.class_names)
    predictions = read_predictions(folder / "predictions.npz")
    logits, targets = predictions[max(predictions)]["test"]
    probs = predictor.calibrator(logits) if predictor.calibrator is not None else torch.softmax(logits, 1)
    return Cheapest(costs, predictor.class_names, saving(probs, targets, costs))
