"""Cosine classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Cosine(nn.Module):
    """Logits s cos(w_c, f), without bias.

    The w_c begin with a length of about sqrt(2), Kaiming's initialisation; in LDAM's code it is 1, which turns them
    twice as fast at first.

    Args:
        num_features: Features of the backbone.
        num_classes: K.
        scale: s > 0.

    Shape:
        (B, num_features) -> (B, K).

    Raises:
        ValueError: scale is not > 0.
    """

    def __init__(self, num_features: int, num_classes: int, *, scale: float = 30.0) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale {scale} must be > 0")
        self.in_features = num_features
        self.out_features = num_classes
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))
