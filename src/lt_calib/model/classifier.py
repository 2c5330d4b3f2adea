"""Classifiers: features to logits."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# What a classifier that needs them is given by ``prepare(classifier, features)`` when its stage begins: of a split the
# backbone's features (N, D) float32, not augmented, and targets (N,) int64; None where the split is not there.
Features = Callable[[str], tuple[Tensor, Tensor] | None]


class Linear(nn.Linear):
    """A linear classifier with bias, Kaiming-normal weights: of standard deviation sqrt(2 / num_features).

    At 64 features that is 0.177. The authors' code of cRT, BBN and LADE has torch's own initialisation, uniform with a
    standard deviation of 1 / sqrt(3 num_features): 0.072.

    Args:
        num_features: Features of the backbone.
        num_classes: K.
        init: ``"kaiming"``, or ``"zeros"``, from which a classifier of features that do not move ends the same
            whatever the seed draws.

    Raises:
        ValueError: another ``init``.

    Shape:
        (B, num_features) -> (B, K).
    """

    def __init__(self, num_features: int, num_classes: int, init: str = "kaiming") -> None:
        super().__init__(num_features, num_classes)
        if init not in ("kaiming", "zeros"):
            raise ValueError(f"model.classifier.init {init!r} must be 'kaiming' or 'zeros'")
        if init == "zeros":
            nn.init.zeros_(self.weight)
            nn.init.zeros_(self.bias)
        else:
            nn.init.kaiming_normal_(self.weight)


class LearnableWeightScaling(nn.Module):
    """Logits of a given classifier times a learnable vector, one number a class, starting at 1.

    Args:
        classifier: Stage 1's classifier, which goes on being trained.
        anew: Whether a linear classifier begins from zeros in its place. On features that do not move stage 1 leaves
            nothing but a start, and one that fits the head too well.

    Shape:
        (B, num_features) -> (B, K).

    Reference:
        Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR 2021, section 3.2.
    """

    def __init__(self, classifier: nn.Linear, anew: bool = False) -> None:
        super().__init__()
        self.classifier = Linear(classifier.in_features, classifier.out_features, "zeros") if anew else classifier
        self.scale = nn.Parameter(torch.ones(classifier.out_features))

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return self.scale * self.classifier(features)
