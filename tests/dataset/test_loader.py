import pytest
import torch

from lt_calib.dataset.resident import ResidentLoader
from lt_calib.sampler.instance_balanced import InstanceBalanced

IMAGES = torch.arange(23)[:, None, None, None].expand(-1, 2, 2, 3).to(torch.uint8)
TARGETS = torch.arange(23) % 3


def loader(**kwargs) -> ResidentLoader:
    sampler = InstanceBalanced(TARGETS, num_classes=3, seed=0)
    return ResidentLoader(IMAGES, TARGETS, sampler, 5, **kwargs)


def test_an_epoch_is_a_permutation_in_lists():
    batches = list(loader())
    assert len(batches) == len(loader()) == 5
    assert all(isinstance(batch, list) for batch in batches)
    seen = torch.cat([images[:, 0, 0, 0] for images, _ in batches])
    assert sorted(seen.tolist()) == list(range(23))
    assert torch.equal(torch.cat([targets for _, targets in batches]), seen.long() % 3)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_the_ranks_pieces_are_the_global_batch(world_size):
    ranks = [list(loader(rank=r, world_size=world_size)) for r in range(world_size)]
    assert len({len(batches) for batches in ranks}) == 1
    for step, (images, _) in enumerate(loader()):
        pieces = [batches[step][0] for batches in ranks]
        assert torch.equal(torch.cat(pieces), images)
        assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_transform_gets_purpose_epoch_and_step():
    calls = []

    def transform(images, purpose, epoch, step):
        calls.append((purpose, epoch, step))
        return images

    it = loader(transform=transform)
    it.set_epoch(4)
    list(it)
    assert calls == [("sampler", 4, step) for step in range(5)]


def test_partners_are_a_second_batch_drawn_independently():
    partner = InstanceBalanced(TARGETS, num_classes=3, seed=0, purpose="partner")
    it = loader(partner=partner)
    it.set_epoch(2)
    batches = list(it)
    assert partner.epoch == 2
    first, second = (torch.cat([batch[i] for batch in batches]) for i in (0, 2))
    assert sorted(first[:, 0, 0, 0].tolist()) == sorted(second[:, 0, 0, 0].tolist()) == list(range(23))
    assert not torch.equal(first, second)
    assert all(torch.equal(batch[2][:, 0, 0, 0].long() % 3, batch[3]) for batch in batches)


def test_batch_size_of_zero():
    with pytest.raises(ValueError, match="batch_size 0"):
        ResidentLoader(IMAGES, TARGETS, InstanceBalanced(TARGETS, num_classes=3, seed=0), 0)
