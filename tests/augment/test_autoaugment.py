from collections import Counter

import pytest
import torch
from torchvision.transforms import AutoAugment as Torchvision
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

from lt_calib.augment.autoaugment import POLICY, SIGNED, AutoAugment, operate
from lt_calib.job.fit import training_images
from tests.conftest import TINY, built

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
OTHERS = {"Posterize", "Solarize", "AutoContrast", "Equalize", "Invert"}


def pictures(n: int = 3) -> torch.Tensor:
    smooth = torch.nn.functional.interpolate(torch.rand(n, 3, 5, 5, generator=torch.Generator().manual_seed(0)), 32)
    return (smooth * 255).to(torch.uint8)


@pytest.mark.parametrize("name", sorted({*SIGNED, *OTHERS}))
def test_every_operation_is_torchvisions_at_every_level(name):
    """Its transform for one picture is the independent reference."""
    space = Torchvision(AutoAugmentPolicy.CIFAR10)._augmentation_space(10, (32, 32))
    magnitudes, signed = space[name]
    assert signed == (name in SIGNED)
    for level in range(10) if magnitudes.ndim else [None]:
        for sign in (1, -1) if signed else (1,):
            magnitude = float(magnitudes[level]) * sign if level is not None else 0.0
            wanted = _apply_op(pictures(), name, magnitude, InterpolationMode.NEAREST, None)
            got = operate(pictures(), name, level, sign)
            different = (got.int() - wanted.int()).abs() > 1  # rounding of a magnitude may move a color by one
            assert float(different.float().mean()) < 0.01, (level, sign)


def test_the_policy_is_the_papers():
    assert len(POLICY) == 25
    assert {name for pair in POLICY for name, _, _ in pair} <= {*SIGNED, *OTHERS}
    assert POLICY[1] == (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9))  # table 7, sub-policy 1


def test_each_picture_has_an_operation_of_its_own():
    same = pictures(1).expand(400, -1, -1, -1).float() / 255
    normal = (same - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    out, targets = AutoAugment(MEAN, STD)(normal, torch.eye(10)[:1].expand(400, -1), torch.Generator().manual_seed(0))
    kinds = torch.unique(out.round(decimals=4).flatten(1), dim=0)
    assert 25 < len(kinds) < 150  # pairs, signs, and whether each of the two is applied
    assert torch.equal(targets, torch.eye(10)[:1].expand(400, -1))
    untouched = torch.isclose(out, normal, atol=1e-3).flatten(1).all(1).float().mean()
    wanted = sum((1 - pair[0][1]) * (1 - pair[1][1]) for pair in POLICY) / 25
    assert float(untouched) == pytest.approx(wanted, abs=0.1)  # some operations leave some pictures as they are


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.6, 0.25)])
def test_a_pair_is_applied_in_order_each_with_its_own_draws(monkeypatch, p, q):
    """All that can come of two operations with signs, and how often."""
    monkeypatch.setattr("lt_calib.augment.autoaugment.POLICY", [(("Rotate", p, 9), ("TranslateX", q, 9))])
    one = pictures(1)
    wanted: dict[bytes, float] = {}
    for first, share in ((None, 1 - p), (1, p / 2), (-1, p / 2)):
        rotated = one if first is None else operate(one, "Rotate", 9, first)
        for second, other in ((None, 1 - q), (1, q / 2), (-1, q / 2)):
            out = rotated if second is None else operate(rotated, "TranslateX", 9, second)
            key = out.numpy().tobytes()
            wanted[key] = wanted.get(key, 0) + share * other
    n = 2000
    augment = AutoAugment([0.0] * 3, [1.0] * 3)
    batch = one.expand(n, -1, -1, -1).float() / 255
    got = (augment.apply_policy(batch, torch.Generator().manual_seed(0)) * 255).round().to(torch.uint8)
    seen = Counter(picture[None].contiguous().numpy().tobytes() for picture in got)
    assert set(seen) == {key for key, share in wanted.items() if share > 0}
    for key, number in seen.items():
        assert number / n == pytest.approx(wanted[key], abs=0.04)


def test_every_pair_is_drawn_as_often(monkeypatch):
    monkeypatch.setattr("lt_calib.augment.autoaugment.POLICY", [((str(i), 1.0, 0), ("", 0.0, 0)) for i in range(25)])
    monkeypatch.setattr("lt_calib.augment.autoaugment.operate", lambda x, name, *how: x * 0 + int(name))
    out = AutoAugment([0.0] * 3, [1.0] * 3).apply_policy(torch.zeros(5000, 3, 1, 1), torch.Generator().manual_seed(0))
    found = torch.bincount((out[:, 0, 0, 0] * 255).round().long(), minlength=25)
    assert len(found) == 25
    assert 150 < int(found.min()) < int(found.max()) < 250


@pytest.mark.parametrize("then", ["remix", "unimix", "cmo", "cutmix"])
def test_whatever_follows_is_built_with_its_counts_and_partners(then):
    settings = [*TINY, "stage1.max_epochs=20", "augment=autoaugment_cutmix", f"augment@augment.then={then}"]
    stage = built(*settings).stages[0]
    assert (stage.partner is not None) == (then in ("cmo", "unimix"))
    assert stage.augment is not None
    augment = stage.augment.augment
    assert isinstance(augment, AutoAugment)
    assert type(augment.then).__name__.lower() == then
    images, targets, _ = training_images(stage)  # type: ignore[misc]
    assert len(images) == len(targets) == 24
    assert bool(((targets > 0).sum(dim=1) == 2).any())  # mixed


def test_what_follows_gets_the_augmented_pictures_and_the_epoch():
    class Then:
        epoch = -1

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __call__(self, images, targets, generator, partner):
            self.given = images, partner
            return images + 1, targets

    then = Then()
    augment = AutoAugment(MEAN, STD, then)
    augment.set_epoch(7)
    images, targets = torch.rand(40, 3, 32, 32), torch.eye(10)[torch.arange(40) % 10]
    out, _ = augment(images, targets, torch.Generator().manual_seed(0), (images, targets))
    assert then.epoch == 7
    assert torch.equal(out, then.given[0] + 1)
    assert not torch.allclose(then.given[0], images, atol=0.05)
    assert not torch.allclose(then.given[1][0], images, atol=0.05)
