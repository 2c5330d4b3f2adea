"""Optimizer, schedule, rates of the parts, and what is frozen."""

import json
from pathlib import Path

import pytest
import torch
from lightning import Callback
from torch import nn

from lt_calib.errors import InputError
from lt_calib.job.fit import fit
from lt_calib.run import run
from lt_calib.training.schedule import constant, cosine, warmup_multistep
from tests.conftest import TINY, built, compose_config
from tests.training.test_resume import stop_at, what_a_run_gave

JOB = [*TINY, "+experiment=ce", "dataset.if=100", "dataset.batch_size=64"]
ADAMW = ["optimizer@stage1.optimizer=adamw", "schedule@stage1.schedule=cosine", "stage1.lr=0.001"]


def published_rate(epoch: int) -> float:
    """Of 200 epochs, by hand: 0.1, five epochs of warm-up, a tenth from 160, a hundredth from 180."""
    return 0.1 * min(1, (epoch + 1) / 5) * (0.1 if epoch >= 160 else 1) * (0.1 if epoch >= 180 else 1)


def test_the_rates_of_all_200_epochs_are_the_published_ones():
    module = built("dataset=digits_lt", "stage1.max_epochs=200", "stage1.lr=0.1").stages[0].module
    optimizer = module.build_optimizer()
    schedule = module.build_schedule(optimizer, 200)
    for epoch in range(200):
        factor = warmup_multistep(epoch, 200, warmup=0.025, milestones=[0.8, 0.9], gamma=0.1)
        assert optimizer.param_groups[0]["lr"] == 0.1 * factor  # to the last digit
        assert optimizer.param_groups[0]["lr"] == pytest.approx(published_rate(epoch), rel=1e-12)
        optimizer.step()
        schedule.step()


@pytest.mark.slow
def test_ten_steps_are_those_of_a_plain_loop_of_sgd():
    """The slow twin sets each epoch's rate by hand, as versions before did."""
    job = built(*JOB, "stage1.max_epochs=10", "stage1.lr=0.1", "dataset.batch_size=1000", "trainer.eval_every=10")
    twin = built(*JOB, "stage1.max_epochs=10", "stage1.lr=0.1", "dataset.batch_size=1000").stages[0]
    stage = job.stages[0]
    job.folder = Path("/nowhere")
    seen = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, pl_module, *rest):
            seen.append([p.detach().clone() for p in pl_module.parameters()])

    loader = stage.data.loader("train", stage.sampler)
    job.trainer.make(10, [Watch()]).fit(stage.module, train_dataloaders=loader)

    module = twin.module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    loader = twin.data.loader("train", twin.sampler)
    for epoch in range(10):
        loader.set_epoch(epoch)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * warmup_multistep(epoch, 10, warmup=0.025, milestones=[0.8, 0.9], gamma=0.1)
        for images, targets in loader:
            optimizer.zero_grad()
            module.loss(module(images), targets).backward()
            optimizer.step()
        for got, wanted in zip(seen[epoch], module.parameters(), strict=True):
            assert torch.equal(got, wanted), epoch
    assert len(seen) == 10


def test_results_tell_of_the_optimizer_that_ran(tmp_path):
    results = run(compose_config(*JOB, *ADAMW, "stage1.weight_decay=0.05"), tmp_path)
    assert results["recipe"] == {
        "lr": 0.001, "weight_decay": 0.05, "batch_size": 64, "optimizer": {"name": "AdamW", "betas": [0.9, 0.999]},
        "schedule": {"name": "cosine", "warmup": 0},
    }  # fmt: skip
    assert json.loads((tmp_path / "results.json").read_text())["recipe"] == results["recipe"]
    assert results["changed"].keys() >= {"stage1.optimizer._target_", "stage1.schedule._target_", "stage1.lr"}


def test_a_rate_of_sgd_for_adamw_is_warned_of(caplog):
    built("dataset=digits_lt", *ADAMW, "stage1.lr=0.1")
    assert "stage1.lr=0.1 is a rate of SGD's, and the optimizer is AdamW, which usually takes 0.001" in caplog.text


SCHEDULES = {
    "per_step": ["schedule@stage1.schedule=cosine", "stage1.schedule.warmup=0.3", "stage1.schedule_per=step"],
    "of_torchs": [],
    "adamw": ADAMW,
    "sam_on_adamw": [*ADAMW, "stage1.sam_rho=0.05"],
}


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.slow] * (x != "per_step")) for x in SCHEDULES])
def test_it_resumes_exactly(name, tmp_path, monkeypatch):
    cfg = compose_config(*JOB, "stage1.max_epochs=3", *SCHEDULES[name])
    if name == "of_torchs":  # in the place of the whole node, as a yaml of one's own has it
        cfg.stage1.schedule = {
            "_target_": "torch.optim.lr_scheduler.OneCycleLR", "_partial_": True, "max_lr": 0.02, "total_steps": 21,
        }  # fmt: skip
        cfg.stage1.schedule_per = "step"
    run(cfg, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 14 if "sam" in name else 7)  # in the second epoch, whose rate differs from the third's
        with pytest.raises(MemoryError):
            run(cfg, tmp_path / "stopped")
    run(cfg, tmp_path / "stopped")
    assert what_a_run_gave(tmp_path / "stopped") == what_a_run_gave(tmp_path / "whole")


def test_a_schedule_per_step_moves_the_rate_at_every_step():
    job = built(*JOB, *SCHEDULES["per_step"], "stage1.max_epochs=2", "stage1.lr=0.1")
    stage, rates = job.stages[0], []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, *rest):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    loader = stage.data.loader("train", stage.sampler)
    job.trainer.make(2, [Watch()]).fit(stage.module, train_dataloaders=loader)
    total = 2 * len(loader)
    assert rates == pytest.approx([0.1 * cosine(step, total, warmup=0.3) for step in range(total)])
    assert len(set(rates)) == total - 1  # two at the top


def test_cosine_after_a_warm_up():
    assert [cosine(e, 10, warmup=0.2) for e in (0, 1, 2, 6)] == pytest.approx([0.5, 1, 1, 0.5])
    assert [cosine(e, 4) for e in range(4)] == pytest.approx([1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4])
    with pytest.raises(ValueError, match="warmup 5 must be in"):
        cosine(0, 200, warmup=5)
    assert constant(3, 7) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stage1.schedule_per=batch"], "schedule_per 'batch' must be 'epoch' or 'step'"),
        (["stage1.backbone_lr_factor=-1"], "backbone_lr_factor -1 must be >= 0"),
        (["stage1.freeze=[conv9]"], "the backbone has no module 'conv9'; it has conv1, bn1, layer1"),
        (["stage1.optimizer.momentum=-1"], "momentum"),
        (["optimizer@stage1.optimizer=adamw", "stage1.optimizer.betas=[2,2]"], "beta"),
        (["schedule@stage1.schedule=cosine", "stage1.schedule.warmup=5"], "warmup 5 must be in"),
    ],
)
def test_what_is_out_of_range_is_found_before_anything_trains(words, said):
    with pytest.raises(ValueError, match=said):
        built(*JOB, *words)


def test_the_backbone_learns_at_its_own_rate():
    module = built(*JOB, "stage1.lr=0.1", "stage1.backbone_lr_factor=0.1").stages[0].module
    backbone, classifier = module.build_optimizer().param_groups
    assert (backbone["lr"], classifier["lr"]) == pytest.approx((0.01, 0.1))
    assert {id(p) for p in classifier["params"]} == {id(p) for p in module.classifier.parameters()}
    with pytest.raises(InputError, match="stage1 trains nothing of the backbone, whose weights are drawn at random"):
        built(*JOB, "stage1.backbone_lr_factor=0")  # meant for pretrained ones


def test_what_is_frozen_stays_as_it_is(tmp_path):
    job = built(*JOB, "stage1.freeze=[conv1,layer1.0]", folder=tmp_path)
    module = job.stages[0].module
    before = {k: v.clone() for k, v in module.backbone.state_dict().items()}
    module.begin()
    fit(job, job.stages[0], module)
    moved = {k for k, v in module.backbone.state_dict().items() if not torch.equal(v, before[k])}
    assert not {k for k in moved if k.startswith(("conv1", "layer1.0"))}
    assert {"bn1.running_mean", "layer2.0.conv1.weight", "layer2.0.bn1.running_var"} <= moved


def test_the_grid_names_the_optimizers_that_it_cannot_stack():
    grid = ["+experiment=cutmix_awabs", "+grid=eps", "optimizer@stage2.optimizer=adamw", "stage2.lr=0.001"]
    with pytest.raises(InputError, match=r"stacks the steps of SGD alone, and stage2\.optimizer is AdamW"):
        built(*TINY, *grid)


class Dropping(nn.Module):
    """A network that draws by itself."""

    num_features = 32

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 32), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


DROPPING = ["model=resnet32", f"model.backbone._target_={Dropping.__module__}.Dropping", "cache=off"]


def test_a_network_that_draws_resumes_bit_for_bit(tmp_path, monkeypatch):
    words = [w for w in JOB if "backbone" not in w]
    cfg = compose_config(*words, *DROPPING, "stage2=crt", "stage1.max_epochs=3", "stage2.max_epochs=2")
    run(cfg, tmp_path / "whole")
    for moment in (10, 2):  # in stage 1's second epoch, and in stage 2
        with monkeypatch.context() as patch:
            stop_at(patch, moment if moment > 7 else 14)
            with pytest.raises(MemoryError):
                run(cfg, tmp_path / "stopped")
    torch.rand(7)  # whatever the process draws besides
    run(cfg, tmp_path / "stopped")
    assert what_a_run_gave(tmp_path / "stopped") == what_a_run_gave(tmp_path / "whole")


def test_a_new_classifier_is_the_same_after_a_trained_and_a_cached_stage_1(tmp_path):
    words = [w for w in JOB if "backbone" not in w and w != "cache=off"]
    shared = ["stage2=crt", "stage2.max_epochs=1", "cache=on", f"cache.root={tmp_path / 'cache'}"]
    cfg = compose_config(*words, *[w for w in DROPPING if w != "cache=off"], *shared)
    run(cfg, tmp_path / "trained")
    run(cfg, tmp_path / "cached")
    kept = [torch.load(tmp_path / name / "stage2.ckpt", weights_only=True) for name in ("trained", "cached")]
    assert all(torch.equal(kept[0]["classifier"][k], kept[1]["classifier"][k]) for k in kept[0]["classifier"])


def test_training_leaves_the_global_generators_as_they_were(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(compose_config(*JOB), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def two_rates(groups, lr, weight_decay):
    """A function may be an optimizer."""
    return torch.optim.Adam(groups, lr=lr / 2, weight_decay=weight_decay)


def test_a_function_is_an_optimizer_too():
    own = f"stage1.optimizer._target_={two_rates.__module__}.two_rates"
    words = [own, "~stage1.optimizer.momentum", "~stage1.optimizer.nesterov", "stage1.lr=0.01"]
    module = built(*JOB, *words).stages[0].module
    assert module.build_optimizer().param_groups[0]["lr"] == 0.005


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stage1.optimizer._target_=torch.optim.LBFGS"], r"stage1\.optimizer or stage1\.schedule cannot be built"),
        (
            ["stage1.schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"],
            r"stage1\.schedule=ReduceLROnPlateau watches a metric",
        ),
    ],
)
def test_what_training_cannot_drive_is_refused(words, said):
    gone = ["~stage1.optimizer.momentum", "~stage1.optimizer.nesterov"]
    gone = gone if "optimizer" in words[0] else [f"~stage1.schedule.{k}" for k in ("warmup", "milestones", "gamma")]
    with pytest.raises(InputError, match=said):
        built(*JOB, *words, *gone)
