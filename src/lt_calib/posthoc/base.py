"""What all calibrators share: fitted or not, and the search for parameters by L-BFGS."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from scipy import optimize
from torch import Tensor, nn

MAX_STEPS = 1000
C = TypeVar("C", bound="Calibrator")


class Calibrator(nn.Module):
    """Turns logits into calibrated probabilities once it is fitted; its state dict holds all of it.

    A subclass defines :meth:`search`, :meth:`probs` and :meth:`settings`.

    Args:
        num_classes: K.
    """

    fitted: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("fitted", torch.tensor(False))

    def search(self, logits: Tensor, targets: Tensor) -> None:
        """Find the parameters, from logits (N, K) float64 and targets (N,) int64."""
        raise NotImplementedError

    def probs(self, logits: Tensor) -> Tensor:
        """Compute the probabilities, (N, K) float64 -> (N, K) float64."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the parameters as plain numbers, for results.json."""
        raise NotImplementedError

    def fit(self: C, logits: Tensor, targets: Tensor) -> C:
        """Fit to the held-out validation part.

        Args:
            logits: (N, K) float, N >= 1.
            targets: (N,) int64.

        Raises:
            ValueError: wrong shapes, or logits that are not finite.
        """
        if (
            logits.ndim != 2
            or logits.shape[1] != self.num_classes
            or targets.shape != logits.shape[:1]
            or not len(logits)
        ):
            raise ValueError(
                f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} must be (N, {self.num_classes}) and "
                "(N,) with N >= 1"
            )
        if not bool(logits.isfinite().all()):
            raise ValueError("logits must be finite: the model has diverged")
        # Copies: what a model computed in inference mode cannot be differentiated through.
        self.search(logits.double().clone(), targets.clone())
        self.fitted.fill_(True)
        return self

    def forward(self, logits: Tensor) -> Tensor:
        """Compute calibrated probabilities, (N, K) float -> (N, K) float32.

        Raises:
            RuntimeError: not fitted.
        """
        if not bool(self.fitted):
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(logits, targets) on the validation part")
        return self.probs(logits.double()).float()


def minimize(loss: Callable[[Tensor], Tensor], start: Tensor, low: float, high: float) -> Tensor:
    """Find the x in [low, high]^n that minimises ``loss(x) -> ()`` by L-BFGS-B, x (n,) float64.

    The bounds keep a parameter finite where no finite one is best: a model that is right on all of few pictures.
    """

    def value_and_gradient(x: Any) -> tuple[float, Any]:
        point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        value = loss(point)
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient.numpy()

    found = optimize.minimize(
        value_and_gradient,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * len(start),
        options={"maxiter": MAX_STEPS, "ftol": 1e-14, "gtol": 1e-9},
    )
    return torch.from_numpy(found.x)
