"""The check on probabilities that every metric on them makes."""

from torch import Tensor


def check_probs(probs: Tensor, targets: Tensor) -> None:
    """Refuse what is not one probability distribution a row.

    Args:
        probs: (N, K) float32, N >= 1.
        targets: (N,) int64.

    Raises:
        ValueError: wrong shapes, NaN, a value outside [0, 1], a row that does not sum to 1 (logits, most likely).
    """
    if probs.ndim != 2 or targets.shape != probs.shape[:1] or len(probs) == 0:
        raise ValueError(
            f"probs {tuple(probs.shape)} and targets {tuple(targets.shape)} must be (N, K) and (N,) with N >= 1"
        )
    check_no_nan(probs)
    low, high, error = float(probs.min()), float(probs.max()), float((probs.sum(dim=1) - 1).abs().max())
    if low < 0 or high > 1 or error > 1e-3:
        raise ValueError(
            f"probs must lie in [0, 1] and sum to 1 in each row; got values in [{low:.4g}, {high:.4g}] and a sum that "
            f"is off by {error:.4g}. Logits? Take torch.softmax(logits.float(), dim=1) first"
        )
    if not bool(((targets >= 0) & (targets < probs.shape[1])).all()):
        raise ValueError(
            f"targets must be labels 0 .. {probs.shape[1] - 1}; got {int(targets.min())} .. {int(targets.max())}"
        )


def check_no_nan(values: Tensor) -> None:
    """Refuse NaN."""
    if bool(values.isnan().any()):
        raise ValueError("predictions hold NaN: the model has diverged, or its logits were not finite")
