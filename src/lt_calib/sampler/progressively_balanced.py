"""Progressively balanced sampling."""

from torch import Tensor

from lt_calib.sampler.class_weighted import ClassWeighted


class ProgressivelyBalanced(ClassWeighted):
    """From instance-balanced to class-balanced: p_c = (1 - e / E) n_c / N + (e / E) / K in the epoch e, 0-based.

    The last epoch is not quite class-balanced then; in the authors' code, which goes by e / (E - 1), it is.

    Args:
        targets: (N,) int64 labels of the training pictures.
        num_classes: K.
        seed: The job's seed, >= 0.
        stage: 1 or 2.
        purpose: What is drawn; another purpose draws independently.
        max_epochs: E >= 1.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, equation 2.
    """

    def __init__(
        self,
        targets: Tensor,
        *,
        num_classes: int,
        seed: int,
        stage: int = 1,
        purpose: str = "sampler",
        max_epochs: int,
    ) -> None:
        super().__init__(targets, num_classes=num_classes, seed=seed, stage=stage, purpose=purpose)
        self.max_epochs = max(1, max_epochs)
        self.phases = {"balancing": max_epochs - 1}  # the first epoch is instance-balanced

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute this epoch's p; ``prior`` is thus that of the epoch."""
        share = min(self.epoch, self.max_epochs) / self.max_epochs
        present = (self.class_counts > 0).double()
        return (1 - share) * counts * present / len(self.targets) + share * present / present.sum()
