"""Tau-normalized classifier."""

import logging

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.model.classifier import Features

log = logging.getLogger(__name__)


class TauNorm(nn.Module):
    """Logits w_c . f / norm(w_c)^tau, without bias and without training.

    Args:
        classifier: Stage 1's, linear.
        tau: >= 0; 0 keeps the weights, 1 normalizes them. None takes the tau of 0, 0.1, ..., 2 that is most accurate
            on the validation part, each class weighing the same; 1 where there is none.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Raises:
        InputError: stage 1's classifier is not linear, or tau below 0.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    balances = True  # its predictions are for a uniform prior, about
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
            inputs, targets = val
            share = 1 / torch.bincount(targets).double()[targets]

            def accuracy(tau: float) -> float:
                right = (inputs @ rescaled(weight, tau).T).argmax(1) == targets
                return round(float((share * right).sum()), 9)  # equal ones are: the least tau of them is taken

            self.tau.fill_(max((i / 10 for i in range(21)), key=accuracy))
        elif self.asked is None:
            log.info("Tau-norm: tau is 1, since no validation part is held out to choose it on.")
        self.weight.copy_(rescaled(weight, float(self.tau)))

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return features @ self.weight.T


def rescaled(weight: Tensor, tau: float) -> Tensor:
    """Divide each class's weights by their norm to the power tau."""
    return weight / weight.norm(dim=1, keepdim=True).pow(tau)
