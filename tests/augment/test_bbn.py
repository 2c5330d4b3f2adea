import pytest
import torch

from lt_calib.augment.bbn import PairBBN
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.model.bbn import BBN, conventional_share
from lt_calib.model.classifier import Linear

IMAGES, TARGETS = torch.rand(4, 3, 32, 32), torch.eye(5)[:4]
PARTNER = torch.rand(4, 3, 32, 32), torch.eye(5)[1:]


def test_share_by_hand():
    assert [conventional_share(e, 10) for e in (0, 5, 9)] == pytest.approx([1, 0.75, 0.19])


def test_pairs_and_mixed_targets():
    pair = PairBBN(10)
    pair.set_epoch(5)
    images, targets = pair(IMAGES, TARGETS, torch.Generator(), PARTNER)
    assert torch.equal(images[:, :3], IMAGES)
    assert torch.equal(images[:, 3:], PARTNER[0])
    torch.testing.assert_close(targets, 0.75 * TARGETS + 0.25 * PARTNER[1])


def test_logits_and_loss_are_the_papers():
    torch.manual_seed(0)
    net, linear = BBN(10).eval(), Linear(128, 5)
    pair = PairBBN(10)
    for part in (net, pair):
        part.set_epoch(5)
    images, targets = pair(IMAGES, TARGETS, torch.Generator(), PARTNER)
    a = 0.75
    shared_c, shared_r = net._shared(IMAGES), net._shared(PARTNER[0])
    f_c, f_r = net.conventional(shared_c).mean((2, 3)), net.rebalancing(shared_r).mean((2, 3))
    logits = linear(torch.cat([2 * a * f_c, 2 * (1 - a) * f_r], 1))
    torch.testing.assert_close(linear(net(images)), logits, rtol=1e-4, atol=1e-4)
    ce = CrossEntropy([1] * 5)
    wanted = a * ce(logits, TARGETS.argmax(1)) + (1 - a) * ce(logits, PARTNER[1].argmax(1))
    torch.testing.assert_close(ce(linear(net(images)), targets), wanted, rtol=1e-4, atol=1e-4)


def test_the_share_is_not_rounded_by_autocast_and_not_kept():
    net = BBN(20).eval()
    assert "share" not in net.state_dict()
    images = torch.cat([IMAGES, PARTNER[0]], 1)
    halves = {}
    for epoch in (0, 1):
        net.set_epoch(epoch)
        with torch.autocast("cpu", torch.bfloat16):
            halves[epoch] = net(images)[:, :64]
    torch.testing.assert_close(halves[1], 0.9975 * halves[0], rtol=1e-6, atol=0)


def test_at_test_both_branches_unscaled_whatever_the_epoch():
    net = BBN(10).eval()
    before = net(IMAGES)
    net.set_epoch(9)
    assert torch.equal(net(IMAGES), before)
    shared = net._shared(IMAGES)
    both = [branch(shared).mean((2, 3)) for branch in (net.conventional, net.rebalancing)]
    torch.testing.assert_close(before, torch.cat(both, 1))


def test_single_pictures_are_no_training():
    with pytest.raises(ValueError, match="needs augment=bbn"):
        BBN(10)(IMAGES)


def test_only_the_last_block_is_there_twice():
    single = sum(p.numel() for p in BBN(10).conventional.parameters())
    from lt_calib.model.resnet_cifar import ResNet32

    count = [sum(p.numel() for p in net.parameters()) for net in (BBN(10), ResNet32())]
    assert count[0] - count[1] == single
