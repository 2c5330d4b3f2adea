"""A table's features, made of one size: the backbone of data that are features already."""

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError

SCALES = ("one", "each", "none")
PRINCIPAL = 10  # the deviation along the first principal direction, for which SGD's rates near 0.004 suit


class Standardize(nn.Module):
    """Features (f - m) / s, with the training features' mean m and a deviation s; part of the model, and exported.

    Args:
        num_features: D.
        scale: ``"one"``: s is one number, a tenth of the deviation along the features' first principal direction, so
            that directions keep their proportions, and one learning rate suits networks of any width, since it is
            that direction which bounds the rate; ``"each"``: a deviation per feature; ``"none"``: f as it is.

    Shape:
        (B, D) float32 -> (B, D) float32.

    Raises:
        InputError: another ``scale``.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, num_features: int, scale: str = "one") -> None:
        super().__init__()
        if scale not in SCALES:
            raise InputError(f"features.standardize={scale} must be one of {', '.join(SCALES)}")
        self.num_features = num_features
        self.scale = scale
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))

    def fit(self, features: Tensor) -> None:
        """Take mean and deviation of the training features (N, D); a constant feature keeps its size."""
        if self.scale == "none":
            return
        centered = features.double() - features.double().mean(0)
        if self.scale == "each":
            deviation = centered.square().mean(0).sqrt()
        else:
            largest = torch.linalg.eigvalsh(centered.T @ centered / len(centered))[-1]
            deviation = (largest.sqrt() / PRINCIPAL).expand(self.num_features)
        self.mean.copy_(features.double().mean(0))
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Standardize."""
        return (features - self.mean) / self.deviation
