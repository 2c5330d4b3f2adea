"""LDAM: label-distribution-aware margins."""

import torch
from torch import Tensor

from lt_calib.device import widest
from lt_calib.loss.base import ClassLoss, Counts, check_counts


class LDAM(ClassLoss):
    """Cross-entropy on s (cos - m_y e_y), with margins m_c = C n_c^(-1/4) / max n^(-1/4).

    The classifier gives z = s cos (:class:`lt_calib.model.cosine.Cosine`), so that the prediction that is tested and
    calibrated is softmax(s cos), without the margin; here s scales the margin alone.

    Args:
        class_counts: (K,) training pictures a class, > 0.
        max_margin: C >= 0, the margin of the smallest class; 0 is cross-entropy.
        scale: s > 0, the classifier's.
        prior: Ignored.

    Shape:
        logits (B, K) float, targets (B,) int64 or (B, K) float; returns () float32.

    Raises:
        ValueError: max_margin is below 0, or scale not > 0.

    Reference:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019,
        equations 10 to 13.
    """

    margin: Tensor

    def __init__(
        self,
        class_counts: Counts,
        *,
        max_margin: float = 0.5,
        scale: float | None = 30.0,
        prior: Counts | None = None,
    ) -> None:
        if max_margin < 0 or scale is None or scale <= 0:
            raise ValueError(
                f"max_margin {max_margin} must be >= 0 and scale {scale} > 0; it is that of a cosine classifier "
                "(model=resnet32_cosine)"
            )
        counts = check_counts(class_counts)
        super().__init__(len(counts))
        root = counts.pow(-0.25)
        self.register_buffer("margin", (scale * max_margin * root / root.max()).float())

    def losses(self, logits: Tensor) -> Tensor:
        """Compute l(z_i, c), (B, K) float32."""
        # With Z = sum_k e^(z_k), the sum after class c's margin is Z (1 + p_c (e^(-m_c) - 1)). In float64, where
        # there is one, since that factor comes as near to 0 as e^(-15).
        precise = widest(logits.device)
        z, margin = logits.to(precise), self.margin.to(precise)
        log_sum = z.logsumexp(dim=1, keepdim=True)
        p = torch.exp(z - log_sum)
        return (log_sum + torch.log1p(p * torch.expm1(-margin)) - (z - margin)).float()
