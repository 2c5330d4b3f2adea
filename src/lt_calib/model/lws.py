"""LWS: learnable weight scaling of a frozen classifier."""

from torch import nn

from lt_calib.model.classifier import Features, LearnableWeightScaling


class LWS(LearnableWeightScaling):
    """Stage 1's classifier frozen, one learnable scale a class on its logits (LWS).

    Args:
        classifier: Stage 1's.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    def prepare(self, classifier: nn.Module, features: Features) -> None:
        """Freeze stage 1's classifier, which has been trained by now."""
        classifier.requires_grad_(False)
