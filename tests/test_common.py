"""The contract of every plug-in that conf/ lists, found by discovery: a new yaml needs no edit here."""

from copy import deepcopy
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf

from lt_calib.dataset.resident import ResidentLoader
from lt_calib.job.build_stages import build_augment
from lt_calib.settings.check import make
from lt_calib.settings.schema import plain
from tests.conftest import CONF, compose_config, plugins

COUNTS = [40, 22, 12, 6, 3, 2, 1]
K = len(COUNTS)
TARGETS = torch.repeat_interleave(torch.arange(K), torch.tensor(COUNTS))


def config(group: str, name: str) -> DictConfig:
    """What an experiment on the digits has with the plug-in."""
    at = f"@stage1.{group}" if group in ("loss", "sampler") else ""
    cfg = compose_config("dataset=digits_lt", "model=resnet32_cosine", f"{group}{at}={name}")
    return OmegaConf.create(plain(cfg))  # type: ignore[return-value]


def loss_of(name: str, counts: list[int], prior: Any = None) -> Any:
    return make(config("loss", name), "stage1.loss", counts, prior=prior)


def sampler_of(name: str, targets: torch.Tensor, **facts: Any) -> Any:
    return make(config("sampler", name), "stage1.sampler", targets, **({"seed": 0, "stage": 1} | facts))


class Augment:
    """An augmentation as a run builds and calls it: one that mixes nothing in is given no partner."""

    def __init__(self, name: str, counts: list[int] = COUNTS, **settings: Any) -> None:
        cfg = config("augment", name)
        cfg.augment.update(settings)
        targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        facts = {"class_counts": counts, "num_classes": len(counts), "num_features": None}
        data: Any = SimpleNamespace(**facts, targets=lambda split: targets)
        callback, _ = build_augment(cfg, data)
        assert callback is not None
        self.set_epoch = callback.set_epoch
        self.augment: Any = callback.augment
        self.mixes = "partner" in signature(self.augment).parameters

    def __call__(self, images: torch.Tensor, targets: torch.Tensor, draws: torch.Generator, partner: Any = None) -> Any:
        return self.augment(images, targets, draws, *([partner] if self.mixes else []))


@pytest.fixture(params=plugins("loss"))
def loss(request) -> torch.nn.Module:
    return loss_of(request.param, COUNTS)


@pytest.fixture(params=plugins("augment"))
def augment(request) -> Augment:
    return Augment(request.param)


@pytest.fixture(params=plugins("sampler"))
def make_sampler(request) -> Any:
    return lambda **facts: sampler_of(request.param, TARGETS, num_classes=K, **facts)


# --- losses ---


def test_loss_index_and_one_hot_targets(loss):
    logits = torch.randn(30, K)
    targets = torch.arange(30) % K
    by_index, by_one_hot = deepcopy(loss), deepcopy(loss)  # a loss may keep what it has seen
    torch.testing.assert_close(by_index(logits, targets), by_one_hot(logits, F.one_hot(targets, K).float()))
    for a, b in zip(by_index.buffers(), by_one_hot.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_loss_of_mixed_targets_is_the_weighted_mean_of_its_classes(loss):
    if not getattr(loss, "linear_in_target", True):
        pytest.skip("compares pictures with one another")
    loss.eval()
    logits = torch.randn(1, K)
    each = torch.stack([loss(logits, torch.tensor([c])) for c in range(K)])
    # A weighted loss divides by the weights, which the loss of a batch of two pictures of one class each shows.
    weights = torch.tensor([class_weight(loss, c) for c in range(K)])
    mixed = torch.softmax(torch.randn(1, K), dim=1)
    wanted = (mixed[0] * weights * each).sum() / (mixed[0] * weights).sum()
    torch.testing.assert_close(loss(logits, mixed), wanted, rtol=1e-4, atol=1e-5)


def class_weight(loss: torch.nn.Module, c: int) -> float:
    """w_c / w_0, from the loss of a batch that has one picture of class 0 and one of class c."""
    if c == 0:
        return 1.0
    torch.manual_seed(c)
    logits = torch.randn(2, K) * 3
    first, second = (float(loss(logits[i : i + 1], torch.tensor([t]))) for i, t in ((0, 0), (1, c)))
    both = float(loss(logits, torch.tensor([0, c])))
    return (both - first) / (second - both)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_loss_has_finite_gradients(loss, dtype, scale):
    logits = (torch.randn(30, K) * scale).to(dtype).requires_grad_()
    value = loss(logits, torch.arange(30) % K)
    assert value.dtype == torch.float32
    value.backward()
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(logits.grad).all())  # type: ignore[arg-type]


def test_loss_is_float32_under_autocast(loss):
    logits, targets = torch.randn(30, K), torch.softmax(torch.randn(30, K), dim=1)
    outside = deepcopy(loss)(logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(logits, targets), outside)


def test_loss_keeps_its_buffers(loss):
    state = loss.state_dict()
    of_settings = {"by_weights", "loss.by_weights"}  # set anew when it is built
    assert {name for name, _ in loss.named_buffers()} - of_settings == set(state)
    assert not list(loss.parameters())
    assert all(buffer.device.type == "meta" for buffer in loss.to("meta").buffers())


def test_loss_does_not_depend_on_the_order_of_the_batch(loss):
    logits, targets = torch.randn(30, K), torch.arange(30) % K
    order = torch.randperm(30)
    torch.testing.assert_close(deepcopy(loss)(logits[order], targets[order]), loss(logits, targets))


def test_loss_falls(loss):
    logits = torch.randn(30, K, requires_grad=True)
    targets = torch.arange(30) % K
    optimizer = torch.optim.SGD([logits], lr=1.0)
    values = []
    for _ in range(20):
        value = loss(logits, targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]


@pytest.mark.parametrize("k", [2, 1000])
def test_loss_with_few_and_many_classes(k):
    counts = [max(1, 500 // (c + 1)) for c in range(k)]
    for name in plugins("loss"):
        loss = loss_of(name, counts)
        assert bool(torch.isfinite(loss(torch.randn(1, k), torch.tensor([k - 1]))))  # a batch of one, the rest missing


def test_losses_of_several_settings_are_evaluated_at_once():
    """All that settings decide lies in buffers: a stack of losses is one vmapped call."""
    logits, targets = torch.randn(2, 12, K), torch.arange(12) % K
    for name in plugins("loss"):
        losses = [loss_of(name, counts).eval() for counts in (COUNTS, COUNTS[::-1])]
        _, buffers = torch.func.stack_module_state(losses)

        def one(state, z, loss=losses[0]):
            return torch.func.functional_call(loss, state, (z, targets))

        together = torch.vmap(one)(buffers, logits)
        torch.testing.assert_close(together, torch.stack([m(z, targets) for m, z in zip(losses, logits, strict=True)]))


# --- augmentations ---


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(12, 3, 32, 32, generator=draws), torch.eye(K)[torch.arange(12) % K]


def test_augmentation_repeats_from_its_generator(augment):
    images, targets = batch()
    runs = [augment(images, targets, torch.Generator().manual_seed(s)) for s in (1, 1, 2, 3, 4, 5)]
    for a, b in zip(runs[0], runs[1], strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(runs[0][0], other[0]) for other in runs[2:])


def test_augmentation_leaves_its_input_and_the_global_state_alone(augment):
    images, targets = batch()
    before, state = (images.clone(), targets.clone()), torch.get_rng_state()
    augment(images, targets, torch.Generator().manual_seed(1))
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_augmentation_keeps_shapes_and_rows_of_targets(augment):
    for size in (1, 12):
        images, targets = (x[:size] for x in batch())
        for seed in range(20):
            out, mixed = augment(images, targets, torch.Generator().manual_seed(seed))
            assert out.shape[0] == size
            assert out.shape[1] in (3, 6)  # BBN stacks pairs by channel
            assert out.shape[2:] == images.shape[2:]
            assert out.dtype == images.dtype
            torch.testing.assert_close(mixed.sum(1), torch.ones(size))
            assert float(mixed.detach().min()) >= 0


def test_augmentation_keeps_the_memory_format(augment):
    images, targets = batch()
    images = images.contiguous(memory_format=torch.channels_last)
    for seed in range(5):
        out, _ = augment(images, targets, torch.Generator().manual_seed(seed))
        assert out.is_contiguous(memory_format=torch.channels_last)


def partnered() -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    draws = torch.Generator().manual_seed(1)
    return *batch(), (torch.randn(12, 3, 32, 32, generator=draws), torch.eye(K)[torch.arange(12) * 5 % K])


@pytest.mark.parametrize("epoch", [0, 10])
def test_augmentation_of_a_picture_depends_on_it_and_its_partner_alone(augment, epoch):
    """What is done to a batch is what is done to each picture: the others may be anything."""
    augment.set_epoch(epoch)
    images, targets, (others, labels) = partnered()
    before = images.clone(), targets.clone(), others.clone(), labels.clone()
    for seed in range(6):
        out, mixed = augment(images, targets, torch.Generator().manual_seed(seed), (others, labels))
        for i in (0, 5, 11):
            rest = torch.arange(12) != i
            changed = [x.clone() for x in before]
            for x in changed:
                x[rest] = x[rest].flip(0)
            draws = torch.Generator().manual_seed(seed)
            alone, label = augment(changed[0], changed[1], draws, (changed[2], changed[3]))
            assert torch.equal(alone[i], out[i])
            assert torch.equal(label[i], mixed[i])
    for x, y in zip((images, targets, others, labels), before, strict=True):
        assert torch.equal(x, y)  # the partner's batch is left alone too


@pytest.mark.parametrize("name", plugins("augment"))
@pytest.mark.parametrize("k", [2, 1000])
def test_augmentation_with_few_and_many_classes(name, k):
    augment = Augment(name, [max(1, 500 // (c + 1)) for c in range(k)])
    images, targets = torch.randn(4, 3, 32, 32), torch.eye(k)[torch.tensor([0, k - 1, 0, k // 2])]
    _, mixed = augment(images, targets, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixed.sum(1), torch.ones(4))


def test_augmentation_per_batch_or_per_picture():
    names = [name for name in plugins("augment") if "per" in config("augment", name).augment]
    assert set(names) >= {"mixup", "cutmix", "cmo", "remix", "cut_thumbnail", "mixed_cut_thumbnail"}
    for name in names:
        always = {"prob": 1.0} if "prob" in config("augment", name).augment else {}
        same = torch.randn(1, 3, 32, 32).expand(12, -1, -1, -1), torch.eye(K)[:1].expand(12, -1)
        partner = torch.randn(1, 3, 32, 32).expand(12, -1, -1, -1), same[1]
        kinds = {}
        for per in ("batch", "picture"):
            augment = Augment(name, COUNTS, per=per, **always)
            augment.set_epoch(10)
            out, _ = augment(*same, torch.Generator().manual_seed(3), partner)
            kinds[per] = len({tuple(picture.flatten().tolist()) for picture in out})
        assert kinds["batch"] == 1, name  # one draw for all
        assert kinds["picture"] >= 10, name
        with pytest.raises(Exception, match="per 'epoch'"):
            Augment(name, per="epoch")


# --- samplers ---


def test_sampler_length_and_range(make_sampler):
    sampler = make_sampler()
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    assert all(isinstance(i, int) and 0 <= i < len(TARGETS) for i in drawn)


def test_sampler_draws_what_it_publishes(make_sampler):
    sampler = make_sampler()
    epochs, drawn, prior = 300, torch.zeros(K, dtype=torch.float64), torch.zeros(K, dtype=torch.float64)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn += torch.bincount(TARGETS[list(sampler)], minlength=K)
        assert sampler.prior.shape == (K,)
        prior += sampler.prior / epochs  # a sampler's frequencies may change with the epoch
    assert float(prior.sum()) == pytest.approx(1)
    n = epochs * len(sampler)
    error = (prior * (1 - prior) / n).sqrt()
    assert bool(((drawn / n - prior).abs() <= 5 * error + 1e-12).all())


def test_sampler_repeats_its_epochs_and_no_others(make_sampler):
    def drawn(epoch, **kwargs):
        sampler = make_sampler(**kwargs)
        sampler.set_epoch(epoch)
        return list(sampler)

    state = torch.get_rng_state()
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(3) != drawn(3, seed=1)
    assert drawn(3) != drawn(3, stage=2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", plugins("sampler"))
@pytest.mark.parametrize("counts", [[3, 1], [5, 2, 1], [max(1, 500 // (c + 1)) for c in range(1000)]])
def test_sampler_with_few_and_many_classes(name, counts):
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    sampler = sampler_of(name, targets, num_classes=len(counts))
    assert len(list(sampler)) == len(targets)
    assert float(sampler.prior.sum()) == pytest.approx(1)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_sampler_is_cut_among_the_ranks(make_sampler, world_size):
    rows = torch.arange(len(TARGETS))
    images = rows[:, None, None, None].expand(-1, 1, 1, 3)

    def pieces(rank, world_size):
        loader = ResidentLoader(images, TARGETS, make_sampler(), 16, rank=rank, world_size=world_size)
        return [batch[:, 0, 0, 0] for batch, _ in loader]

    whole = pieces(0, 1)
    ranks = [pieces(rank, world_size) for rank in range(world_size)]
    assert {len(p) for p in ranks} == {len(whole)}
    for step, wanted in enumerate(whole):
        assert torch.equal(torch.cat([p[step] for p in ranks]), wanted)


# --- resampling ---


@pytest.mark.parametrize("name", plugins("resample"))
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_resampling_balances_repeats_and_keeps_its_input(name, dtype):
    cfg = config("resample", name)
    images = (torch.rand(len(TARGETS), 4, 4, 3, generator=torch.Generator().manual_seed(0)) * 255).to(dtype)
    before, state = images.clone(), np.random.get_state()[1].copy()  # type: ignore[index]
    out, targets = make(cfg, "resample", images, TARGETS, seed=0)
    again, _ = make(cfg, "resample", images, TARGETS, seed=0)
    counts = torch.bincount(targets, minlength=K)
    assert int(counts.max()) <= 1.2 * int(counts.min())
    assert out.shape[1:] == images.shape[1:]
    assert out.dtype == dtype
    assert torch.equal(out, again)
    assert torch.equal(images, before)
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]


# --- the rule that a plug-in is one yaml, one code file, one test file ---


@pytest.mark.parametrize("group", ["loss", "augment", "sampler", "metric", "posthoc", "resample"])
def test_one_yaml_one_code_file_one_test_file(group):
    for name in plugins(group):
        target = next(line for line in (CONF / group / f"{name}.yaml").read_text().splitlines() if "_target_" in line)
        assert target.split(": ")[1].startswith(f"lt_calib.{group}.")
        assert (CONF.parent / "src" / "lt_calib" / group / f"{name}.py").is_file()
        assert (CONF.parent / "tests" / group / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", ["balanced_softmax", "lade", "dynamic_balanced_softmax"])
def test_a_given_prior_replaces_the_counts(name):
    logits, targets = torch.randn(30, K), torch.arange(30) % K
    balanced = loss_of(name, [5] * K)(logits, targets)
    torch.testing.assert_close(loss_of(name, COUNTS, torch.full((K,), 1 / K))(logits, targets), balanced)
    assert not torch.allclose(loss_of(name, COUNTS)(logits, targets), balanced)
