"""Which prior a loss corrects for: that of the batches that are really drawn."""

import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.loss.base import frequencies
from lt_calib.loss.weights import weighs
from lt_calib.sampler.base import EpochSampler


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
    data = frequencies(class_counts, None)
    if not same(data, sampler_prior) and not allow_double_correction:
        raise InputError(
            "loss.prior=data, but the sampler does not draw the classes at their frequencies n / N: "
            f"class 0 is drawn with {sampler_prior[0]:.4f}, its n / N is {data[0]:.4f}. Sampler and loss would both "
            "correct for the same imbalance. Cure: prior=sampler (the default), or sampler=instance_balanced, or, "
            "where it is meant, allow_double_correction=true"
        )
    return data


def check_weights(loss: nn.Module, drawn: Tensor | None, class_counts: list[int]) -> None:
    """Refuse class weights where batches or logits are corrected for the imbalance already.

    Args:
        loss: The loss, with its weights.
        drawn: (K,) class frequencies of the batches, None where they change over the epochs.
        class_counts: (K,) training pictures a class.

    Raises:
        InputError: both would correct for the same imbalance.
    """
    if not weighs(loss):
        return
    inner = [type(part).__name__ for part in loss.children() if getattr(part, "corrects", False)]
    if inner:
        other = f"the {inner[0]} that it weighs corrects for them too"
        cure = "loss=cross_entropy inside it"
    elif drawn is None or not same(frequencies(class_counts, None), drawn):
        other = "the sampler does not draw the classes at their frequencies n / N either"
        cure = "sampler=instance_balanced, or a loss without weights"
    else:
        return
    raise InputError(
        f"{type(loss).__name__} weighs the classes by their counts, and {other}: both would correct for the same "
        f"imbalance. Cure: {cure}, or, where it is meant, allow_double_correction=true"
    )


def same(data: Tensor, drawn: Tensor) -> bool:
    """Say whether two class frequencies are one."""
    return torch.allclose(data, drawn.double(), rtol=1e-6)


def fixed_prior(sampler: EpochSampler, max_epochs: int) -> Tensor | None:
    """Return the class frequencies that a sampler draws, None where the last epoch's are not the first's."""
    sampler.set_epoch(max(0, max_epochs - 1))
    last = sampler.prior
    sampler.set_epoch(0)
    return last if torch.allclose(last, sampler.prior) else None


def labels_moved(
    node: DictConfig, sampler: EpochSampler, partner: EpochSampler | None, class_counts: list[int], max_epochs: int
) -> bool:
    """Say whether an augmentation gives the labels other frequencies than the sampler: by rule, or by its partners'.

    Args:
        node: Of the augmentation.
        sampler: Of the batches.
        partner: Of what is mixed in; None for a permutation of the batch.
        class_counts: (K,) training images per class; a rule about them does nothing where all are alike.
        max_epochs: E.
    """
    drawn, mixed_in = (fixed_prior(s, max_epochs) if s is not None else None for s in (sampler, partner))
    alike = partner is None or (drawn is not None and mixed_in is not None and same(drawn, mixed_in))
    return not alike or (_by_rule(node) and len(set(class_counts)) > 1)


def _by_rule(node: DictConfig) -> bool:
    if "_target_" not in node:
        return False
    return getattr(get_object(node._target_), "moves_labels", False) or _by_rule(node.get("then") or OmegaConf.create())


def check_augmentation(name: str, loss: nn.Module, asked: str | None, drawn: Tensor | None, counts: list[int]) -> None:
    """Refuse an augmentation that moves the labels' frequencies beside another correction that does not follow it.

    A fixed prior, class weights and a sampler that draws otherwise than n / N do not; a running estimate does.

    Args:
        name: Of the augmentation.
        loss: The loss, with its weights.
        asked: Its setting ``prior``; None where it has none.
        drawn: (K,) class frequencies of the batches, None where they change over the epochs.
        counts: (K,) training images per class.

    Raises:
        InputError: both would correct for the same imbalance.
    """
    cure = "loss@stage1.loss=dynamic_balanced_softmax"
    if asked is not None:
        other = "the sampler's, which the loss corrects for"
    elif weighs(loss):
        other = (
            f"n / N, and {type(loss).__name__} weighs the classes by these: both would correct for the same imbalance"
        )
    elif getattr(loss, "corrects", False) or (drawn is not None and same(frequencies(counts, None), drawn)):
        return
    else:
        other = "n / N, and so does the sampler: both would correct for the same imbalance"
        cure = "sampler@stage1.sampler=instance_balanced"
    raise InputError(
        f"augment {name} moves the labels' frequencies away from {other}; take {cure} or, where it is meant, "
        "allow_double_correction=true"
    )


def asked_prior(node: DictConfig) -> str | None:
    """Return the setting ``prior`` of a loss or of the loss that it wraps; None where it corrects for no fixed one."""
    if "prior" in node:
        return node.prior
    return asked_prior(node.loss) if "loss" in node else None
