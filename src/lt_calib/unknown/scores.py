"""Scores of how unknown an image is: the higher, the less it is like what was trained on."""

import torch
import torch.nn.functional as F
from torch import Tensor


def max_logit(logits: Tensor) -> Tensor:
    """Compute -max_c z_c, (N, K) float -> (N,).

    Reference:
        Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022, section 3.
    """
    return -logits.amax(dim=1)


def energy(logits: Tensor) -> Tensor:
    """Compute -log sum_c exp(z_c), (N, K) float -> (N,).

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, equation 3 with T = 1.
    """
    return -torch.logsumexp(logits, dim=1)


def unsure(probs: Tensor) -> Tensor:
    """Compute 1 - max_c p_c, (N, K) float -> (N,): the baseline, from the confidence.

    Reference:
        Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017.
    """
    return 1 - probs.amax(dim=1)


def class_means(features: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Compute what :func:`feature_distance` compares with.

    Args:
        features: (N, D) float, of the training images.
        targets: (N,) int64; every class has an image.
        num_classes: K.

    Returns:
        The mean of the classes' means (D,), and theirs less that, of length 1, (K, D).
    """
    sums = torch.zeros(num_classes, features.shape[1]).index_add(0, targets, features.float())
    means = sums / torch.bincount(targets, minlength=num_classes)[:, None]
    centre = means.mean(dim=0)  # each class weighs the same: the head's is not the middle
    return centre, F.normalize(means - centre)


def feature_distance(features: Tensor, centre: Tensor, means: Tensor) -> Tensor:
    """Compute 1 - max_c cos(f - m, m_c - m), m_c the class means of the training features and m the mean of those.

    Args:
        features: f (N, D) float.
        centre: m (D,).
        means: m_c - m of length 1, (K, D).

    Shape:
        Returns (N,), of 0 to 2.
    """
    return 1 - (F.normalize(features.float() - centre) @ means.T).amax(dim=1)
