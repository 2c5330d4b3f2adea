"""Cosine classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.model.classifier import Features


class Cosine(nn.Module):
    """Logits s cos(w_c, f), without bias.

    The w_c begin with a length of about sqrt(2), Kaiming's initialisation; in LDAM's code it is 1, which turns them
    twice as fast at first.

    Args:
        num_features: Features of the backbone.
        num_classes: K.
        scale: s > 0.
        init: ``"kaiming"``, or ``"class_means"``: each w_c begins as the mean of its class's training features, of
            length 1, for features of a network that has learned before.

    Shape:
        (B, num_features) -> (B, K).

    Raises:
        ValueError: scale is not > 0, or another ``init``.

    Reference:
        Qi et al., "Low-Shot Learning with Imprinted Weights", CVPR 2018, section 3.2, for ``"class_means"``.
    """

    def __init__(self, num_features: int, num_classes: int, *, scale: float = 30.0, init: str = "kaiming") -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale {scale} must be > 0")
        if init not in ("kaiming", "class_means"):
            raise ValueError(f"model.classifier.init {init!r} must be 'kaiming' or 'class_means'")
        self.init = init
        self.in_features = num_features
        self.out_features = num_classes
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        nn.init.kaiming_normal_(self.weight)

    def prepare(self, classifier: nn.Module | None, features: Features) -> None:
        """Take the class means, where they are asked for."""
        if self.init == "class_means":
            inputs, targets = features("train")  # type: ignore[misc]
            sums = torch.zeros_like(self.weight).index_add(0, targets, F.normalize(inputs))
            with torch.no_grad():
                self.weight.copy_(F.normalize(sums))

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))
