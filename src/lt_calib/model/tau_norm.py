"""Tau-normalized classifier."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.classifier import Features


class TauNorm(nn.Module):
    """Logits w_c . f / norm(w_c)^tau, without bias and without training.

    Args:
        classifier: Stage 1's, linear.
        tau: >= 0; 0 keeps the weights, 1 normalizes them. None takes the tau of 0, 0.1, ..., 2 that is most accurate
            on the validation part, each class weighing the same, or on rows that are held out in turn; 1 where there
            are none.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Raises:
        InputError: stage 1's classifier is not linear, or tau below 0.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    balances = True  # its predictions are for a uniform prior, about
    settles = ("tau",)  # what of it is told in results.json
    tau: Tensor
    weight: Tensor

    def __init__(self, classifier: nn.Linear, *, tau: float | None = None) -> None:
        super().__init__()
        if not isinstance(classifier, nn.Linear):
            raise InputError(
                f"tau-norm needs a linear stage-1 classifier, got {type(classifier).__name__}: model=resnet32"
            )
        if tau is not None and tau < 0:
            raise InputError(f"tau {tau} must be >= 0, or null to choose it on the validation part")
        self.asked = tau
        self.register_buffer("tau", torch.tensor(1.0 if tau is None else float(tau)))
        self.register_buffer("weight", classifier.weight.detach().clone())

    def prepare(self, classifier: nn.Module, features: Features) -> None:
        """Rescale the trained weights, and choose tau where it is to be chosen."""
        weight = classifier.weight.detach().cpu()  # type: ignore[union-attr, operator]
        val = features("val") if self.asked is None else None
        if val is not None:
            self.tau.fill_(best_tau([(*val, weight)]))
        self.weight.copy_(rescaled(weight, float(self.tau)))

    def tune(self, parts: Sequence[tuple[Tensor, Tensor, Any]]) -> None:
        """Choose tau on rows that are held out in turn, where it is to be chosen.

        Args:
            parts: Of each fold its rows' features (n, D) and targets (n,), and the stage 1 that has not seen them.
        """
        if self.asked is None:
            own: list[Any] = [(*rows, classifier.weight.detach().cpu()) for *rows, classifier in parts]
            self.asked = best_tau(own)
            self.tau.fill_(self.asked)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return features @ self.weight.T


def best_tau(parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> float:
    """Find the tau of 0, 0.1, ..., 2 with the highest mean of the classes' accuracies, the least of equal ones.

    Args:
        parts: Features (n, D), targets (n,) and the weights (K, D) that these are tried with.
    """
    targets = torch.cat([labels for _, labels, _ in parts])
    share = 1 / torch.bincount(targets).double()[targets]

    def accuracy(tau: float) -> float:
        found = torch.cat([(inputs @ rescaled(weight, tau).T).argmax(1) for inputs, _, weight in parts])
        return round(float((share * (found == targets)).sum()), 9)

    return max((i / 10 for i in range(21)), key=accuracy)


def rescaled(weight: Tensor, tau: float) -> Tensor:
    """Divide each class's weights by their norm to the power tau."""
    return weight / weight.norm(dim=1, keepdim=True).pow(tau)
