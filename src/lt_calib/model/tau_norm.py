"""Tau-normalised classifier."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError

log = logging.getLogger(__name__)

Features = Callable[[], tuple[Tensor, Tensor]]  # features (N, D) float32, targets (N,) int64


class TauNorm(nn.Module):
    """Logits w_c . f / norm(w_c)^tau, without bias and without training.

    Args:
        classifier: Stage 1's, linear.
        val_features: Features and targets of the validation part, None where there is none.
        tau: >= 0; 0 keeps the weights, 1 normalises them. None takes the tau of 0, 0.1, ..., 2 that is most accurate
            on the validation part, 1 where there is none.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Raises:
        InputError: stage 1's classifier is not linear, or tau below 0.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    tau: Tensor
    weight: Tensor

    def __init__(self, classifier: nn.Linear, *, val_features: Features | None, tau: float | None = None) -> None:
        super().__init__()
        if not isinstance(classifier, nn.Linear):
            raise InputError(
                f"tau-norm needs a linear stage-1 classifier, got {type(classifier).__name__}: model=resnet32"
            )
        if tau is not None and tau < 0:
            raise InputError(f"tau {tau} must be >= 0, or null to choose it on the validation part")
        weight = classifier.weight.detach().clone()
        if tau is None and val_features is None:
            log.info("Tau-norm: tau is 1, since no validation part is held out to choose it on.")
            tau = 1.0
        elif tau is None:
            features, targets = val_features()  # type: ignore[misc]
            taus = [i / 10 for i in range(21)]
            tau = max(taus, key=lambda t: int(((features @ rescaled(weight, t).T).argmax(1) == targets).sum()))
        self.register_buffer("tau", torch.tensor(tau))
        self.register_buffer("weight", rescaled(weight, tau))

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return features @ self.weight.T


def rescaled(weight: Tensor, tau: float) -> Tensor:
    """Divide each class's weights by their norm to the power tau."""
    return weight / weight.norm(dim=1, keepdim=True).pow(tau)
