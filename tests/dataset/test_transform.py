import itertools
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp, kstest, uniform
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as tv

from lt_calib.augment.autoaugment import AutoAugment
from lt_calib.errors import InputError
from lt_calib.transform.color_jitter import changed, color_jitter
from lt_calib.transform.crop_flip import CropFlip, normalize, random_crop_flip
from lt_calib.transform.letterbox import Letterbox
from lt_calib.transform.normalize import Normalize
from lt_calib.transform.resized_crop import ResizedCrop

IMAGE = torch.arange(1, 6 * 6 * 3 + 1, dtype=torch.uint8).reshape(6, 6, 3)  # every pixel unlike every other


def outcomes(padding: int, flip: bool) -> dict[bytes, int]:
    """All crops and mirrors of torchvision, each equally likely."""
    chw = IMAGE.permute(2, 0, 1)
    padded = tv.pad(chw, [padding] * 4)
    found = {}
    for top, left, mirror in itertools.product(
        range(2 * padding + 1), range(2 * padding + 1), (False, True)[: 1 + flip]
    ):
        crop = tv.crop(padded, top, left, 6, 6)
        crop = tv.hflip(crop) if mirror else crop
        found[crop.permute(1, 2, 0).contiguous().numpy().tobytes()] = 0
    return found


def test_same_distribution_as_torchvision():
    for padding, flip in ((1, True), (2, False), (0, True)):
        counts = outcomes(padding, flip)
        n = 1000 * len(counts)
        drawn = random_crop_flip(IMAGE.expand(n, -1, -1, -1), torch.Generator().manual_seed(0), padding, flip)
        for image in drawn:
            counts[image.numpy().tobytes()] += 1  # a picture that torchvision cannot draw is a KeyError
        observed = torch.tensor(list(counts.values()), dtype=torch.float64)
        chi2 = float(((observed - 1000) ** 2 / 1000).sum())
        freedom = len(counts) - 1
        assert chi2 < freedom + 5 * (2 * max(freedom, 1)) ** 0.5


def test_input_is_left_alone_and_draws_repeat():
    images = torch.randint(256, (8, 32, 32, 3), dtype=torch.uint8)
    before = images.clone()
    first = random_crop_flip(images, torch.Generator().manual_seed(5))
    second = random_crop_flip(images, torch.Generator().manual_seed(5))
    other = random_crop_flip(images, torch.Generator().manual_seed(6))
    assert torch.equal(images, before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.dtype == torch.uint8


def test_normalize_as_torchvision():
    images = torch.randint(256, (4, 32, 32, 3), dtype=torch.uint8)
    mean, std = [0.49, 0.48, 0.44], [0.20, 0.19, 0.21]
    wanted = tv.normalize(images.permute(0, 3, 1, 2) / 255, mean, std)
    got = normalize(images, mean, std)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    assert got.is_contiguous(memory_format=torch.channels_last)
    floats = images.float()
    assert torch.equal(normalize(floats, mean, std), got)
    assert torch.equal(floats, images.float())  # left alone


def test_training_crops_and_normalizes_and_evaluation_only_normalizes():
    images = torch.randint(256, (16, 32, 32, 3), dtype=torch.uint8)
    mean, std = [0.49, 0.48, 0.44], [0.20, 0.19, 0.21]
    transform = CropFlip(mean, std, padding=2, flip=False)
    cropped = random_crop_flip(images, torch.Generator().manual_seed(1), 2, flip=False)
    assert torch.equal(transform.train(images, torch.Generator().manual_seed(1)), normalize(cropped, mean, std))
    assert torch.equal(transform.evaluate(images), normalize(images, mean, std))
    torch.testing.assert_close(transform.undo(transform.evaluate(images)), images / 255)
    alone = Normalize(mean, std)
    assert torch.equal(alone.train(images, torch.Generator()), transform.evaluate(images))
    with pytest.raises(ValueError, match=r"padding -1 must be >= 0"):
        CropFlip(mean, std, padding=-1)


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        ([76, 76, 76], [89, 89, 89], r"dataset\.mean \[76, 76, 76\] must be .* in \[0, 1\].*divide by 255"),
        ([0.3] * 3, [89, 89, 89], r"dataset\.std \[89, 89, 89\] must be .* in \[0\.001, 1\].*divide by 255"),
        ([0.3] * 3, [0, 0.2, 0.2], r"dataset\.std \[0, 0\.2, 0\.2\] must be"),
        ([0.3] * 3, [1e-9, 0.2, 0.2], r"dataset\.std \[1e-09"),
        ([0.3] * 3, [-0.2, 0.2, 0.2], r"dataset\.std \[-0\.2"),
        ([-0.1] * 3, [0.2] * 3, r"dataset\.mean \[-0\.1"),
        ([float("nan")] * 3, [0.2] * 3, r"dataset\.mean \[nan"),
        ([0.3] * 3, [float("inf")] * 3, r"dataset\.std \[inf"),
        (0.3, 0.2, r"dataset\.mean 0\.3 must be a list"),
        (None, [0.2], r"dataset\.mean None must be a list"),
        ([], [0.2], r"dataset\.mean \[\] must be a list"),
        (["0.3"], [0.2], r"dataset\.mean \['0\.3'\] must be a list of numbers"),
        ([0.3] * 4, [0.2] * 3, r"has 4 numbers, dataset\.std .* 3: give one for each channel, or one for all"),
    ],
)
def test_what_no_image_is_normalized_by(mean, std, said):
    for build in (CropFlip, Normalize, AutoAugment):
        with pytest.raises(InputError, match=said):
            build(mean, std)


def test_one_number_stands_for_all_channels():
    images = torch.randint(256, (2, 4, 4, 3), dtype=torch.uint8)
    one, each = Normalize([0.5], [0.25]), Normalize([0.5] * 3, [0.25] * 3)
    assert torch.equal(one.evaluate(images), each.evaluate(images))
    torch.testing.assert_close(one.undo(one.evaluate(images)), images / 255)


# --- images of other shapes ---


def test_letterbox_keeps_the_aspect_ratio():
    wide = Image.new("RGB", (40, 20), (255, 0, 0))
    found = np.asarray(Letterbox([0.2, 0.4, 0.6], [1, 1, 1]).fit(wide, 8))
    assert (found[2:6] == [255, 0, 0]).all()
    assert (found[[0, 1, 6, 7]] == [51, 102, 153]).all()  # 255 times the mean


def test_resized_crop_in_evaluation_is_the_middle():
    transform = ResizedCrop([0.0], [1.0], size=224)
    assert transform.kept(224) == 256
    ramp = torch.arange(256, dtype=torch.uint8)[None, None, :, None].expand(1, 256, 256, 1)
    found = transform.evaluate(ramp)
    assert found.shape == (1, 1, 224, 224)
    torch.testing.assert_close(found[0, 0, 0] * 255, torch.arange(16.0, 240.0))
    whole = ResizedCrop([0.0], [1.0])
    assert whole.kept(32) == 32  # evaluation sees all of it, and so must predict
    assert whole.evaluate(ramp[:, :32, :32]).shape == (1, 1, 32, 32)
    tall = Image.new("L", (10, 30))
    tall.paste(255, (0, 10, 10, 20))
    assert (np.asarray(transform.fit(tall, 10)) == 255).all()  # the middle square


def test_resized_crop_draws_parts_of_the_stated_size_and_shape():
    # A ramp to the right and one downwards, so that an image tells which part of it was drawn.
    n, side = 4000, 64
    ramp = torch.arange(side, dtype=torch.uint8).expand(side, side)
    image = torch.stack([ramp, ramp.T, ramp], dim=2).expand(n, -1, -1, -1)
    transform = ResizedCrop([0.0] * 3, [1.0] * 3, size=16, scale=(0.1, 0.5), flip=True)
    parts = transform.train(image, torch.Generator().manual_seed(0)) * 255
    width = (parts[:, 0, 8, -1] - parts[:, 0, 8, 0]) * 16 / 15
    height = (parts[:, 1, -1, 8] - parts[:, 1, 0, 8]) * 16 / 15
    area, shape = (width.abs() * height) / side**2, width.abs() / height
    assert 0.09 < float(area.min()) < 0.12
    assert 0.47 < float(area.max()) < 0.51
    assert abs(float(area.mean()) - 0.3) < 0.01  # uniform on [0.1, 0.5]
    assert abs(float(shape.log().mean())) < 0.01  # log-uniform on [3/4, 4/3]
    assert 0.74 < float(shape.min()) < float(shape.max()) < 1.35
    assert abs(float((width < 0).float().mean()) - 0.5) < 0.03
    left = torch.minimum(parts[:, 0, 8, 0], parts[:, 0, 8, -1]) - width.abs() / 32 + 0.5
    place = left / (side - width.abs())
    assert abs(float(place.mean()) - 0.5) < 0.02  # uniform over where the part fits
    assert float(place.min()) >= -0.02
    assert float(place.max()) <= 1.02


def test_resized_crop_settings_out_of_their_range():
    wrong: list[Any] = [{"scale": (0, 1)}, {"scale": (0.5, 0.2)}, {"ratio": (2, 1)}, {"scale": (0.5,)}]
    for settings in wrong:
        with pytest.raises(ValueError, match=r"transform.scale .* must be"):
            ResizedCrop([0.5] * 3, [0.2] * 3, **settings)


def test_parts_of_a_whole_image_are_torchvisions():
    torch.manual_seed(0)
    n, image = 2000, torch.zeros(3, 60, 200)  # so wide that many parts do not fit
    transform, draws = ResizedCrop([0.5] * 3, [0.2] * 3, size=16), torch.Generator().manual_seed(0)
    ours = np.array([transform.part(200, 60, draws) for _ in range(n)])
    drawn = np.array([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(n)])
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2:] <= [200, 60]).all()
    left, top, width, height = *ours.T[:2], *(ours[:, 2:] - ours[:, :2]).T
    for mine, theirs in ((width, drawn[:, 3]), (height, drawn[:, 2])):
        assert ks_2samp(mine.round(), theirs).pvalue > 1e-3  # type: ignore[attr-defined]
    inside = height < 59.999  # else the middle was taken, since no part of ten fitted
    assert abs(inside.mean() - (drawn[:, 2] < 60).mean()) < 0.06
    for place, room in ((left, 200 - width), (top, 60 - height)):
        assert kstest(place[inside] / room[inside], uniform().cdf).pvalue > 1e-3


def test_a_part_that_never_fits_is_the_middle():
    transform = ResizedCrop([0.5] * 3, [0.2] * 3, scale=(1, 1), ratio=(0.5, 2))
    assert transform.part(100, 10, torch.Generator()) == pytest.approx((40, 0, 60, 10))
    assert transform.part(10, 100, torch.Generator()) == pytest.approx((0, 40, 10, 60))


def test_sizes_that_disagree():
    with pytest.raises(InputError, match=r"transform\.size=128 and dataset\.size=224 must agree"):
        ResizedCrop([0.5] * 3, [0.2] * 3, size=128).kept(224)


# --- colors ---

COLORS = torch.randint(256, (5, 9, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("k", "change", "amount"),
    [
        (0, tv.adjust_brightness, 1.3),
        (1, tv.adjust_contrast, 0.6),
        (1, tv.adjust_contrast, 1.4),
        (2, tv.adjust_saturation, 0.7),
        (2, tv.adjust_saturation, 1.5),
        (3, tv.adjust_hue, -0.2),
    ],
)
def test_colors_change_as_torchvisions(k, change, amount):
    amounts = torch.full((4, 5), float("nan"))
    amounts[k] = torch.linspace(1, 0.5, 5) * amount
    found = changed(COLORS.float(), amounts, [k])
    for image, one, a in zip(COLORS, found, amounts[k].tolist(), strict=True):
        wanted = change(image.permute(2, 0, 1) / 255, a).permute(1, 2, 0) * 255
        torch.testing.assert_close(one, wanted, atol=1e-3, rtol=0)
    assert (changed(COLORS, amounts, [k]).float() - found).abs().max() <= 0.5


def test_color_jitter_draws_factors_of_the_stated_range():
    grey = torch.full((4000, 1, 1, 3), 100.0)
    factors = color_jitter(grey, [0.4, 0, 0, 0], torch.Generator().manual_seed(0))[:, 0, 0, 0] / 100
    assert kstest(factors, uniform(0.6, 0.8).cdf).pvalue > 1e-3
    unlike = [color_jitter(COLORS, [0.4, 0.4, 0.4, 0.1], torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(unlike[0], unlike[1])
    assert not torch.equal(unlike[0], unlike[2])
    assert unlike[0].dtype == torch.uint8
    assert torch.equal(color_jitter(COLORS, [0, 0, 0, 0], torch.Generator()), COLORS)


def test_colors_are_changed_in_training_only():
    plain, jittered = (ResizedCrop([0.5] * 3, [0.2] * 3, size=7, color_jitter=j) for j in (None, [0.4, 0.4, 0.4, 0]))
    first, second = (t.train(COLORS, torch.Generator().manual_seed(0)) for t in (plain, jittered))
    assert not torch.equal(first, second)
    assert torch.equal(plain.evaluate(COLORS), jittered.evaluate(COLORS))
    wrong: list[Any] = [[0.4] * 3, [-0.1, 0, 0, 0], [0, 0, 0, 0.6]]
    for strengths in wrong:
        with pytest.raises(ValueError, match=r"color_jitter .* must be four numbers"):
            ResizedCrop([0.5] * 3, [0.2] * 3, color_jitter=strengths)
    with pytest.raises(ValueError, match="three channels, and these have 1"):
        color_jitter(COLORS[..., :1], [0.4, 0, 0, 0], torch.Generator())
