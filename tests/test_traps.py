"""The traps that the field's code has fallen into, each with a test that fails if ours does."""

import json
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from lt_calib import build
from lt_calib.augment.cutout import CutOut
from lt_calib.dataset.digits import digits
from lt_calib.errors import InputError
from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.dynamic_balanced_softmax import DynamicBalancedSoftmax
from lt_calib.run import run
from tests.conftest import EXPERIMENTS, TINY, plugins
from tests.test_conf import resolved


def test_the_best_epoch_is_not_reported(composed, tmp_path, monkeypatch):
    """Training never sees the test set, and what is kept and reported are the last epoch's weights."""
    from lt_calib.dataset.datamodule import LongTailedDataModule
    from lt_calib.stage.history import History

    asked, weights = [], []
    eval_loader, epoch_end = LongTailedDataModule.eval_loader, History.on_train_epoch_end

    def watch_loader(self, split):
        asked.append((split, len(weights)))
        return eval_loader(self, split)

    def watch_epoch(self, trainer, module):
        weights.append({k: v.clone() for k, v in module.backbone.state_dict().items()})
        epoch_end(self, trainer, module)

    monkeypatch.setattr(LongTailedDataModule, "eval_loader", watch_loader)
    monkeypatch.setattr(History, "on_train_epoch_end", watch_epoch)
    overrides = (*TINY, "stage1.max_epochs=3", "stage1.lr=0.3", "dataset.val_per_class=5", "trainer.eval_every=1")
    results = run(composed(*overrides), tmp_path)
    assert {split for split, epochs in asked if epochs < 3} == {"val"}
    kept = torch.load(tmp_path / "stage1.ckpt", weights_only=True)["backbone"]
    assert all(torch.equal(kept[k], v) for k, v in weights[-1].items())
    assert not all(torch.equal(kept[k], v) for k, v in weights[0].items())
    assert results["stage1"]["test"]["acc"] == pytest.approx(accuracy_of(tmp_path, "stage1"))


def accuracy_of(folder: Path, stage: str) -> float:
    with np.load(folder / "predictions.npz") as file:
        return float(np.mean(file[f"{stage}_test_logits"].argmax(1) == file["test_targets"]))


def test_stage_2_does_not_inherit_stage_1s_numbers(composed, tmp_path):
    results = run(composed(*TINY, "stage2.max_epochs=1", "+experiment=crt"), tmp_path)
    for stage in ("stage1", "stage2"):
        assert results[stage]["test"]["acc"] == pytest.approx(accuracy_of(tmp_path, stage))
    with np.load(tmp_path / "predictions.npz") as file:
        assert not np.allclose(file["stage1_test_logits"], file["stage2_test_logits"])


def test_balanced_softmax_on_class_balanced_batches_corrects_once(composed):
    overrides = ["dataset=digits_lt", "loss@stage1.loss=balanced_softmax", "sampler@stage1.sampler=class_balanced"]
    cfg = resolved(composed(*overrides))
    data = build.build_data(cfg)
    loss = build.build_sampler_and_loss(cfg, data, 1)[1]
    assert isinstance(loss, BalancedSoftmax)
    assert float(loss.log_prior.max() - loss.log_prior.min()) < 1e-6
    with pytest.raises(InputError, match="both correct"):
        build.build_sampler_and_loss(resolved(composed(*overrides, "stage1.loss.prior=data")), data, 1)


@pytest.mark.parametrize("augment", ["cmo", "remix", "unimix", "bbn"])
def test_a_fixed_prior_under_mixing_that_moves_the_labels_is_refused(composed, augment):
    overrides = ["dataset=digits_lt", f"augment={augment}"]
    data = build.build_data(resolved(composed(*overrides)))
    loss = [*overrides, "loss@stage1.loss=balanced_softmax"]
    with pytest.raises(InputError, match=r"moves the labels' frequencies.*dynamic_balanced_softmax"):
        build.build_sampler_and_loss(resolved(composed(*loss)), data, 1)
    build.build_sampler_and_loss(resolved(composed(*loss, "allow_double_correction=true")), data, 1)
    classifier = [*overrides, "stage2=logit_adjustment"]
    for asked, expected in (
        (classifier, pytest.raises(InputError, match="its augmentation moves them")),
        ([*classifier, "allow_double_correction=true"], nullcontext()),
    ):
        cfg = resolved(composed(*asked))
        with expected:
            build.check_stage2(cfg, data, *build.build_network(cfg, 10))


def test_what_belongs_together_is_said(composed):
    cfg = resolved(composed("dataset=digits_lt", "augment=bbn"))
    data = build.build_data(cfg)
    backbone, _ = build.build_network(cfg, 10)
    with pytest.raises(ValueError, match="pairs, by augment=bbn, need model=bbn"):
        backbone(torch.zeros(2, 6, 32, 32))
    cfg = resolved(composed("dataset=digits_lt", "loss@stage1.loss=ldam"))
    with pytest.raises(Exception, match=r"scale None > 0.*model=resnet32_cosine"):
        build.build_sampler_and_loss(cfg, data, 1)


def test_mixing_within_a_batch_leaves_the_labels_frequencies(composed):
    moved = {name: build.labels_moved(composed(f"augment={name}").augment) for name in plugins("augment")}
    assert {name for name, does in moved.items() if does} == {"bbn", "cmo", "remix", "unimix"}
    assert build.labels_moved(composed("augment=autoaugment_cutmix", "augment@augment.then=remix").augment)


def test_a_sampler_that_changes_is_refused_where_the_prior_is_fixed(composed):
    overrides = ["dataset=digits_lt", "sampler@stage1.sampler=progressively_balanced"]
    data = build.build_data(resolved(composed(*overrides)))
    build.build_sampler_and_loss(resolved(composed(*overrides)), data, 1)
    with pytest.raises(InputError, match="dynamic_balanced_softmax"):
        build.build_sampler_and_loss(resolved(composed(*overrides, "loss@stage1.loss=balanced_softmax")), data, 1)
    cure = resolved(composed(*overrides, "loss@stage1.loss=dynamic_balanced_softmax"))
    assert isinstance(build.build_sampler_and_loss(cure, data, 1)[1], DynamicBalancedSoftmax)


def test_a_wrapped_loss_does_not_escape_the_check_of_its_prior(composed):
    overrides = ["dataset=digits_lt", "loss@stage1.loss=drw", "loss@stage1.loss.loss=balanced_softmax"]
    cfg = resolved(composed(*overrides, "sampler@stage1.sampler=class_balanced", "stage1.loss.loss.prior=data"))
    with pytest.raises(InputError, match="both correct"):
        build.build_sampler_and_loss(cfg, build.build_data(cfg), 1)


@pytest.mark.parametrize(
    ("loss", "also", "other"),
    [
        ("weighted_cross_entropy", "sampler@stage1.sampler=class_balanced", "sampler"),
        ("class_balanced", "sampler@stage1.sampler=progressively_balanced", "sampler"),
        ("class_balanced", "loss@stage1.loss.loss=balanced_softmax", "BalancedSoftmax"),
        ("class_balanced", "loss@stage1.loss.loss=weighted_cross_entropy", "WeightedCrossEntropy"),
        ("drw", "sampler@stage1.sampler=square_root", "sampler"),
        ("drw", "loss@stage1.loss.loss=dynamic_balanced_softmax", "DynamicBalancedSoftmax"),
    ],
)
def test_class_weights_beside_another_correction_are_refused(composed, loss, also, other):
    def build_with(*overrides: str) -> None:
        cfg = resolved(composed("dataset=digits_lt", f"loss@stage1.loss={loss}", *overrides))
        build.build_sampler_and_loss(cfg, build.build_data(cfg), 1)

    build_with()
    build_with(also, "allow_double_correction=true")
    build_with(also, "dataset.if=1")  # nothing to correct
    with pytest.raises(InputError, match=rf"the {other}.*both would correct for the same imbalance"):
        build_with(also)


def test_logit_adjustment_after_balanced_softmax_corrects_twice_and_is_refused(composed):
    overrides = ["dataset=digits_lt", "+experiment=logit_adjustment"]
    data = build.build_data(resolved(composed(*overrides)))
    for loss in ("balanced_softmax", "dynamic_balanced_softmax", "lade", "drw", "class_balanced"):
        cfg = resolved(composed(*overrides, f"loss@stage1.loss={loss}"))
        with pytest.raises(InputError, match="twice"):
            build.check_stage2(cfg, data, *build.build_network(cfg, 10))
    overrides = [*overrides, "loss@stage1.loss=balanced_softmax"]
    meant = resolved(composed(*overrides, "allow_double_correction=true"))
    build.check_stage2(meant, data, *build.build_network(meant, 10))


def test_logit_adjustment_takes_the_frequencies_that_stage_1_drew(composed):
    overrides = ["dataset=digits_lt", "+experiment=logit_adjustment"]
    cfg = resolved(composed(*overrides))
    data = build.build_data(cfg)
    new: Any = build.build_stage2(cfg, data, *build.build_network(cfg, 10))[0].classifier
    n = torch.tensor(data.class_counts, dtype=torch.float64)
    torch.testing.assert_close(new.adjustment, (n / n.sum()).log().float())
    changing = resolved(composed(*overrides, "sampler@stage1.sampler=progressively_balanced"))
    with pytest.raises(InputError, match="changes its frequencies"):
        build.check_stage2(changing, data, *build.build_network(changing, 10))


@pytest.mark.parametrize("experiment", ["tau_norm", "ncm", "logit_adjustment", "crt"])
def test_a_classifier_without_training_never_sees_the_test_set(composed, monkeypatch, experiment):
    from lt_calib.dataset.datamodule import LongTailedDataModule

    asked, eval_loader = set(), LongTailedDataModule.eval_loader
    monkeypatch.setattr(
        LongTailedDataModule, "eval_loader", lambda self, split: (asked.add(split), eval_loader(self, split))[1]
    )
    cfg = resolved(composed(*TINY, f"+experiment={experiment}", "dataset.val_per_class=5"))
    data = build.build_data(cfg)
    build.build_stage2(cfg, data, *build.build_network(cfg, 10))
    assert asked == {"tau_norm": {"val"}, "ncm": {"train", "val"}}.get(experiment, set())


@pytest.mark.parametrize(
    ("experiment", "frequencies"),
    [("cmo", lambda n: n**0), ("unimix", lambda n: n**0.5), ("bbn", lambda n: 1 / n)],
)
def test_partners_come_from_their_own_sampler(composed, experiment, frequencies):
    cfg = resolved(composed("dataset=digits_lt", f"+experiment={experiment}"))
    data = build.build_data(cfg)
    data.draw_with(build.build_sampler_and_loss(cfg, data, 1)[0], build.build_augment(cfg, data)[1])
    drawn = torch.zeros(2, 10, dtype=torch.float64)
    loader = data.train_dataloader()
    for epoch in range(20):
        loader.set_epoch(epoch)
        for _, targets, _, partners in loader:
            drawn[0] += torch.bincount(targets, minlength=10)
            drawn[1] += torch.bincount(partners, minlength=10)
    n = torch.tensor(data.class_counts, dtype=torch.float64)
    assert torch.equal(drawn[0] / 20, n)
    wanted = frequencies(n) / frequencies(n).sum()
    error = (wanted * (1 - wanted) / drawn[1].sum()).sqrt()
    assert bool(((drawn[1] / drawn[1].sum() - wanted).abs() < 5 * error).all())


def test_the_data_set_does_not_reseed_the_global_generators(composed):
    np.random.seed(123)
    torch.manual_seed(123)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    digits()
    build.build_data(resolved(composed("dataset=digits_lt", "dataset.val_per_class=5")))
    assert np.array_equal(np.random.get_state()[1], before[0])  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_different_seeds_and_processes_draw_different_mixup(composed):
    from lt_calib.stage.batch_augment import BatchAugment

    class Trainer:
        current_epoch, global_rank = 0, 0

    def mixed(seed: int, rank: int = 0) -> torch.Tensor:
        Trainer.global_rank = rank
        cfg = resolved(composed("dataset=digits_lt", "+experiment=mixup", f"seed={seed}"))
        callback = BatchAugment(instantiate(cfg.augment), num_classes=4, seed=cfg.seed)
        batch = [torch.arange(8.0)[:, None, None, None].expand(-1, 3, 2, 2), torch.arange(8) % 4]
        callback.on_train_batch_start(Trainer, None, batch, 0)  # type: ignore[arg-type]
        return batch[0]

    assert torch.equal(mixed(0), mixed(0))
    assert not torch.equal(mixed(0), mixed(1))
    assert not torch.equal(mixed(0), mixed(0, rank=1))  # several processes mix their pieces each by its own draws


def test_cutout_is_not_applied_to_the_batch_as_if_it_were_a_picture():
    images = torch.ones(64, 3, 32, 32)
    out, _ = CutOut(8)(images, torch.eye(64), torch.Generator().manual_seed(0))
    assert bool((out == 0).flatten(1).any(1).all())  # every picture has a hole
    assert float((out == 0).float().flatten(1).mean(1).max()) <= (8 / 32) ** 2  # and none is erased


def test_ece_has_15_bins_everywhere_and_files_have_fractions(composed, tmp_path):
    results = run(composed(*TINY), tmp_path)
    metrics = composed().metric
    binned = {"ece", "ece_floor", "ece_debiased", "mce", "rmsce", "ace", "cece", "brier_split"}
    found = {name: metrics[name].n_bins for name in metrics if "n_bins" in metrics[name]}
    assert found == dict.fromkeys(binned, 15)
    written = json.loads((tmp_path / "results.json").read_text())["stage1"]["test"]
    assert all(0 <= written[key] <= 1 for key in written if key.startswith(("acc", "ece", "mce")))
    assert written == results["stage1"]["test"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_resnet32_is_no_wider_network(composed, experiment):
    cfg = composed("dataset=cifar10_lt", f"+experiment={experiment}")
    backbone = instantiate(cfg.model.backbone)
    count = sum(p.numel() for p in backbone.parameters())
    block = 2 * (64 * 64 * 9 + 2 * 64)
    assert count == 464_154 - 650 + (block if cfg.model.backbone._target_.endswith("BBN") else 0)


def test_a_class_without_a_picture_is_an_error_and_no_log_of_zero():
    with pytest.raises(ValueError, match="class_counts"):
        BalancedSoftmax([5, 0, 2])


def test_stage_2_is_not_augmented(composed, tmp_path, monkeypatch):
    from lt_calib.stage.classifier import ClassifierModule

    seen, whole = set(), ClassifierModule.training_step

    def watched(self, batch, index):
        seen.add((len(batch), batch[1].ndim))
        return whole(self, batch, index)

    monkeypatch.setattr(ClassifierModule, "training_step", watched)
    run(composed(*TINY, "stage2.max_epochs=1", "+experiment=cutmix_awabs"), tmp_path)
    assert seen == {(2, 1)}  # pictures and classes; mixing makes the targets one-hot


def test_each_batch_of_each_epoch_mixes_by_draws_of_its_own():
    from lt_calib.augment.mixup import Mixup
    from lt_calib.stage.batch_augment import BatchAugment

    class Trainer:
        current_epoch, global_rank = 0, 0

    def mixed(epoch: int, step: int) -> torch.Tensor:
        Trainer.current_epoch = epoch
        batch = [torch.arange(8.0)[:, None, None, None].expand(-1, 3, 2, 2), torch.arange(8) % 4]
        callback = BatchAugment(Mixup(), num_classes=4, seed=0)
        callback.on_train_batch_start(Trainer, None, batch, step)  # type: ignore[arg-type]
        return batch[0]

    drawn = [mixed(epoch, step) for epoch in (0, 1) for step in (0, 1)]
    assert all(not torch.equal(a, b) for a, b in combinations(drawn, 2))


def test_a_jobs_seed_reaches_all_that_draws(composed):
    for seed in (0, 1):
        cfg = resolved(composed("dataset=digits_lt", "+experiment=cmo", f"seed={seed}"))
        data = build.build_data(cfg)
        (callback,), partner = build.build_augment(cfg, data)
        assert partner is not None
        assert [build.build_sampler_and_loss(cfg, data, 1)[0].seed, partner.seed, callback.seed] == [seed] * 3
