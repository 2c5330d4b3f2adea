from typing import Any

import torch

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.embedded import Embedded
from lt_calib.dataset.source import Source
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.transform.crop_flip import CropFlip
from lt_calib.transform.normalize import Normalize

ZERO, ONE = [0.0] * 3, [1.0] * 3
IMAGES = torch.arange(20, dtype=torch.uint8)[:, None, None, None].repeat(1, 2, 4, 3) * 10
IMAGES[:, :, 2:] += 40  # the right half is brighter, so that a flip is seen
LABELS = torch.tensor([0] * 12 + [1] * 8)


def data(transform) -> Any:
    source = Source(IMAGES, LABELS, IMAGES[:4], LABELS[:4], ("a", "b"))
    made = LongTailedDataModule(
        lambda root: source, imbalance_factor=None, groups="by_count", batch_size=8, transform=transform
    )
    made.setup()
    return made


def left_and_right(batches, total, what):
    """The mean of each half, (N, 2): a network that sees a flip."""
    rows = torch.cat([torch.stack([x[..., :2].mean((1, 2, 3)), x[..., 2:].mean((1, 2, 3))], 1) for x, *_ in batches])
    assert len(rows) == total
    return rows


def test_batches_are_the_features_of_what_the_sampler_draws():
    table = Embedded(data(Normalize(ZERO, ONE)), left_and_right, 2, {"sha256": "x"})
    expected = torch.stack([torch.arange(20) * 10, torch.arange(20) * 10 + 40], 1) / 255
    torch.testing.assert_close(table.raw("train"), expected)
    assert (table.num_features, table.image_shape, table.facts["features"]) == (2, (3, 2, 4), {"sha256": "x"})
    sampler = InstanceBalanced(LABELS, num_classes=2, seed=3)
    for epoch in (0, 5):
        loader = table.loader("train", sampler)
        loader.set_epoch(epoch)
        order = loader.order()
        rows, targets = (torch.cat(parts) for parts in zip(*loader, strict=True))
        assert rows.equal(table.raw("train")[order])
        assert targets.equal(LABELS[order])
    pieces = [list(table.loader("train", sampler, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(a[0]) + len(b[0]) for a, b in zip(*pieces, strict=True)] == [8, 8, 4]


def test_views_take_turns_and_evaluation_sees_the_image_itself():
    table = Embedded(data(CropFlip(ZERO, ONE, padding=0, flip=True)), left_and_right, 2, {}, views=2)
    sampler = InstanceBalanced(LABELS, num_classes=2, seed=0)
    seen = []
    for epoch in range(4):
        loader = table.loader("train", sampler)
        loader.set_epoch(epoch)
        rows = torch.cat([batch[0] for batch in loader])
        seen.append(rows[loader.order().argsort()])
    assert seen[0].equal(seen[2])
    assert seen[1].equal(seen[3])
    flipped = [view[:, 0] > view[:, 1] for view in seen[:2]]
    assert not flipped[0].equal(flipped[1])
    assert all(0 < int(view.sum()) < 20 for view in flipped)
    assert bool((table.raw("train")[:, 0] < table.raw("train")[:, 1]).all())


def test_other_training_rows_take_the_place_of_the_features():
    table = Embedded(data(Normalize(ZERO, ONE)), left_and_right, 2, {}, views=3)
    other = table.with_train(torch.ones(3, 2), torch.tensor([1, 1, 0]))
    assert other.class_counts == [1, 2]
    assert other.cut_counts == table.class_counts == [12, 8]
    assert next(iter(other.loader("train")))[0].equal(torch.ones(3, 2))
    assert len(other.raw("test")) == 4
