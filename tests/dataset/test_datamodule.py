from functools import partial
from itertools import combinations
from typing import Any

import pytest
import torch

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.digits import digits
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.sampler.class_balanced import ClassBalanced
from lt_calib.sampler.instance_balanced import InstanceBalanced
from lt_calib.transform.crop_flip import CropFlip


def module(source=digits, **kwargs) -> LongTailedDataModule:
    crops = CropFlip([0.5] * 3, [0.25] * 3)
    data = LongTailedDataModule(source, imbalance_factor=10, batch_size=32, transform=crops, **kwargs)
    data.setup()
    return data


def of_one_image(data: LongTailedDataModule, n: int = 64) -> LongTailedDataModule:
    """The same training image again and again: the draws alone tell them apart."""
    return data.with_train(data.raw("train")[:1].expand(n, -1, -1, -1), data.targets("train")[:1].expand(n))


def test_counts_are_what_is_really_there():
    data = module(val_per_class=20)
    assert data.class_counts == torch.bincount(data.targets("train")).tolist()
    assert data.class_counts[0] == 128 - 20  # class 0 has 128, 124 were wanted
    assert data.class_counts[-1] == 12
    assert torch.bincount(data.targets("val")).tolist() == [20] * 10
    assert torch.bincount(data.targets("test")).tolist() == [50] * 10


def test_no_validation_part_by_default():
    data = module()
    assert data.val_dataloader() == []
    assert set(data.splits) == {"train", "test"}


def test_training_batches_depend_on_seed_stage_and_epoch_only():
    data = module()

    def batch(seed, stage, epoch):
        sampler = ClassBalanced(data.targets("train"), num_classes=10, seed=seed, stage=stage)
        sampler.set_epoch(epoch)
        return next(iter(data.loader("train", sampler)))[0]

    assert torch.equal(batch(0, 1, 0), batch(0, 1, 0))
    for other in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        assert not torch.equal(batch(0, 1, 0), batch(*other))


def test_evaluation_is_in_order_and_without_augmentation():
    data = module()
    loader = data.loader("test")
    assert torch.equal(torch.cat([t for _, t in loader]), data.targets("test"))
    assert torch.equal(torch.cat([images for images, _ in loader]), data.transform.evaluate(data.raw("test")))


def test_a_trainer_of_ones_own_finds_the_loaders():
    data = module(val_per_class=20)
    seen = torch.cat([targets for _, targets in data.train_dataloader()])
    assert torch.bincount(seen).tolist() == data.class_counts
    evaluated: Any = {"val": data.val_dataloader(), "test": data.test_dataloader()}
    for split, loader in evaluated.items():
        assert torch.equal(torch.cat([targets for _, targets in loader]), data.targets(split))


def test_each_process_crops_and_flips_its_piece_by_draws_of_its_own():
    data = of_one_image(module())
    sampler = InstanceBalanced(data.targets("train"), num_classes=10, seed=0)

    def piece(rank: int) -> torch.Tensor:
        return next(iter(data.loader("train", sampler, rank=rank, world_size=2)))[0]

    assert piece(0).shape == piece(1).shape == (16, 3, 32, 32)
    assert torch.equal(piece(0), piece(0))
    assert not torch.equal(piece(0), piece(1))


def test_crops_depend_on_seed_stage_epoch_step_and_purpose():
    data = of_one_image(module())

    def drawn(seed=0, stage=1, epoch=0):
        make = partial(InstanceBalanced, data.targets("train"), num_classes=10, seed=seed, stage=stage)
        loader = data.loader("train", make(), partner=make(purpose="partner"))
        loader.set_epoch(epoch)
        return [images for batch in loader for images in (batch[0], batch[2])]

    every = drawn() + drawn(seed=1) + drawn(stage=2) + drawn(epoch=1)
    assert len(every) == 4 * 2 * 2
    assert all(not torch.equal(a, b) for a, b in combinations(every, 2))


def test_other_training_images_leave_the_data_they_came_from():
    data = module(val_per_class=20)
    counts, groups = list(data.class_counts), dict(data.groups)
    features, targets = torch.randn(30, 8), torch.arange(30) % 10
    other = data.with_train(features, targets)
    assert other.class_counts == [3] * 10
    assert other.groups == groups
    assert torch.equal(other.raw("test"), data.raw("test"))
    sampler = InstanceBalanced(targets, num_classes=10, seed=0)
    batches = list(other.loader("train", sampler))
    assert torch.equal(torch.cat([x for x, _ in batches]), features[list(sampler)])
    assert data.class_counts == counts == torch.bincount(data.targets("train")).tolist()


def test_facts_tell_training_sets_apart():
    facts = module().facts
    assert facts == module().facts
    assert len({str(x) for x in (facts, module(split_seed=1).facts, module(val_per_class=20).facts)}) == 3
    whole: Any = digits()
    inverted = Source(**{**vars(whole), "train_images": 255 - whole.train_images})
    assert module(lambda root: inverted).facts["sha256"] != facts["sha256"]


def test_images_are_resized():
    data = module(size=48, val_per_class=20)
    assert data.image_shape == (3, 48, 48)
    assert {data.raw(split).shape[1:] for split in data.splits} == {(48, 48, 3)}
    assert data.raw("train").dtype == torch.uint8
    small = module(size=16).raw("test").float()
    torch.testing.assert_close(small.mean((1, 2)), module().raw("test").float().mean((1, 2)), atol=4, rtol=0)
    with pytest.raises(ValueError, match="size 0 must be >= 1"):
        module(size=0)


def test_a_source_that_is_long_tailed_itself_is_cut_to_a_factor_or_kept():
    whole: Any = digits()
    kept = whole.train_targets != 3
    kept[::2] = True
    cut = {"train_images": whole.train_images[kept], "train_targets": whole.train_targets[kept]}
    counts = torch.bincount(cut["train_targets"]).tolist()

    def of(factor: float | None) -> LongTailedDataModule:
        data = LongTailedDataModule(lambda root: Source(**{**vars(whole), **cut}), imbalance_factor=factor)
        data.setup()
        return data

    assert of(None).class_counts == counts
    assert of(None).imbalance_factor == max(counts) / min(counts)
    tail = of(10).class_counts
    assert all(n <= m for n, m in zip(tail, counts, strict=True))
    assert 9 < max(tail) / min(tail) < 12


def test_four_constants_are_too_many_for_three_channels():
    data = LongTailedDataModule(digits, transform=CropFlip([0.5] * 4, [0.25] * 4))
    with pytest.raises(InputError, match=r"has 4 numbers, dataset\.std .* 4, and the images have 3 channels"):
        data.setup()


def test_the_factor_that_the_validation_part_leaves_is_told_beside_the_one_asked_for():
    cut = module(val_per_class=100)
    n = cut.class_counts
    assert max(n) / min(n) < 3  # of the digits some 28 images of each class are left
    assert (cut.imbalance_factor, cut.real_imbalance_factor) == (10, max(n) / min(n))
    assert module(val_per_class=1).real_imbalance_factor == 10  # no class loses an image
    assert module(val_per_class=20).real_imbalance_factor == (128 - 20) / 12
    features = torch.randn(30, 8), torch.arange(30) % 10
    assert (
        cut.with_train(*features).real_imbalance_factor == cut.real_imbalance_factor
    )  # the resampled are the method's


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 1.5, True, "a", None])
def test_a_split_seed_that_is_none_is_said(seed):
    with pytest.raises(InputError, match=rf"dataset\.split_seed={seed} must be >= 0 and <= 4294967295"):
        LongTailedDataModule(digits, split_seed=seed)


def test_a_fraction_is_held_out_of_the_tail_itself():
    """IF 10 of 128 images: 10 % of each class, rounded; the digits' smallest class of 12 spares one."""
    whole, data = module(), module(val_fraction=0.1)
    assert torch.bincount(data.targets("val")).tolist() == [round(0.1 * n) for n in whole.class_counts]
    assert data.class_counts == [n - round(0.1 * n) for n in whole.class_counts]
    together = torch.cat([data.raw(split).flatten(1) for split in ("train", "val")])
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, whole.raw("train").flatten(1).tolist()))
    assert torch.equal(module(val_fraction=0.1).targets("val"), data.targets("val"))
    assert data.facts["val_fraction"] == 0.1
    assert "val_fraction" not in whole.facts  # a checkpoint of before knows of none


def of_counts(counts: list[int], groups: list[str] | None = None, **others: Any):
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.arange(len(targets), dtype=torch.uint8)[:, None, None, None].expand(-1, 32, 32, 3).clone()
    names = tuple(map(str, range(len(counts))))
    return lambda root: Source(images, targets, images, targets, names, train_groups=groups, **others)


def tail(source, **kwargs: Any) -> LongTailedDataModule:
    data = LongTailedDataModule(source, imbalance_factor=None, batch_size=4, **kwargs)
    data.setup()
    return data


def test_a_class_too_small_to_spare_an_image_keeps_all():
    data = tail(of_counts([40, 10, 4, 1]), val_fraction=0.1)
    assert data.class_counts == [36, 9, 4, 1]
    assert torch.bincount(data.targets("val"), minlength=4).tolist() == [4, 1, 0, 0]


def test_whole_groups_are_held_out():
    groups = [str(i // 4) for i in range(60)]
    data = tail(of_counts([40, 20], groups), val_fraction=0.2)
    held, kept = (set(data.together(split)) for split in ("val", "train"))
    assert held
    assert not held & kept


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"val_fraction": 1.0}, r"dataset.val_fraction=1.0 must be in \(0, 1\)"),
        ({"val_fraction": -0.1}, r"dataset.val_fraction=-0.1 must be in \(0, 1\)"),
        ({"val_fraction": 0.1, "val_per_class": 1}, "set one of them to 0"),
        ({"val_fraction": 0.001}, "holds no image out of 60: take a larger"),
    ],
)
def test_a_fraction_that_holds_nothing_out_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        tail(of_counts([40, 20]), **settings)
    images, targets = torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.tensor([0, 1])
    with pytest.raises(InputError, match=r"dataset.val_fraction=0.1: the source has a validation part"):
        tail(of_counts([40, 20], val_images=images, val_targets=targets), val_fraction=0.1)
