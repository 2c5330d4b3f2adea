"""The best of several calibrators, or none."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.measure.cross_fit import deal, in_turn
from lt_calib.metric.nll import nll_of_each
from lt_calib.posthoc.base import Calibrator


class Select(Calibrator):
    """The calibrator, or none, whose mean NLL is least on held-out images that it was not fitted to.

    Each candidate is cross-fitted in five folds of the held-out part (:func:`lt_calib.measure.cross_fit.deal`); the one
    of the least sum_i w_i NLL_i is fitted to all of them. Of equal ones the first is taken, none before all. A gain
    over none of less than two of its standard errors is doubted: another held-out part might choose otherwise.

    Args:
        num_classes: K.
        class_counts: (K,) n_c >= 1, for candidates that ask for them.
        candidates: ``(num_classes[, class_counts]) -> calibrator`` each, with its settings.

    Attributes:
        chosen: Position among the candidates; -1 is none.
        nll: Mean NLL of none and of each candidate by name, in nats.
        gain: NLL of none less that of the chosen one, and the standard error of that.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: there is no candidate, or two have one name.
    """

    cross_fits = True

    def __init__(
        self, num_classes: int, class_counts: Sequence[int], *, candidates: Sequence[Callable[..., Calibrator]]
    ) -> None:
        super().__init__(num_classes)
        self.makers = [_with_counts(part, class_counts) for part in candidates]
        self.candidates = nn.ModuleList([make(num_classes) for make in self.makers])
        self.names = [_name(candidate) for candidate in self.candidates]
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"posthoc.candidates {self.names} must be calibrators, one at least and none twice")
        self.chosen = -1
        self.nll: dict[str, float] = {}
        self.gain = (0.0, 0.0)

    @property
    def keeps_predictions(self) -> bool:  # type: ignore[override]
        """Whether the chosen one does."""
        return self.chosen < 0 or self._calibrator().keeps_predictions

    def _calibrator(self) -> Calibrator:
        return self.candidates[self.chosen]  # type: ignore[return-value]

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Choose, and fit what is chosen."""
        place = deal(logits, targets)
        share = weights / weights.sum()
        without = nll_of_each(logits, targets).double()
        changes = [torch.zeros_like(without)]
        for make in self.makers if int(place.max()) > 0 else ():
            changes.append(without - nll_of_each(in_turn(make, logits, targets, weights, place), targets))
        means = [float((share * change).sum()) for change in changes]
        self.chosen = means.index(max(means)) - 1
        own = float((share * without).sum())
        self.nll = {name: own - mean for name, mean in zip(["none", *self.names], means, strict=False)}
        change, mean = changes[self.chosen + 1], means[self.chosen + 1]
        self.gain = (mean, float((share * (change - mean)).square().sum()) ** 0.5)
        if self.chosen >= 0:
            with warnings.catch_warnings():  # they are passed on by _doubts
                warnings.simplefilter("ignore")
                self._calibrator().fit(logits, targets, weights)

    def _doubts(self, logits: Tensor, targets: Tensor, weights: Tensor) -> list[str]:
        found = super()._doubts(logits, targets, weights)
        gain, error = self.gain
        if self.chosen >= 0 and gain < 2 * error:
            found.append(
                f"on {len(targets)} held-out images {self.names[self.chosen]} has the least cross-fitted NLL, "
                f"{gain:.4f} less than without a calibrator, which is below two standard errors of {error:.4f}: others "
                "may choose otherwise"
            )
        return found

    def probs(self, logits: Tensor) -> Tensor:
        """Compute the chosen one's probabilities; softmax(z) where none is."""
        return torch.softmax(logits, dim=1) if self.chosen < 0 else self._calibrator().probs(logits)

    def num_fitted(self) -> int:
        """Count the chosen one's."""
        return 1 if self.chosen < 0 else self._calibrator().num_fitted()

    def settings(self) -> dict[str, Any]:
        """Return what was chosen and why, and its parameters."""
        about = {"nll": dict(self.nll), "gain": self.gain[0], "standard_error": self.gain[1]}
        if self.chosen < 0:
            return {"chosen": "none", **about}
        return {"chosen": self.names[self.chosen], **about, "parameters": self._calibrator().settings()}

    def get_extra_state(self) -> dict[str, Any]:
        """Return what of the choice is no tensor, for the state dict."""
        return {"chosen": self.chosen, "nll": self.nll, "gain": list(self.gain)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.chosen, self.nll, self.gain = state["chosen"], state["nll"], (state["gain"][0], state["gain"][1])


def _with_counts(part: Callable[..., Calibrator], counts: Sequence[int]) -> Callable[[int], Calibrator]:
    asks = "class_counts" in inspect.signature(part).parameters
    return (lambda k: part(k, class_counts=counts)) if asks else part


def _name(candidate: Any) -> str:
    module = type(candidate).__module__
    return module.rsplit(".", 1)[-1] if module.startswith("lt_calib.") else type(candidate).__name__
