"""The long-tailed split: class counts, the indices they select, and the head / medium / tail groups."""

import math
from collections.abc import Sequence
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

GROUP_NAMES = ("head", "medium", "tail")
BY_COUNT = (100, 20)  # head above the first, tail below the second
UNEVEN = 1.2  # largest over smallest class that still count as of one size
PROFILES = ("exp", "step", "pareto")


def class_counts(n_max: int, num_classes: int, imbalance_factor: float, profile: str = "exp") -> list[int]:
    """Return the class counts of a profile, largest first, c = 0 .. K - 1.

    - ``"exp"``: n_c = int(n_max IF^(-c / (K - 1))).
    - ``"step"``: n_max for the first half of the classes, int(n_max / IF) for the others.
    - ``"pareto"``: n_c = int(n_max (c + 1)^(-a)), a = log IF / log K, as of a power law.

    Args:
        n_max: Images of the largest class, >= 1.
        num_classes: K >= 1.
        imbalance_factor: IF = n_max / n_min >= 1, finite; 1 keeps the data balanced.
        profile: As above.

    Example:
        >>> class_counts(5000, 10, 100)
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]

    Raises:
        ValueError: another profile, IF below 1 or not finite, or so large that a class is left without an image.

    Reference:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", 2019, section 4.
    """
    if n_max < 1 or num_classes < 1:
        raise ValueError(f"n_max {n_max} and num_classes {num_classes} must be >= 1")
    counts = [int(n_max * share) for share in shares(num_classes, imbalance_factor, profile)]
    if min(counts) < 1:
        least = math.ceil(imbalance_factor)
        least += int(least * imbalance_factor**-1.0) < 1  # int(49 * 49^-1) = int(0.99...) = 0
        largest = n_max - (int(n_max * n_max**-1.0) < 1)
        raise ValueError(
            f"imbalance factor {imbalance_factor:g} leaves class {counts.index(0)} without an image, of the "
            f"largest class's n_max = {n_max}, over {num_classes} classes. The factor must be "
            f"<= {largest}, or n_max >= {least}"
        )
    return counts


def shares(num_classes: int, imbalance_factor: float, profile: str = "exp") -> list[float]:
    """Return n_c / n_max of a profile, 1 to 1 / IF; see :func:`class_counts`."""
    if not (math.isfinite(imbalance_factor) and imbalance_factor >= 1):
        raise ValueError(
            f"imbalance factor {imbalance_factor} must be a finite number >= 1 "
            "(n_max / n_min: 100 means that the largest class has 100 times the images of the smallest)"
        )
    last = max(num_classes - 1, 1)
    if profile == "exp":
        return [imbalance_factor ** (-c / last) for c in range(num_classes)]
    if profile == "step":
        half = (num_classes + 1) // 2
        return [1.0] * half + [1 / imbalance_factor] * (num_classes - half)
    if profile == "pareto":
        return [imbalance_factor ** (-math.log(c + 1) / math.log(last + 1)) for c in range(num_classes)]
    raise ValueError(f"dataset.profile={profile} must be one of {', '.join(PROFILES)}")


def wanted_counts(
    available: Sequence[int],
    imbalance_factor: float | None,
    profile: str = "exp",
    counts: Sequence[int] | None = None,
) -> list[int]:
    """Choose how many training images of each class are kept.

    Classes of about one size are cut in label order, n_max being the smallest. Of others the largest stays the largest,
    and n_max is as large as the profile allows.

    Args:
        available: (K,) images of each class.
        imbalance_factor: IF >= 1; None keeps all.
        profile: See :func:`class_counts`.
        counts: (K,) wanted counts, in the place of both.

    Raises:
        ValueError: a factor or profile out of its range, or counts that are not there.
    """
    k = len(available)
    if counts is not None:
        if len(counts) != k or not all(1 <= n <= m for n, m in zip(counts, available, strict=True)):
            raise ValueError(
                f"dataset.class_counts={list(counts)} must be {k} numbers, each from 1 to the images that the "
                f"class has: {list(available)}"
            )
        return list(counts)
    if imbalance_factor is None:
        return list(available)
    if max(available) <= UNEVEN * min(available):
        return class_counts(min(available), k, imbalance_factor, profile)
    order = sorted(range(k), key=lambda c: -available[c])
    of_share = zip(order, shares(k, imbalance_factor, profile), strict=True)
    n_max = int(min(available[c] / share for c, share in of_share) + 1e-9)
    counts = class_counts(max(n_max, 1), k, imbalance_factor, profile)
    return [counts[order.index(c)] for c in range(k)]


def split_indices(
    targets: Sequence[int] | NDArray[np.integer],
    class_counts: Sequence[int],
    val_per_class: int = 0,
    seed: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Select the training pictures, and a balanced validation part that shares none with them.

    One ``RandomState(seed)``: for each class in label order, its indices are shuffled; training takes the first
    min(n_c, available - V), validation the last V. Only the largest classes lose pictures to validation, and the
    validation part is the same at every imbalance factor.

    Args:
        targets: (N,) labels 0 .. K - 1 of the balanced data set.
        class_counts: (K,) wanted pictures a class.
        val_per_class: V >= 0.
        seed: The split's seed, which is not the job's.

    Returns:
        Training and validation indices, class after class, int64.

    Raises:
        ValueError: a class has fewer pictures than are asked for, or none would be left to train on.
    """
    labels = np.asarray(targets)
    rng = np.random.RandomState(seed)
    train, val = [], []
    for c, count in enumerate(class_counts):
        indices = np.flatnonzero(labels == c)
        available = len(indices)
        if count > available:
            raise ValueError(f"class {c} has {available} pictures, {count} were asked for")
        if not 0 <= val_per_class < available:
            raise ValueError(
                f"val_per_class {val_per_class} must be >= 0 and leave class {c} a picture to train on: "
                f"it has {available}; take a smaller dataset.val_per_class"
            )
        rng.shuffle(indices)
        train.append(indices[: min(count, available - val_per_class)])
        val.append(indices[available - val_per_class :])
    return np.concatenate(train).astype(np.int64), np.concatenate(val).astype(np.int64)


def select_indices(
    targets: Sequence[int] | NDArray[np.integer], class_counts: Sequence[int], seed: int = 0
) -> NDArray[np.int64]:
    """Select the training pictures alone: the first part of :func:`split_indices` with no validation part.

    Example:
        >>> targets = [0, 0, 0, 0, 1, 1, 1, 1]
        >>> [targets[i] for i in select_indices(targets, [3, 1])]
        [0, 0, 0, 1]
    """
    return split_indices(targets, class_counts, 0, seed)[0]


def groups(class_counts: Sequence[int], rule: Sequence[int] | str) -> dict[str, list[int]]:
    """Assign each class to head, medium or tail.

    Args:
        class_counts: (K,) training pictures a class.
        rule: Two boundaries ``[a, b]``, 0 <= a <= b <= K: head [0, a), medium [a, b), tail [b, K) in label order; or
            ``"thirty_forty_thirty"``: the first 30 %, the next 40 % and the last 30 % of the classes; or
            ``"by_count"``: more than 100, 20 to 100, fewer than 20 training pictures.

    Returns:
        Class indices a group; a group may be empty.

    Example:
        >>> groups([500, 80, 5], "by_count")
        {'head': [0], 'medium': [1], 'tail': [2]}

    Raises:
        ValueError: another rule, or boundaries that are no whole numbers or out of order or range.
    """
    k = len(class_counts)
    if rule == "by_count":
        names = ["head" if n > BY_COUNT[0] else "tail" if n < BY_COUNT[1] else "medium" for n in class_counts]
        return {name: [c for c in range(k) if names[c] == name] for name in GROUP_NAMES}
    if rule == "thirty_forty_thirty":
        a, b = round(0.3 * k), round(0.7 * k)
    else:
        whole = isinstance(rule, Sequence) and all(isinstance(x, Integral) and not isinstance(x, bool) for x in rule)
        if not (whole and len(rule) == 2 and 0 <= rule[0] <= rule[1] <= k):  # type: ignore[operator]
            raise ValueError(
                f"dataset.groups {rule!r} must be two boundaries [a, b], whole numbers with 0 <= a <= b <= {k}, the "
                "number of classes; or 'thirty_forty_thirty' or 'by_count'"
            )
        a, b = map(int, rule)
    return {"head": list(range(a)), "medium": list(range(a, b)), "tail": list(range(b, k))}


def factor_shown(asked: float | None, real: float | None = None) -> str:
    """Write an imbalance factor as asked for, with the one that there really is where that is another: 10 (is 1.3)."""
    if asked is None:
        return "natural"
    return f"{asked:g}" + (f" (is {round(real, 1):g})" if real is not None and real != asked else "")
