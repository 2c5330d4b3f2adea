"""cRT: the classifier re-trained."""

from torch import nn

from lt_calib.model.classifier import Linear


class CRT(Linear):
    """A new linear classifier (cRT), with the weights of :class:`lt_calib.model.classifier.Linear`: Kaiming-normal.

    Args:
        classifier: Stage 1's; only its shape is used.
        init: See :class:`lt_calib.model.classifier.Linear`.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    def __init__(self, classifier: nn.Linear, init: str = "kaiming") -> None:
        super().__init__(classifier.in_features, classifier.out_features, init)
