from collections import Counter

import pytest
import torch

from lt_calib.dataset.long_tail import class_counts
from lt_calib.sampler.class_aware import ClassAware

COUNTS = [7, 3, 1]
TARGETS = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))[torch.randperm(11)]


def batched(values: list, n: int) -> list[tuple]:
    return [tuple(values[i : i + n]) for i in range(0, len(values), n)]


def stream(epochs: int, targets: torch.Tensor = TARGETS, num_samples_cls: int = 4) -> list[int]:
    drawn: list[int] = []
    for epoch in range(epochs):
        sampler = ClassAware(
            targets, num_classes=3, seed=5, num_samples_cls=num_samples_cls
        )  # each epoch by itself, as when resumed
        sampler.set_epoch(epoch)
        drawn += list(sampler)
    return drawn


@pytest.mark.parametrize("m", [1, 2, 4])
def test_classes_and_images_come_in_turn_over_the_epochs(m):
    """11 places an epoch, which rows and rounds straddle: the endless order is that of the authors' iterators."""
    drawn = stream(60, num_samples_cls=m)
    labels = TARGETS[drawn].tolist()
    rows = [set(row) for row in batched(labels, m)]
    assert all(len(row) == 1 for row in rows)  # m of a class in a row
    for round_ in batched(rows, 3)[:-1]:
        assert set.union(*round_) == {0, 1, 2}  # every class once, before one comes again
    for c, n in enumerate(COUNTS):
        mine = [i for i in drawn if TARGETS[i] == c]
        for turn in batched(mine, n)[:-1]:
            assert len(set(turn)) == n  # every image once, before one comes again


def test_every_order_comes_as_often():
    drawn = stream(600)
    of_classes = [tuple(TARGETS[list(turn)[::4]].tolist()) for turn in batched(drawn, 12)[:-1]]
    of_images = batched([i for i in drawn if TARGETS[i] == 1], 3)[:-1]
    for orders in (of_classes, of_images):
        shares = [times / len(orders) for times in Counter(orders).values()]
        assert len(shares) == 6
        assert max(shares) < 1 / 6 + 0.06  # 550 of the first: 0.016 is one standard deviation


def test_a_missing_class_is_left_out():
    targets = torch.tensor([0, 0, 2])
    drawn = stream(40, targets, num_samples_cls=1)
    assert torch.bincount(targets[drawn], minlength=3).tolist() == [60, 0, 60]
    with pytest.raises(ValueError, match="num_samples_cls 0"):
        ClassAware(targets, num_classes=3, seed=0, num_samples_cls=0)


def test_epochs_of_a_long_tailed_set():
    """Of CIFAR-10-LT's size: each class a tenth of an epoch to within a row, each image of it as often as any other."""
    counts = torch.tensor(class_counts(5000, 10, 100))
    targets = torch.repeat_interleave(torch.arange(10), counts)
    sampler = ClassAware(targets, num_classes=10, seed=0)
    assert sampler.prior.tolist() == pytest.approx([0.1] * 10)
    times = torch.zeros(len(targets), dtype=torch.int64)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        drawn = torch.tensor(list(sampler))
        assert int((torch.bincount(targets[drawn]) - len(targets) / 10).abs().max()) <= 4
        times += torch.bincount(drawn, minlength=len(targets))
    for of_class in times.split(counts.tolist()):
        assert int(of_class.max() - of_class.min()) <= 1
