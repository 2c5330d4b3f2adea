"""Post-hoc logit adjustment."""

from torch import Tensor, nn

from lt_calib.errors import InputError


class LogitAdjusted(nn.Module):
    """Logits z - tau log pi of a classifier that was trained with cross-entropy; without training.

    Args:
        classifier: Stage 1's.
        prior: pi (K,), the class frequencies of the batches that stage 1 drew, > 0; None where they changed
            or mixing moved the labels'.
        corrected: Whether stage 1's loss corrected for them already.
        tau: >= 0; 0 changes nothing.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Raises:
        InputError: no fixed prior, tau below 0, or stage 1's loss corrected for the same imbalance.

    Reference:
        Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, equation 9.
    """

    balances = True  # its predictions are for a uniform prior where tau is 1
    adjusts = True
    adjustment: Tensor

    def __init__(
        self, classifier: nn.Module, *, prior: Tensor | None, corrected: bool = False, tau: float = 1.0
    ) -> None:
        super().__init__()
        if prior is None or not bool((prior > 0).all()):
            raise InputError(
                "logit adjustment needs one frequency > 0 for each class, and stage 1's sampler draws a class never or "
                "changes its frequencies with the epoch, or its augmentation moves them: take "
                "sampler@stage1.sampler=instance_balanced and another augment"
            )
        if corrected:
            raise InputError(
                "logit adjustment after a loss that has a prior or class weights corrects twice for the same "
                "imbalance: take loss@stage1.loss=cross_entropy or, where it is meant, allow_double_correction=true"
            )
        if tau < 0:
            raise InputError(f"tau {tau} must be >= 0: a negative one adds to the imbalance")
        self.classifier = classifier
        self.register_buffer("adjustment", (tau * prior.log()).float())

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return self.classifier(features) - self.adjustment
