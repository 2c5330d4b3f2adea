"""A linear classifier for a loss on K sigmoids."""

import math

import torch

from lt_calib.model.classifier import Linear


class OneAgainstAll(Linear):
    """A linear classifier whose biases begin at -log(K - 1), where sigmoid(z) is 1 / K, and do not decay in stage 1.

    From biases of 0 a loss on K sigmoids starts with K - 1 wrong ones: 17.3 in the place of 4.5 for the focal loss at
    gamma = 2 and K = 100.

    Args:
        num_features: Features of the backbone.
        num_classes: K >= 2.

    Shape:
        (B, num_features) -> (B, K).

    Raises:
        ValueError: num_classes is below 2.

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, section 5.2.
    """

    undecayed = ("bias",)

    def __init__(self, num_features: int, num_classes: int) -> None:
        if num_classes < 2:
            raise ValueError(f"num_classes {num_classes} must be >= 2: one against all others")
        super().__init__(num_features, num_classes)
        torch.nn.init.constant_(self.bias, -math.log(num_classes - 1))
