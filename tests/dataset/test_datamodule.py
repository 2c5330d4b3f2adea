from functools import partial
from itertools import combinations

import torch

from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.digits import digits
from lt_calib.sampler.class_balanced import ClassBalanced
from lt_calib.sampler.instance_balanced import InstanceBalanced


def module(**kwargs) -> LongTailedDataModule:
    data = LongTailedDataModule(digits, imbalance_factor=10, batch_size=32, **kwargs)
    data.setup()
    return data


def test_counts_are_what_is_really_there():
    data = module(val_per_class=20)
    assert data.class_counts == torch.bincount(data.splits["train"][1]).tolist()
    assert data.class_counts[0] == 128 - 20  # class 0 has 128, 124 were wanted
    assert data.class_counts[-1] == 12
    assert torch.bincount(data.splits["val"][1]).tolist() == [20] * 10
    assert torch.bincount(data.splits["test"][1]).tolist() == [50] * 10


def test_no_validation_part_by_default():
    data = module()
    assert data.val_dataloader() == []
    assert set(data.splits) == {"train", "test"}


def test_training_batches_depend_on_seed_stage_and_epoch_only():
    data = module()

    def batch(seed, stage, epoch):
        sampler = ClassBalanced(data.splits["train"][1], num_classes=10, seed=seed, stage=stage)
        sampler.set_epoch(epoch)
        data.draw_with(sampler)
        return next(iter(data.train_dataloader()))[0]

    assert torch.equal(batch(0, 1, 0), batch(0, 1, 0))
    for other in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        assert not torch.equal(batch(0, 1, 0), batch(*other))


def test_evaluation_is_in_order_and_without_augmentation():
    data = module()
    loader = data.test_dataloader()
    assert torch.equal(torch.cat([t for _, t in loader]), data.splits["test"][1])
    assert torch.equal(next(iter(loader))[0], next(iter(loader))[0])


def test_each_process_crops_and_flips_its_piece_by_draws_of_its_own(monkeypatch):
    data = module()
    images, targets = data.splits["train"]
    data.splits["train"] = images[:1].expand(64, -1, -1, -1), targets[:1].expand(64)  # only the draws tell them apart

    def piece(rank: int) -> torch.Tensor:
        monkeypatch.setattr(LongTailedDataModule, "_process", (rank, 2))
        return next(iter(data.train_dataloader()))[0]

    assert piece(0).shape == piece(1).shape == (16, 3, 32, 32)
    assert torch.equal(piece(0), piece(0))
    assert not torch.equal(piece(0), piece(1))


def test_crops_depend_on_seed_stage_epoch_step_and_purpose():
    data = module()
    images, targets = data.splits["train"]
    data.splits["train"] = images[:1].expand(64, -1, -1, -1), targets[:1].expand(64)  # the draws alone differ

    def drawn(seed=0, stage=1, epoch=0):
        make = partial(InstanceBalanced, data.splits["train"][1], num_classes=10, seed=seed, stage=stage)
        data.draw_with(make(), make(purpose="partner"))
        loader = data.train_dataloader()
        loader.set_epoch(epoch)  # type: ignore[union-attr]
        return [images for batch in loader for images in (batch[0], batch[2])]

    every = drawn() + drawn(seed=1) + drawn(stage=2) + drawn(epoch=1)
    assert len(every) == 4 * 2 * 2
    assert all(not torch.equal(a, b) for a, b in combinations(every, 2))
