"""The traps that the field's code has fallen into, each with a test that fails if ours does."""

import json
from collections.abc import Callable
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lt_calib.augment.cutout import CutOut
from lt_calib.dataset.data import Data
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.digits import digits
from lt_calib.errors import InputError
from lt_calib.job.build import build_data, settle
from lt_calib.job.build_stages import build_augment, build_network, build_sampler_and_loss
from lt_calib.job.fit import begin
from lt_calib.job.prior import asked_prior, check_augmentation, fixed_prior, labels_moved
from lt_calib.loss.balanced_softmax import BalancedSoftmax
from lt_calib.loss.dynamic_balanced_softmax import DynamicBalancedSoftmax
from lt_calib.run import run
from lt_calib.sampler.base import EpochSampler
from lt_calib.seed import generator
from lt_calib.settings.check import make
from tests.conftest import CONF, EXPERIMENTS, TINY, built, compose_config, plugins

DIGITS = "dataset=digits_lt"
WEIGHTED = "weighted_cross_entropy"


def settled(*overrides: str) -> DictConfig:
    words = overrides if any(word.startswith("dataset=") for word in overrides) else (DIGITS, *overrides)
    return settle(compose_config(*words), Path("unused"))


@cache
def data_of_digits(*overrides: str) -> Data:
    return build_data(settled(*overrides))


def sampler_and_loss(*overrides: str) -> tuple[EpochSampler, nn.Module]:
    """Stage 1's, on the digits."""
    data = data_of_digits(*(word for word in overrides if word.startswith("dataset.")))
    return build_sampler_and_loss(settled(*overrides), "stage1", data)


def test_the_best_epoch_is_not_reported(composed, tmp_path, monkeypatch):
    """Training never sees the test set, and what is kept and reported are the last epoch's weights."""
    from lt_calib.training.history import History

    asked, weights = [], []
    loader, epoch_end = LongTailedDataModule.loader, History.on_train_epoch_end

    def watch_loader(self, split, *args, **kwargs):
        asked.append((split, len(weights)))
        return loader(self, split, *args, **kwargs)

    def watch_epoch(self, trainer, module):
        weights.append({k: v.clone() for k, v in module.backbone.state_dict().items()})
        epoch_end(self, trainer, module)

    monkeypatch.setattr(LongTailedDataModule, "loader", watch_loader)
    monkeypatch.setattr(History, "on_train_epoch_end", watch_epoch)
    cosine = "schedule@stage1.schedule=cosine"  # it comes down: batch norm's statistics are the last epoch's, too
    overrides = (*TINY, cosine, "stage1.max_epochs=3", "stage1.lr=0.3", "dataset.val_per_class=5")
    results = run(composed(*overrides, "trainer.eval_every=1"), tmp_path)
    assert {split for split, epochs in asked if epochs < 3} == {"train", "val"}
    assert {split for split, epochs in asked if epochs == 3} >= {"test"}
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


def test_balanced_softmax_on_class_balanced_batches_corrects_once():
    overrides = ["loss@stage1.loss=balanced_softmax", "sampler@stage1.sampler=class_balanced"]
    loss = sampler_and_loss(*overrides)[1]
    assert isinstance(loss, BalancedSoftmax)
    assert float(loss.log_prior.max() - loss.log_prior.min()) < 1e-6
    with pytest.raises(InputError, match="both correct"):
        sampler_and_loss(*overrides, "stage1.loss.prior=data")


@pytest.mark.parametrize("augment", ["cmo", "remix", "unimix", "bbn"])
def test_a_fixed_prior_under_mixing_that_moves_the_labels_is_refused(augment):
    overrides = [*TINY, f"augment={augment}"]
    loss = [*overrides, "loss@stage1.loss=balanced_softmax"]
    with pytest.raises(InputError, match=r"moves the labels' frequencies.*dynamic_balanced_softmax"):
        built(*loss)
    built(*loss, "allow_double_correction=true")
    classifier = [*overrides, "stage2=logit_adjustment"]
    with pytest.raises(InputError, match="its augmentation moves them"):
        built(*classifier)
    built(*classifier, "allow_double_correction=true")


def moved_by(*overrides: str) -> bool:
    cfg = settled(*overrides)
    data = data_of_digits(*(word for word in overrides if word.startswith("dataset.")))
    sampler, _ = build_sampler_and_loss(cfg, "stage1", data)
    partner = build_augment(cfg, data)[1]
    return labels_moved(cfg.augment, sampler, partner, data.class_counts, cfg.stage1.max_epochs)


def test_what_belongs_together_is_said():
    backbone, _ = build_network(settled("augment=bbn"), data_of_digits())
    with pytest.raises(ValueError, match="pairs, by augment=bbn, need model=bbn"):
        backbone(torch.zeros(2, 6, 32, 32))
    with pytest.raises(Exception, match=r"scale None > 0.*model=resnet32_cosine"):
        sampler_and_loss("loss@stage1.loss=ldam")


@pytest.mark.parametrize(
    ("settings", "moved"),
    [
        *(([f"augment={name}"], True) for name in ("bbn", "cmo", "remix", "unimix")),
        *(([f"augment={name}"], False) for name in ("none", "cutout", "mixup", "cutmix", "autoaugment_cutmix")),
        (["augment=autoaugment_cutmix", "augment@augment.then=remix"], True),
        (["augment=autoaugment_cutmix", "augment@augment.then=cmo"], True),
        (["augment=mixup", "+sampler@augment.partner=class_balanced"], True),
        (["augment=mixup", "+sampler@augment.partner=instance_balanced"], False),
        (["augment=cmo", "sampler@stage1.sampler=class_balanced"], False),
        (["augment=cmo", "sampler@stage1.sampler=progressively_balanced", "stage1.max_epochs=20"], True),
        (["augment=unimix", "sampler@augment.partner=instance_balanced", "~augment.partner.tau"], True),
    ],
)
def test_which_augmentations_move_the_labels_frequencies(settings, moved):
    assert moved_by(*settings) is moved
    assert moved_by(*settings, "dataset.if=1") is False  # no class is rarer than another


@pytest.mark.parametrize("name", plugins("augment"))
def test_an_augmentation_that_moves_the_labels_frequencies_says_so(name):
    """One that mixes within the batch, and by no rule about classes, leaves them, whatever its name."""
    cfg, data = settled(f"augment={name}", "stage1.max_epochs=20"), data_of_digits()
    sampler, _ = build_sampler_and_loss(cfg, "stage1", data)
    callback, partner = build_augment(cfg, data)
    assert callback is not None
    loader = data.loader("train", sampler, partner=partner)
    seen = torch.zeros(data.num_classes)
    for epoch in range(5, 15):
        loader.set_epoch(epoch)
        callback.set_epoch(epoch)
        for step, batch in enumerate(loader):
            callback.apply(batch, generator(cfg.seed, "augment", stage=1, epoch=epoch, step=step))
            seen += batch[1].sum(0)
    apart = float((seen / seen.sum() - sampler.prior).abs().max())
    assert apart < 0.01 or moved_by(f"augment={name}")


def test_a_sampler_that_changes_is_refused_where_the_prior_is_fixed():
    changing = "sampler@stage1.sampler=progressively_balanced"
    sampler_and_loss(changing)
    with pytest.raises(InputError, match="dynamic_balanced_softmax"):
        sampler_and_loss(changing, "loss@stage1.loss=balanced_softmax")
    cure = sampler_and_loss(changing, "loss@stage1.loss=dynamic_balanced_softmax")[1]
    assert isinstance(cure, DynamicBalancedSoftmax)


def test_a_wrapped_loss_does_not_escape_the_check_of_its_prior():
    wrapped = ["loss@stage1.loss=drw", "loss@stage1.loss.loss=balanced_softmax"]
    with pytest.raises(InputError, match="both correct"):
        sampler_and_loss(*wrapped, "sampler@stage1.sampler=class_balanced", "stage1.loss.loss.prior=data")


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
def test_class_weights_beside_another_correction_are_refused(loss, also, other):
    weighted = f"loss@stage1.loss={loss}"
    sampler_and_loss(weighted)
    sampler_and_loss(weighted, also, "allow_double_correction=true")
    sampler_and_loss(weighted, also, "dataset.if=1")  # nothing to correct
    with pytest.raises(InputError, match=rf"the {other}.*both would correct for the same imbalance"):
        sampler_and_loss(weighted, also)


@pytest.mark.parametrize(
    "words",
    [
        ["+experiment=ldam_drw", "augment=cmo"],
        ["+experiment=cbce", "augment=cmo"],
        ["+experiment=weighted_ce", "augment=unimix"],
        ["+experiment=mixup_drw", "augment=autoaugment_cutmix", "augment@augment.then=remix"],
        ["+experiment=bbn", "loss@stage1.loss=weighted_cross_entropy"],
    ],
)
def test_class_weights_beside_an_augmentation_that_moves_the_labels_are_refused(words):
    with pytest.raises(
        InputError, match=r"moves the labels' frequencies away from n / N, and \w+ weighs the classes by these"
    ):
        built(DIGITS, *words)


def of_group(group: str, name: str) -> Any:
    """A part's yaml as Hydra would put it in its place, without the time that a composition takes."""
    node: Any = OmegaConf.load(CONF / group / f"{name}.yaml")
    for default in node.pop("defaults", []):
        if isinstance(default, DictConfig):
            ((key, value),) = default.items()
            group, _, place = str(key).lstrip("/").partition("@")
            node[place] = OmegaConf.merge(of_group(group, value), node.get(place) or {})
        elif default != "_self_":
            node = OmegaConf.merge(of_group(group, default), node)
    return node


@pytest.mark.parametrize("part", ["loss@stage1.loss=drw", "augment=unimix", "augment=autoaugment_cutmix"])
def test_a_yaml_is_read_as_hydra_puts_it_in_its_place(part):
    group, _, name = part.partition("=")
    group, _, place = group.partition("@")
    hydras = OmegaConf.select(compose_config(DIGITS, part), place or group)
    assert OmegaConf.to_container(hydras) == OmegaConf.to_container(of_group(group, name))


def test_at_most_one_part_corrects_or_the_loss_follows_the_others():
    """Every loss x sampler x augmentation is refused by what the parts do, whatever they are called."""
    cfg, data, epochs = compose_config(DIGITS, "stage1.max_epochs=20"), data_of_digits(), 20
    n = torch.tensor(data.class_counts, dtype=torch.float64)
    partners: dict[str, Any] = {}
    for augment in plugins("augment"):
        cfg.augment = of_group("augment", augment)
        partners[augment] = cfg.augment, build_augment(cfg, data)[1]
    cfg.augment = {}
    found: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    for sampling, name in product(plugins("sampler"), plugins("loss")):
        cfg.stage1.sampler, cfg.stage1.loss = of_group("sampler", sampling), of_group("loss", name)
        if name == "ldam":
            cfg.stage1.loss.scale = 30
        cfg.allow_double_correction = True
        fixed, weighted = asked_prior(cfg.stage1.loss) is not None, name in ("drw", "class_balanced", WEIGHTED)
        if fixed and sampling == "progressively_balanced":
            continue  # no fixed prior is right, allowed or not
        sampler, loss = build_sampler_and_loss(cfg, "stage1", data)
        drawn = fixed_prior(sampler, epochs)
        elsewhere = drawn is None or not torch.allclose(drawn, n / n.sum())
        cfg.allow_double_correction = False
        alone = refusal(lambda: build_sampler_and_loss(cfg, "stage1", data))
        assert alone == (weighted and elsewhere), (name, sampling)
        for augment, (node, partner) in partners.items():
            moved = labels_moved(node, sampler, partner, data.class_counts, epochs)
            said = moved and refusal(
                lambda: check_augmentation("A", loss, asked_prior(cfg.stage1.loss), drawn, data.class_counts)  # noqa: B023
            )
            follows = name == "dynamic_balanced_softmax"
            assert said == (moved and not follows and (fixed or weighted or elsewhere)), (name, sampling, augment)
            found[alone or said].add((name, sampling, augment))
    plain = "instance_balanced"
    assert found[True] >= {("drw", plain, "cmo"), (WEIGHTED, plain, "bbn"), ("balanced_softmax", plain, "remix")}
    assert found[True] >= {("cross_entropy", "class_balanced", "remix"), ("lade", plain, "unimix")}
    assert found[False] >= {("drw", plain, "mixup"), ("dynamic_balanced_softmax", "reverse", "cmo")}
    assert found[False] >= {("cross_entropy", plain, a) for a in partners}
    assert found[False] >= {("cross_entropy", "class_balanced", "cmo"), ("balanced_softmax", "class_balanced", "cmo")}


def refusal(build: Callable[[], object]) -> bool:
    try:
        build()
    except InputError:
        return True
    return False


def test_logit_adjustment_after_balanced_softmax_corrects_twice_and_is_refused():
    overrides = [*TINY, "+experiment=logit_adjustment"]
    for loss in ("balanced_softmax", "dynamic_balanced_softmax", "lade", "drw", "class_balanced"):
        with pytest.raises(InputError, match="twice"):
            built(*overrides, f"loss@stage1.loss={loss}")
    built(*overrides, "loss@stage1.loss=balanced_softmax", "allow_double_correction=true")


def test_logit_adjustment_takes_the_frequencies_that_stage_1_drew():
    overrides = [*TINY, "+experiment=logit_adjustment"]
    job = built(*overrides)
    n = torch.tensor(job.data.class_counts, dtype=torch.float64)
    new: Any = job.stages[1].module.classifier
    torch.testing.assert_close(new.adjustment, (n / n.sum()).log().float())
    with pytest.raises(InputError, match="changes its frequencies"):
        built(*overrides, "stage1.max_epochs=20", "sampler@stage1.sampler=progressively_balanced")


@pytest.mark.parametrize("experiment", ["tau_norm", "ncm", "logit_adjustment", "crt"])
def test_a_classifier_without_training_never_sees_the_test_set(monkeypatch, experiment):
    asked, loader = set(), LongTailedDataModule.loader
    monkeypatch.setattr(
        LongTailedDataModule, "loader", lambda self, split, *a, **k: (asked.add(split), loader(self, split, *a, **k))[1]
    )
    job = built(*TINY, f"+experiment={experiment}", "dataset.val_per_class=5")
    begin(job, job.stages[1])
    assert asked == {"tau_norm": {"val"}, "ncm": {"train", "val"}}.get(experiment, set())


@pytest.mark.parametrize(
    ("experiment", "frequencies"),
    [("cmo", lambda n: n**0), ("unimix", lambda n: n**0.5), ("bbn", lambda n: 1 / n)],
)
def test_partners_come_from_their_own_sampler(experiment, frequencies):
    stage = built(DIGITS, f"+experiment={experiment}").stages[0]
    drawn = torch.zeros(2, 10, dtype=torch.float64)
    loader = stage.data.loader("train", stage.sampler, partner=stage.partner)
    for epoch in range(20):
        loader.set_epoch(epoch)
        for _, targets, _, partners in loader:
            drawn[0] += torch.bincount(targets, minlength=10)
            drawn[1] += torch.bincount(partners, minlength=10)
    n = torch.tensor(stage.data.class_counts, dtype=torch.float64)
    assert torch.equal(drawn[0] / 20, n)
    wanted = frequencies(n) / frequencies(n).sum()
    error = (wanted * (1 - wanted) / drawn[1].sum()).sqrt()
    assert bool(((drawn[1] / drawn[1].sum() - wanted).abs() < 5 * error).all())


def test_the_data_set_does_not_reseed_the_global_generators():
    np.random.seed(123)
    torch.manual_seed(123)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]
    digits()
    build_data(settled("dataset.val_per_class=5"))
    assert np.array_equal(np.random.get_state()[1], before[0])  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_different_seeds_and_processes_draw_different_mixup():
    class Trainer:
        current_epoch, global_rank = 0, 0

    def mixed(seed: int, rank: int = 0) -> torch.Tensor:
        Trainer.global_rank = rank
        callback: Any = build_augment(settled("+experiment=mixup", f"seed={seed}"), data_of_digits())[0]
        batch = [torch.arange(8.0)[:, None, None, None].expand(-1, 3, 2, 2), torch.arange(8) % 4]
        callback.on_train_batch_start(Trainer, None, batch, 0)
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
    found = {name: metrics[name].n_bins for name in metrics if "n_bins" in metrics[name]}
    assert set(found) >= {"ece", "ece_floor", "ece_debiased", "mce", "rmsce", "ace", "cece", "brier_split"}
    assert set(found.values()) == {15}
    written = json.loads((tmp_path / "results.json").read_text())["stage1"]["test"]
    assert all(0 <= written[key] <= 1 for key in written if key.startswith(("acc", "ece", "mce")))
    assert written == results["stage1"]["test"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_resnet32_is_no_wider_network(experiment):
    cfg = settled("dataset=cifar10_lt", f"+experiment={experiment}")
    name = cfg.model.backbone._target_.rsplit(".", 1)[-1] if cfg.model.backbone else "no network"
    if name not in ("ResNet32", "BBN"):
        assert experiment not in OmegaConf.load(CONF / "campaign" / "published.yaml").experiment
        pytest.skip(f"is of {name}")
    backbone = make(cfg, "model.backbone", in_channels=3)
    count = sum(p.numel() for p in backbone.parameters())
    block = 2 * (64 * 64 * 9 + 2 * 64)
    assert count == 464_154 - 650 + (block if name == "BBN" else 0)


def test_a_class_without_an_image_is_an_error_and_no_log_of_zero():
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
    from lt_calib.training.batch_augment import BatchAugment

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


def test_a_jobs_seed_reaches_all_that_draws():
    for seed in (0, 1):
        stages: Any = built(*TINY, "+experiment=cmo_awabs", f"seed={seed}").stages
        first = stages[0]
        assert [part.seed for part in (first.sampler, first.partner, first.augment, first.module)] == [seed] * 4
        assert [part.seed for part in (stages[1].sampler, stages[1].module)] == [seed] * 2
