import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError

from lt_calib import build
from lt_calib.config import check_keys, differing_keys, nearest_factor
from lt_calib.errors import InputError
from tests.conftest import CONF, EXPERIMENTS, plugins


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_instantiates(composed, experiment):
    cfg = composed("dataset=digits_lt", f"+experiment={experiment}")
    assert cfg.experiment == cfg.name == experiment
    cfg = resolved(cfg)
    check_keys(cfg)
    data = build.build_data(cfg)
    backbone, classifier = build.build_network(cfg, data.num_classes)
    build.build_stage1(cfg, backbone, classifier, build.build_sampler_and_loss(cfg, data, 1)[1])
    if "_target_" in cfg.stage2:
        build.build_stage2(cfg, data, backbone, classifier)
    build.build_augment(cfg, data)
    instantiate(cfg.metric)


def resolved(cfg: DictConfig) -> DictConfig:
    return OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[return-value]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiments_file_says_what_it_is(experiment):
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert text.startswith("# @package _global_\n# ")
    assert f"python -m lt_calib.run +experiment={experiment} " in text


@pytest.mark.parametrize(
    ("group", "package"),
    [
        ("dataset", "dataset"),
        ("augment", "augment"),
        ("loss", "stage1.loss"),
        ("sampler", "stage1.sampler"),
        ("stage2", "stage2"),
        ("resample", "resample"),
        ("trainer", "trainer"),
        ("logger", "logger"),
    ],
)
def test_every_option_of_every_group_is_checked(composed, group, package):
    for name in plugins(group):
        at = "" if package == group else f"@{package}"
        check_keys(composed("dataset=digits_lt", "model=resnet32_cosine", f"{group}{at}={name}"))


def test_typo_on_the_command_line(composed):
    with pytest.raises(Exception, match="maxepochs") as error:
        composed("stage1.maxepochs=3")
    assert isinstance(error.value.__cause__, ConfigKeyError) or "maxepochs" in str(error.value)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+stage1.max_epoch=3", "stage1.max_epoch; did you mean max_epochs"),
        ("+stage1.loss.gama=3", "stage1.loss.gama"),
        ("+stage1.schedule.gamna=3", "stage1.schedule.gamna; did you mean gamma"),
        ("+augment.sise=3", "augment.sise"),
        ("+dataset.iff=3", "dataset.iff"),
        ("+dataset.recipe.cutout=3", "dataset.recipe.cutout; did you mean cutout_size"),
        ("+dataset.imbalance_factor=3", "dataset.imbalance_factor"),
        ("+metric.ecee.n_bins=3", "metric.ecee is no metric"),
        ("+resample.space=features", "resample.space"),
        ("+trainer.precison=3", "trainer.precison; did you mean precision"),
        ("+metric.ece.bins=3", "metric.ece.bins"),
        ("+stage2.max_epoch=3", "stage2.max_epoch"),
    ],
)
def test_a_key_that_nothing_reads(composed, override, named):
    """What an experiment's file can add, and Hydra does not check."""
    cfg = composed("+experiment=cutout_awabs", override)
    with pytest.raises(InputError, match=named.replace(".", r"\.")):
        check_keys(cfg)


def test_a_typo_inside_stage2_none(composed):
    with pytest.raises(InputError, match=r"stage2\.epochs"):
        check_keys(composed("+stage2.epochs=3"))
    with pytest.raises(InputError, match=r"augment\.size"):
        check_keys(composed("+augment.size=3"))


def test_a_typo_at_the_top_level(composed):
    with pytest.raises(InputError, match="unknown setting sed; did you mean seed"):
        check_keys(composed("+sed=3"))


def test_unlisted_factors_take_the_nearest_on_a_log_scale(composed):
    assert nearest_factor([10, 50, 100, 200], 23) == 50  # sqrt(10 * 50) = 22.4
    assert nearest_factor([10, 50, 100, 200], 22) == 10
    assert nearest_factor([10, 50, 100, 200], 1) == 10
    assert nearest_factor([10, 1000], 100) == 1000
    cfg = composed("dataset=cifar10_lt", "dataset.if=60", "+experiment=cutmix_awabs")
    assert (cfg.stage2.loss.eps_head, cfg.stage2.lr_factor) == (0.2, 0.2)
    with pytest.raises(InputError, match=r"dataset.if=0.5"):
        nearest_factor([10], 0.5)


@pytest.mark.parametrize(
    ("dataset", "factor", "wanted"),
    [
        ("cifar10_lt", 200, (0.3, 0.0, 0.5, False)),
        ("cifar10_lt", 100, (0.3, 0.0, 0.5, False)),
        ("cifar10_lt", 50, (0.2, 0.0, 0.2, False)),
        ("cifar10_lt", 10, (0.1, 0.0, 0.2, False)),
        ("cifar100_lt", 200, (0.4, 0.1, 0.2, True)),
        ("cifar100_lt", 100, (0.4, 0.1, 0.2, True)),
        ("cifar100_lt", 50, (0.3, 0.0, 0.1, True)),
        ("cifar100_lt", 10, (0.2, 0.0, 0.1, True)),
    ],
)
def test_published_settings_are_the_defaults(composed, dataset, factor, wanted):
    cfg = composed(f"dataset={dataset}", f"dataset.if={factor}", "+experiment=cutmix_awabs")
    two = cfg.stage2
    assert (two.loss.eps_head, two.loss.eps_tail, two.lr_factor, two.shift_bn) == wanted
    assert (cfg.stage1.max_epochs, cfg.stage1.lr, cfg.stage1.weight_decay) == (200, 0.1, 5e-4)
    assert (two.max_epochs, two.lr, two.weight_decay, cfg.dataset.batch_size) == (10, 0.1, 2e-4, 128)
    assert cfg.dataset.val_per_class == 0


def test_differing_keys():
    old = {"seed": 0, "stage1": {"lr": 0.1}, "logger": {"project": "a"}, "dataset": {"root": "x"}}
    new = {"seed": 0, "stage1": {"lr": 0.2}, "logger": {"project": "b"}, "dataset": {"root": "y"}}
    assert differing_keys(old, new) == ["stage1.lr"]
    assert differing_keys(old, old | {"name": "n"}) == ["name"]
