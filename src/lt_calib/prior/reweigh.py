"""From one prior to another: of predictions, and of the images that they are measured or fitted on."""

import torch
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.measure.weighted import effective_size


def reweighed(probs: Tensor, prior: Tensor, own: Tensor) -> Tensor:
    """Compute p'_c = p_c (q_c / r_c) / sum_k p_k (q_k / r_k): predictions for the prior q of a model of the prior r.

    Exact where p is the posterior under r and p(x | y) is the same under both.

    Args:
        probs: p (B, K) float, rows sum to 1.
        prior: q (K,) float, > 0.
        own: r (K,) float, > 0, for which the model's own predictions are.

    Shape:
        Returns (B, K), of the type of ``probs``.

    Reference:
        Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 2002,
        equation 2.4.
    """
    scaled = probs * (prior / own).to(probs)
    return scaled / scaled.sum(dim=1, keepdim=True)


def shifted(logits: Tensor, prior: Tensor, own: Tensor) -> Tensor:
    """Compute z_c + log(q_c / r_c), whose softmax is :func:`reweighed` of z's, (N, K) float -> (N, K)."""
    return logits + (prior.log() - own.log()).to(logits)


def image_weights(targets: Tensor, prior: Tensor) -> Tensor:
    """Compute q_c / pi_c for each image of class c, pi_c = N_c / N, scaled to sum to their effective size.

    With them a mean over these images is one over images of the class frequencies q. The effective size is
    (sum w)^2 / sum w^2: a fit claims no more images than the weighed ones are worth.

    Args:
        targets: (N,) int64.
        prior: q (K,) float, >= 0, sums to 1.

    Shape:
        Returns (N,) float64.

    Raises:
        InputError: a class of q_c > 0 has no image, and no weight makes up for that.
    """
    counts = torch.bincount(targets, minlength=len(prior))
    empty = torch.nonzero((counts == 0) & (prior > 0))[:, 0].tolist()
    if empty:
        raise InputError(
            f"{len(empty)} of the {len(prior)} classes have no image to weigh, class {empty[0]} (0-based) the first: "
            "another prior cannot be measured or fitted without them"
        )
    weights = (prior.double() / counts)[targets]
    return weights * effective_size(weights) / weights.sum()


def uniform_over(targets: Tensor, num_classes: int) -> Tensor:
    """Return the prior (K,) float64 under which all classes that are among the targets (N,) are as likely."""
    there = (torch.bincount(targets, minlength=num_classes) > 0).double()
    return there / there.sum()
