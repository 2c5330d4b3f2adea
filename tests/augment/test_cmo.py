from copy import deepcopy
from typing import Any

import pytest
import torch

from lt_calib.augment.cmo import CMO
from lt_calib.augment.cutmix import CutMix
from lt_calib.dataset.long_tail import class_counts
from lt_calib.job.fit import training_images
from lt_calib.loss.cross_entropy import CrossEntropy
from lt_calib.loss.drw import DRW
from lt_calib.loss.dynamic_balanced_softmax import DynamicBalancedSoftmax
from lt_calib.loss.lade import LADE
from lt_calib.loss.weights import class_balanced_weights
from tests.conftest import TINY, built

IMAGES, TARGETS = torch.rand(6, 3, 32, 32), torch.eye(6)
PARTNER = IMAGES + 10, TARGETS.flip(0)


@pytest.mark.parametrize(("epochs", "on"), [(200, range(4, 197)), (100, range(2, 98)), (20, range(20))])
def test_it_is_off_in_the_first_and_last_epochs(epochs, on):
    cmo = CMO(epochs, prob=1.0)
    for epoch in range(epochs):
        cmo.set_epoch(epoch)
        images, _ = cmo(IMAGES, TARGETS, torch.Generator().manual_seed(2), PARTNER)
        assert torch.equal(images, IMAGES) == (epoch not in on)


def test_on_it_is_cutmix_with_the_partners_patch():
    for ours, theirs in zip(
        CMO(100, prob=0.5)(IMAGES, TARGETS, torch.Generator().manual_seed(4), PARTNER),
        CutMix(prob=0.5)(IMAGES, TARGETS, torch.Generator().manual_seed(4), PARTNER),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"first 0.8"):
        CMO(10, first=0.8, last=0.3)


def test_two_means_are_the_authors_loss():
    """lam * mean of the backgrounds over their weights + (1 - lam) * mean of the patches over theirs."""
    counts = [900, 300, 90, 30, 9, 3]
    loss = DRW(counts, loss=CrossEntropy, max_epochs=10)
    loss.set_epoch(9)
    a, b, logits = torch.tensor([0, 0, 1, 0, 2, 1]), torch.tensor([5, 3, 0, 4, 5, 1]), torch.randn(6, 6)
    cmo = CMO(10, prob=1.0, two_means=True)
    images, targets = cmo(IMAGES, torch.eye(6)[a], torch.Generator().manual_seed(2), (PARTNER[0], torch.eye(6)[b]))
    lam = float(1 - (images > 5).float().mean())
    assert 0 < lam < 1
    mean = torch.nn.CrossEntropyLoss(weight=class_balanced_weights(counts, 0.9999).float())
    wanted = lam * mean(logits, a) + (1 - lam) * mean(logits, b)
    torch.testing.assert_close(loss(logits, targets), wanted)
    assert abs(float(loss(logits, targets.sum(1)) - wanted)) > 0.01  # one mean is another loss
    for other in (LADE(counts), DynamicBalancedSoftmax(counts)):  # which look at the labels themselves
        same = deepcopy(other)
        torch.testing.assert_close(other(logits, targets), same(logits, targets.sum(1)))
        for buffer, wanted in zip(other.buffers(), same.buffers(), strict=True):
            torch.testing.assert_close(buffer, wanted)


def test_the_share_of_the_patches_under_class_weights():
    """CIFAR-10-LT, IF 100, a patch of area 0.3: 0.72 of the loss under one mean, 0.30 under two."""
    n = torch.tensor(class_counts(5000, 10, 100), dtype=torch.float64)
    w = class_balanced_weights(n, 0.9999)
    background, patch = float((n * w).sum() / n.sum()), float(w.mean())
    assert 0.3 * patch / (0.7 * background + 0.3 * patch) == pytest.approx(0.715, abs=1e-3)


def test_a_step_and_the_figure_with_two_means():
    job = built("+experiment=cmo_drw", *TINY)
    stage = job.stages[0]
    assert stage.augment is not None
    stage.augment.augment.prob = 1.0  # type: ignore[attr-defined]
    _, targets, _ = training_images(stage) or pytest.fail("no images")
    assert targets.shape == (24, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(24))
    assert bool((targets > 0).sum(1).gt(1).any())
    batch = [x[:8] for x in next(iter(job.data.loader("train", stage.sampler, partner=stage.partner)))]
    stage.augment.apply(batch, torch.Generator().manual_seed(0))
    assert batch[1].shape == (8, 2, 10)
    step: Any = stage.module.training_step(batch, 0)
    assert bool(step["loss"].isfinite())
    assert step["images"] == 8


def test_effective_prior_on_cifar100_lt():
    """CMO moves the marginals: head to tail about 22 to 1 at IF 100, not 100 to 1."""
    counts = torch.tensor(class_counts(500, 100, 100), dtype=torch.float64)
    data = counts / counts.sum()
    # The mean weight of the partner's label, whose classes are uniform.
    cmo, draws, partner = CMO(200), torch.Generator().manual_seed(0), (IMAGES[:1], torch.eye(2)[1:])
    cmo.set_epoch(100)
    shares = [float(cmo(IMAGES[:1], torch.eye(2)[:1], draws, partner)[1][0, 1]) for _ in range(8000)]
    pasted = sum(shares) / len(shares)
    seen = (1 - pasted) * data + pasted / 100
    assert float(seen[0] / seen[-1]) == pytest.approx(22, abs=2)
