"""Reverse sampling."""

from torch import Tensor

from lt_calib.sampler.class_weighted import ClassWeighted


class Reverse(ClassWeighted):
    """A class in proportion to n_max / n_c, then one of its pictures uniformly; N draws with replacement.

    Reference:
        Zhou et al., "BBN: Bilateral-Branch Network with Cumulative Learning", CVPR 2020, section 4.2.
    """

    def class_weights(self, counts: Tensor) -> Tensor:
        """Compute f = n_max / n."""
        return counts.max() / counts
