"""Which prior a loss corrects for: that of the batches that are really drawn."""

import torch
from torch import Tensor

from lt_calib.errors import InputError


def resolve_prior(
    prior: str, sampler_prior: Tensor, class_counts: list[int], allow_double_correction: bool = False
) -> Tensor:
    """Turn the setting ``prior`` of a loss into class frequencies.

    Args:
        prior: ``"sampler"``: what the sampler draws; ``"data"``: n / N.
        sampler_prior: (K,) class frequencies that the sampler publishes.
        class_counts: (K,) training pictures a class.
        allow_double_correction: Accept ``"data"`` although the batches are drawn otherwise.

    Raises:
        InputError: ``"data"`` where the sampler draws otherwise: both would correct for the same imbalance.
    """
    if prior == "sampler":
        return sampler_prior
    if prior != "data":
        raise InputError(f"loss.prior={prior} must be 'sampler' or 'data'")
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    data = counts / counts.sum()
    if not torch.allclose(data, sampler_prior.double(), rtol=1e-6) and not allow_double_correction:
        raise InputError(
            "loss.prior=data, but the sampler does not draw the classes at their frequencies n / N: "
            f"class 0 is drawn with {sampler_prior[0]:.4f}, its n / N is {data[0]:.4f}. Sampler and loss would both "
            "correct for the same imbalance. Cure: prior=sampler (the default), or sampler=instance_balanced, or, "
            "where it is meant, allow_double_correction=true"
        )
    return data
