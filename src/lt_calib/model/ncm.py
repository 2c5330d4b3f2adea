"""Nearest class mean (NCM)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.errors import InputError

Features = Callable[[], tuple[Tensor, Tensor]]  # features (N, D) float32, targets (N,) int64


class NearestClassMean(nn.Module):
    """Logits -|f - m_c|^2 / T with the means m_c of each class's training features; without training.

    Args:
        classifier: Stage 1's; not used.
        train_features: Features and targets of the training pictures, not augmented.
        num_classes: K.
        val_features: Likewise of the validation part, None where there is none.
        temperature: T > 0; None takes the one that minimises the NLL on the validation part.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    means: Tensor
    temperature: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        *,
        train_features: Features,
        num_classes: int,
        val_features: Features | None,
        temperature: float | None = 1.0,
    ) -> None:
        super().__init__()
        features, targets = train_features()
        sums = torch.zeros(num_classes, features.shape[1]).index_add(0, targets, features)
        self.register_buffer("means", sums / torch.bincount(targets, minlength=num_classes).clamp(min=1)[:, None])
        self.register_buffer("temperature", torch.tensor(1.0))
        if temperature is None:
            if val_features is None:
                raise InputError("temperature=null is fitted on the validation part: set dataset.val_per_class")
            features, targets = val_features()
            temperatures = torch.logspace(-2, 2, 81)
            logits = self(features)
            losses = [F.cross_entropy(logits / t, targets) for t in temperatures]
            temperature = float(temperatures[int(torch.stack(losses).argmin())])
        self.temperature.fill_(temperature)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        squares = features.square().sum(1, keepdim=True) - 2 * features @ self.means.T + self.means.square().sum(1)
        return -squares / self.temperature
