"""The audit of a data set before anything trains: what is there, what is broken, what leaks, what can be judged."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from PIL import Image

from lt_calib.dataset import long_tail
from lt_calib.dataset.files import Files, in_parallel
from lt_calib.dataset.split import Part
from lt_calib.errors import InputError

SIDE = 16  # of the places whose brightness is compared with their neighbor's, a bit each
NEAR = 6  # of these bits that may differ between an image and its copy, scaled or compressed anew
JUDGED = 30  # test images of a class, from which the half-width of its accuracy's interval is below 18 points
Z = 1.96  # of a 95 % interval
NAMED = 5


@dataclass(frozen=True)
class Look:
    """What one look at an image's file tells."""

    size: tuple[int, int] = (0, 0)
    content: str = ""
    bits: int = 0  # of its difference hash
    broken: str = ""


def look(files: Files, index: int) -> Look:
    """Read an image once: its size, the hash of its content, and that of its look, or why it cannot be read.

    The hash of the look has a bit for each of 16 x 16 places: whether it is brighter than its neighbor to the left.
    """
    try:
        image, content = files.read(index, "L"), files.content(index)
    except InputError as error:
        return Look(broken=str(error))
    small = np.asarray(image.resize((SIDE + 1, SIDE), Image.Resampling.BILINEAR), dtype=np.int16)
    bits = int("".join("1" if brighter else "0" for brighter in (np.diff(small, axis=1) > 0).ravel()), 2)
    return Look(image.size, hashlib.sha256(content).hexdigest(), bits)


def looks(files: Files) -> list[Look]:
    """Look at all images, over all cores."""
    return list(in_parallel(lambda i: look(files, i), len(files), "looking at images"))


def audit(parts: Mapping[str, Part], class_names: Sequence[str], rule: Sequence[int] | str) -> dict[str, list[str]]:
    """Say what the data are.

    Args:
        parts: Split -> samples, not decoded.
        class_names: K names.
        rule: Of head, medium and tail.

    Returns:
        Heading -> sentences, one per line.
    """
    k = len(class_names)
    counts = {split: np.bincount(part.targets.numpy(), minlength=k) for split, part in parts.items()}
    found = {split: looks(part.images) for split, part in parts.items() if isinstance(part.images, Files)}
    return {
        "Classes": list(_classes(counts, class_names, rule)),
        "Images": list(_images(found, parts)),
        "Between the splits": list(_leaks(found, parts, class_names)),
        "How far results can be trusted": list(_advice(counts, class_names)),
    }


def _classes(counts: Mapping[str, np.ndarray], names: Sequence[str], rule: Sequence[int] | str) -> Iterator[str]:
    train = counts["train"]
    share = train / train.sum()
    yield f"{len(train)} classes, {train.sum()} training images: {train.max()} to {train.min()} per class"
    yield (
        f"imbalance factor {train.max() / max(train.min(), 1):g}, Gini coefficient {gini(train):.2f}, effective number "
        f"of classes {math.exp(-float((share[share > 0] * np.log(share[share > 0])).sum())):.1f} of {len(train)}"
    )
    for group, classes in long_tail.groups(train.tolist(), rule).items():
        sizes = [int(train[c]) for c in classes]
        yield f"{group}, {len(classes)} classes" + (f": {max(sizes)} to {min(sizes)} images" if sizes else "")
    for split in ("val", "test"):
        if split in counts:
            n = counts[split]
            even = "balanced" if n.max() == n.min() else f"{n.max()} to {n.min()} per class: not balanced"
            yield f"{split}: {n.sum()} images, {even}" + _without(names, n)


def _images(found: Mapping[str, list[Look]], parts: Mapping[str, Part]) -> Iterator[str]:
    every = list(chain.from_iterable(found.values()))
    if not every:
        yield "in memory, all of one size"
        return
    sides = sorted(look.size for look in every if not look.broken)
    if sides:
        short = sorted(min(size) for size in sides)
        yield (
            f"{len(set(sides))} sizes; the shorter side has {short[0]} to {short[-1]} pixels, {short[len(short) // 2]} "
            "in the middle"
        )
    broken = [look.broken for look in every if look.broken]
    yield f"cannot be read: {len(broken)}" + (
        f": {_some(broken)}; dataset.skip_broken=true leaves them out" if broken else ""
    )


def _leaks(found: Mapping[str, list[Look]], parts: Mapping[str, Part], names: Sequence[str]) -> Iterator[str]:
    where = [(split, i, one) for split, all_of in found.items() for i, one in enumerate(all_of) if not one.broken]
    same: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for split, i, one in where:
        same[one.content].append((split, i))
    copies = [places for places in same.values() if len(places) > 1]

    def named(places: Sequence[tuple[str, int]]) -> str:
        return " = ".join(parts[split].names[i] for split, i in places)

    crossing = [places for places in copies if len({split for split, _ in places}) > 1]
    yield f"identical files in several splits: {len(crossing)}" + _examples(map(named, crossing))
    torn = [places for places in copies if len({int(parts[split].targets[i]) for split, i in places}) > 1]
    yield f"identical files under several labels: {len(torn)}" + _examples(map(named, torn))
    near = [(a, b) for a, b in _near(where) if a[0] != b[0]]
    yield f"pairs that look alike across splits: {len(near)}" + _examples(
        f"{named([a])} ~ {named([b])}" for a, b in near
    )


def _near(where: Sequence[tuple[str, int, Look]]) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """Find pairs whose hashes differ in at most ``NEAR`` bits: then at least one of NEAR + 1 pieces is the same."""
    pairs, width = set(), -(-SIDE * SIDE // (NEAR + 1))
    for piece in range(NEAR + 1):
        buckets: dict[int, list[tuple[str, int, Look]]] = defaultdict(list)
        for one in where:
            buckets[one[2].bits >> (piece * width) & ((1 << width) - 1)].append(one)
        for alike in buckets.values():
            for j, (split, i, b) in enumerate(alike):
                for other, h, a in alike[:j]:
                    if a.content != b.content and (a.bits ^ b.bits).bit_count() <= NEAR:
                        pairs.add(((other, h), (split, i)))
    return sorted(pairs)


def _advice(counts: Mapping[str, np.ndarray], names: Sequence[str]) -> Iterator[str]:
    test = counts["test"]
    few = [c for c in np.argsort(test, kind="stable").tolist() if 0 < test[c] < JUDGED]
    if few:
        half = 100 * Z * math.sqrt(0.25 / int(test[few[0]]))
        yield (
            f"{len(few)} classes have fewer than {JUDGED} test images, too few to be judged one by one: the 95 % "
            f"interval of an accuracy near 50 % reaches {min(half, 50):.0f} points to each side with {test[few[0]]} "
            f"({names[few[0]]}); read head, medium and tail instead"
        )
    else:
        yield f"every class that has test images has {JUDGED} or more of them"
    least = int(counts["train"].min())
    if "val" in counts:
        yield "a validation part is there: calibrators and choices can be fitted to it"
    elif least > 20:
        yield f"a validation part can be held out: dataset.val_per_class=10 leaves {least - 10} of the smallest class"
    else:
        yield (
            f"no balanced validation part can be held out, since the smallest class has {least} training images: take "
            "methods that need none, such as balanced_softmax_awabs"
        )


def gini(counts: np.ndarray) -> float:
    """Compute the Gini coefficient sum_i (2 i - K - 1) n_(i) / (K sum n), n sorted up, i = 1 .. K: 0 is balanced."""
    ordered, k = np.sort(counts), len(counts)
    return float(((2 * np.arange(1, k + 1) - k - 1) * ordered).sum() / (k * ordered.sum()))


def _without(names: Sequence[str], counts: np.ndarray) -> str:
    none = [name for name, n in zip(names, counts, strict=True) if n == 0]
    return f"; classes without one, {len(none)}: {_some(none)}" if none else ""


def _examples(found: Iterable[str]) -> str:
    some = list(found)
    return f" ({_some(some)})" if some else ""


def _some(texts: Sequence[str]) -> str:
    return "; ".join(texts[:NAMED]) + (f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else "")
