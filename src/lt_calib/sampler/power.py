"""Power sampling."""

from torch import Tensor

from lt_calib.sampler.class_weighted import ClassWeighted


class Power(ClassWeighted):
    """Each picture with weight n_c^tau, so a class with n_c^(1 + tau); N draws with replacement.

    Args:
        targets: (N,) int64 labels of the training pictures.
        num_classes: K.
        seed: The job's seed, >= 0.
        stage: 1 or 2.
        purpose: What is drawn; another purpose draws independently.
        tau: 0 draws every picture alike, -1 every class; UniMix's partners take -0.5 or -0.1.

    Reference:
        Xu et al., "Towards Calibrated Model for Long-Tailed Visual Recognition from Prior Perspective", NeurIPS 2021.
    """

    def __init__(
        self,
        targets: Tensor,
        *,
        num_classes: int,
        seed: int,
        stage: int = 1,
        purpose: str = "sampler",
        tau: float = -0.5,
    ) -> None:
        super().__init__(targets, num_classes=num_classes, seed=seed, stage=stage, purpose=purpose)
        self.tau = tau

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute f = n^(1 + tau)."""
        return counts.pow(1 + self.tau)
