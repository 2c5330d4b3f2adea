"""Dirichlet calibration."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lt_calib.measure.cross_fit import deal
from lt_calib.measure.pieces import summed
from lt_calib.posthoc.base import Calibrator, minimize, prior, weighed_nll
from lt_calib.posthoc.temperature import best_temperature

WITHIN = 1e-12  # of K (K + 1) numbers in up to eighteen fits


class Dirichlet(Calibrator):
    """softmax(W log p + b), p = softmax(z / T), what a Dirichlet distribution of p in each class leads to.

    T is :class:`Temperature`'s, so that logits of any scale are met alike; the authors' is 1. W and b minimize
    mean_i NLL_i + lambda [mean_(c != k) w_ck^2 + mean_c b_c^2] + (strength / n) sum_c log(1 + ((w_cc - 1) / 0.5)^2):
    their off-diagonal and intercept regularization, with one lambda for both, and a prior on the diagonal, which theirs
    leaves free. lambda is the one of ``penalties`` of the least cross-fitted NLL on the same images, the largest where
    a class has less than two. Predictions may change.

    One fit of K (K + 1) numbers for each fold and penalty: seconds at K = 100, too long at K = 1000.

    Args:
        num_classes: K.
        strength: >= 0, of the prior; 0 is as Kull et al.
        penalties: What lambda may be, each > 0.

    Attributes:
        temperature: () float64, T.
        weight: (K, K) float64, W.
        bias: (K,) float64, b.
        penalty: () float64, lambda.

    Shape:
        (N, K) float -> (N, K) float32.

    Raises:
        ValueError: strength is negative, or a penalty is not > 0.

    Reference:
        Kull et al., "Beyond temperature scaling: Obtaining well-calibrated multiclass probabilities with Dirichlet
        calibration", NeurIPS 2019, section 3 and the ODIR of section 4.
    """

    temperature: Tensor
    weight: Tensor
    bias: Tensor
    penalty: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        strength: float = 1.0,
        penalties: Sequence[float] = (100, 1, 0.01),
    ) -> None:
        super().__init__(num_classes, strength)
        if not penalties or min(penalties) <= 0:
            raise ValueError(f"penalties {list(penalties)} must be one number at least, and each > 0")
        self.penalties = sorted(map(float, penalties), reverse=True)
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))
        self.register_buffer("weight", torch.eye(num_classes, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("penalty", torch.ones((), dtype=torch.float64))

    def search(self, logits: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Find T, choose lambda, then find W and b."""
        self.temperature.copy_(best_temperature(logits, targets, weights))
        log_p, place = self._log_p(logits), deal(logits, targets)
        nll = torch.zeros(len(self.penalties), dtype=torch.float64)
        least = int(torch.bincount(targets, minlength=self.num_classes).min())
        for fold in place.unique() if len(self.penalties) > 1 and least > 1 else ():
            held = place == fold
            path = self._path(self.penalties, log_p[~held], targets[~held], weights[~held])
            nll += torch.stack([weighed_nll(log_p[held] @ w.T + b, targets[held], weights[held]) for w, b in path])
        best = int(nll.argmin())  # the strongest, where all are alike
        weight, bias = self._path(self.penalties[: best + 1], log_p, targets, weights)[-1]
        self.penalty.fill_(self.penalties[best])
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def _path(
        self, penalties: Sequence[float], log_p: Tensor, targets: Tensor, weights: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Find W and b for each penalty, each from the one before."""
        k, total = self.num_classes, weights.sum()
        shares = torch.full((k, k + 1), 1 / max(k * (k - 1), 1), dtype=torch.float64)
        shares[:, k] = 1 / k
        shares.diagonal().zero_()

        def nll(x: Tensor, log_p: Tensor, y: Tensor, w: Tensor) -> Tensor:
            both = x.view(k, k + 1)
            return weighed_nll(log_p @ both[:, :k].T + both[:, k], y, w)

        def loss(x: Tensor, penalty: float) -> Tensor:
            both = x.view(k, k + 1)
            fit = summed(nll, x, log_p, targets, weights) + self.strength * prior(both.diagonal() - 1)
            return fit / total + penalty * (shares * both.square()).sum()

        x, found = torch.eye(k, k + 1, dtype=torch.float64).flatten(), []
        for penalty in penalties:
            x = minimize(partial(loss, penalty=penalty), x, WITHIN)
            found.append((x.view(k, k + 1)[:, :k], x.view(k, k + 1)[:, k]))
        return found

    def _log_p(self, logits: Tensor) -> Tensor:
        return torch.log_softmax(logits / self.temperature, dim=1)

    def probs(self, logits: Tensor) -> Tensor:
        """Compute softmax(W log p + b)."""
        return torch.softmax(self._log_p(logits) @ self.weight.T + self.bias, dim=1)

    def num_fitted(self) -> int:
        """Count T, the diagonal and b: what is off the diagonal is held by lambda, which the images choose."""
        return 1 + 2 * self.num_classes

    def settings(self) -> dict[str, Any]:
        """Return lambda, W's diagonal, the largest number off it, and b."""
        off = self.weight - torch.diag(self.weight.diagonal())
        about = {
            "temperature": float(self.temperature),
            "penalty": float(self.penalty),
            "off_diagonal": float(off.abs().max()),
        }
        return about | {"diagonal": self.weight.diagonal().tolist(), "bias": self.bias.tolist()}
