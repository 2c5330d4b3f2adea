"""What all calibrators share: fitted or not, and the search for parameters by L-BFGS."""

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from scipy import optimize
from torch import Tensor, nn

from lt_calib.measure.check import check_labeled, check_logits
from lt_calib.measure.pieces import by_rows
from lt_calib.measure.weighted import effective_size

MAX_STEPS = 1000
PRIOR_SCALE = 0.5
FEWEST = 5  # wrong images, and right ones, that a parameter wants
C = TypeVar("C", bound="Calibrator")


class Calibrator(nn.Module):
    """Turns logits into calibrated probabilities once it is fitted; its state dict holds all of it.

    A subclass defines :meth:`search`, :meth:`probs` and :meth:`settings`.

    Args:
        num_classes: K.
        strength: >= 0; of what holds the parameters where few images are.

    Attributes:
        doubts: What speaks against trusting it, after :meth:`fit`: sentences, which are warned of too.

    Raises:
        ValueError: strength is negative.
    """

    keeps_predictions = False  # whether the order of the classes is left, and with it the prior that they are for
    cross_fits = False  # whether it cross-fits by itself, and says what comes of it
    fitted: Tensor
    doubts: list[str]

    def __init__(self, num_classes: int, strength: float = 0.0) -> None:
        if not 0 <= strength < math.inf:
            raise ValueError(f"strength {strength} must be >= 0 and finite")
        super().__init__()
        self.num_classes = num_classes
        self.strength = strength
        self.doubts = []
        self.register_buffer("fitted", torch.tensor(False))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find the parameters, from logits (N, K) float64, targets (N,) int64 and weights (N,) float64, all > 0."""
        raise NotImplementedError

    def probs(self, logits: Tensor) -> Tensor:
        """Compute the probabilities, (N, K) float64 -> (N, K) float64."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the parameters as plain numbers, for results.json."""
        raise NotImplementedError

    def num_fitted(self) -> int:
        """Count the fitted parameters: all numbers of the state dict."""
        return sum(numbers.numel() for name, numbers in self.state_dict().items() if name != "fitted")

    def fit(self: C, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> C:
        """Fit to the held-out validation part; what it cannot settle is warned of, and kept in ``doubts``.

        A weight counts images: one of weight 2 is fitted to as two are, one of weight 0 is left out. With q_c / pi_c
        for each image of class c a part of class frequencies pi stands for one of q; scaled to sum to their effective
        size (sum w)^2 / sum w^2, as :func:`lt_calib.prior.reweigh.image_weights` does, they claim no more images than
        they are worth, so that ``strength`` keeps its meaning.

        Args:
            logits: (N, K) float, N >= 1.
            targets: (N,) int64.
            weights: (N,) float, finite and >= 0, not all 0; None for 1 each.

        Raises:
            ValueError: wrong shapes or types, logits that are not finite, a label out of range, or a weight that is.
        """
        check_labeled(logits, targets, self.num_classes)
        # Copies: what a model computed in inference mode cannot be differentiated through.
        logits, targets = logits.to(torch.float64, copy=True), targets.clone()
        weighed = weights is not None
        weights = check_weights(weights, len(targets)).to(logits) if weighed else logits.new_ones(len(targets))
        if weighed:
            logits, targets, weights = (x[weights > 0] for x in (logits, targets, weights))
        self.search(logits, targets, weights)
        self.fitted.fill_(True)
        self.doubts = self._doubts(logits, targets, weights)
        for doubt in self.doubts:
            warnings.warn(f"{type(self).__name__}: {doubt}", stacklevel=2)
        return self

    def _doubts(self, logits: Tensor, targets: Tensor, weights: Tensor) -> list[str]:
        n, wanted = len(targets), FEWEST * self.num_fitted()
        before = logits.gather(1, targets[:, None])[:, 0]
        after, most = by_rows(self._own_and_most, logits, targets).unbind(1)
        parameters = f"{self.num_fitted()} parameters want" if self.num_fitted() > 1 else "one parameter wants"
        right = logits.argmax(dim=1) == targets
        of_right, of_wrong = (round(effective_size(weights[r])) if r.any() else 0 for r in (right, ~right))
        found = []
        if bool((logits == logits[:, :1]).all()):
            found.append("the logits of each held-out image are all the same, and say nothing")
        elif bool((after == most).all()):
            found.append(f"with it all {n} held-out images are right, which cannot say how sure is too sure")
        elif float((weights * (before - logits.mean(dim=1))).sum()) <= 0:
            found.append("the true classes' logits are on average no higher than the others': the surer, the worse")
        if min(of_right, of_wrong) < wanted:
            weighed = "" if bool((weights == 1).all()) else ", counted by their weights,"
            found.append(
                f"{of_right} of the {n} held-out images{weighed} are right and {of_wrong} wrong, and {parameters} "
                f"{wanted} of both: hold more out (dataset.val_per_class), or do not rely on it"
            )
        empty = int((torch.bincount(targets, minlength=self.num_classes) == 0).sum())
        if empty and self.num_fitted() > 1:
            found.append(f"{empty} of the {self.num_classes} classes have no held-out image")
        return found

    def _own_and_most(self, logits: Tensor, targets: Tensor) -> Tensor:
        probs = self.probs(logits)
        return torch.stack([probs.gather(1, targets[:, None])[:, 0], probs.amax(dim=1)], dim=1)

    def forward(self, logits: Tensor) -> Tensor:
        """Compute calibrated probabilities, (N, K) float -> (N, K) float32.

        Raises:
            RuntimeError: not fitted.
            ValueError: another shape or type, or logits that are not finite.
        """
        if not bool(self.fitted):
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(logits, targets) on the validation part")
        check_logits(logits, self.num_classes)
        return by_rows(lambda z: self.probs(z.double()).float(), logits)


def check_weights(weights: Tensor, n: int) -> Tensor:
    """Return the weights of n images as float64, copied, refusing what is none.

    Raises:
        ValueError: another shape, a weight that is negative or not finite, or all of them 0.
    """
    w = torch.as_tensor(weights).to(torch.float64, copy=True)
    if w.shape != (n,):
        raise ValueError(f"weights {tuple(w.shape)} must be ({n},): one for each image")
    bad = torch.nonzero(~(w.isfinite() & (w >= 0)))
    if len(bad):
        raise ValueError(f"weights must be finite and >= 0, and weight {int(bad[0])} (0-based) is {w[bad[0]].item():g}")
    if not bool((w > 0).any()):
        raise ValueError("weights must not all be 0: no image would be fitted to")
    return w


def weighed_nll(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Compute sum_i w_i NLL_i, (), of logits (N, K), targets (N,) and weights (N,)."""
    return (weights * F.cross_entropy(logits, targets, reduction="none")).sum()


def prior(x: Tensor) -> Tensor:
    """Compute sum_j log(1 + (x_j / 0.5)^2), (n,) -> (): a Cauchy prior on how far parameters are from no calibration.

    Near 0 it weighs as some eight images do, and far from it as less than one: few images do not move a parameter that
    they cannot settle, and many are not held back.
    """
    return torch.log1p((x / PRIOR_SCALE).square()).sum()


def minimize(loss: Callable[[Tensor], Tensor], start: Tensor, within: float = 1e-14) -> Tensor:
    """Find the x that minimizes ``loss(x) -> ()`` by L-BFGS, x (n,) float64; a prior in it keeps x finite.

    It ends where a step gains less than the share ``within`` of the loss.
    """

    def value_and_gradient(x: Any) -> tuple[float, Any]:
        point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        value = loss(point)
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient.numpy()

    options = {"maxiter": MAX_STEPS, "ftol": within, "gtol": 1e-9}
    found = optimize.minimize(value_and_gradient, start.numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x)
