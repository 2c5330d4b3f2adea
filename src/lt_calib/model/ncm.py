"""Nearest class mean (NCM)."""

import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.posthoc.temperature import best_temperature

log = logging.getLogger(__name__)

Features = Callable[[], tuple[Tensor, Tensor]]  # features (N, D) float32, targets (N,) int64


class NearestClassMean(nn.Module):
    """Logits -|f - m_c|^2 / T with the means m_c of each class's training features; without training.

    Normalised, every f is (f - m) / |f - m| first, with the mean m of all training features (``cl2n`` in the authors'
    code).

    Args:
        classifier: Stage 1's; not used.
        train_features: Features and targets of the training pictures, not augmented.
        num_classes: K.
        val_features: Likewise of the validation part, None where there is none.
        normalise: Whether features are centred and of length 1.
        temperature: T > 0; None takes the one that minimises the NLL on the validation part, 1 where there is none.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Raises:
        ValueError: a class has no training picture, or temperature is not > 0.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    centre: Tensor
    means: Tensor
    temperature: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        *,
        train_features: Features,
        num_classes: int,
        val_features: Features | None,
        temperature: float | None = None,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        if temperature is not None and not temperature > 0:
            raise ValueError(f"temperature {temperature} must be > 0, or null to fit it on the validation part")
        features, targets = train_features()
        self.normalise = normalise
        self.register_buffer("centre", features.mean(0))
        features = self.prepared(features)
        sums = torch.zeros(num_classes, features.shape[1]).index_add(0, targets, features)
        counts = torch.bincount(targets, minlength=num_classes)
        if not bool((counts > 0).all()):
            raise ValueError(f"class {int(counts.argmin())} has no training picture: take a smaller dataset.if")
        self.register_buffer("means", sums / counts[:, None])
        self.register_buffer("temperature", torch.tensor(1.0))
        if temperature is None and val_features is None:
            log.info("Nearest class mean: its temperature is 1, since no validation part is held out to fit it on.")
            temperature = 1.0
        elif temperature is None:
            features, targets = val_features()  # type: ignore[misc]
            temperature = float(best_temperature(self(features).double().clone(), targets.clone()))
        self.temperature.fill_(temperature)

    def prepared(self, features: Tensor) -> Tensor:
        """Centre features and take them to length 1, if so asked."""
        return F.normalize(features - self.centre) if self.normalise else features

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        features = self.prepared(features)
        squares = features.square().sum(1, keepdim=True) - 2 * features @ self.means.T + self.means.square().sum(1)
        return -squares / self.temperature
