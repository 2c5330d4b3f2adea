"""Square-root sampling."""

from torch import Tensor

from lt_calib.sampler.class_weighted import ClassWeighted


class SquareRoot(ClassWeighted):
    """A class in proportion to sqrt(n_c), then one of its pictures uniformly; N draws with replacement.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 3.
    """

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute f = sqrt(n)."""
        return counts.sqrt()
