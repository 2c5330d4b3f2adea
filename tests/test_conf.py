import re

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from lt_calib.errors import InputError
from lt_calib.settings.check import check_keys, refuse_untrusted
from lt_calib.settings.schema import changed_of, nearest_factor, plain
from lt_calib.settings.table import differing_keys, settings_hash
from tests.conftest import CONF, EXPERIMENTS, built, data_of, plugins


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_is_built(composed, experiment):
    cfg = composed(data_of(experiment), f"+experiment={experiment}")
    assert cfg.experiment == cfg.name == experiment
    job = built(data_of(experiment), f"+experiment={experiment}")
    assert [stage.name for stage in job.stages] == ["stage1", "stage2"][: 1 + ("_target_" in cfg.stage2)]
    assert (job.record["experiment"], job.record["changed"]) == (experiment, {})
    assert list(job.metrics) == list(cfg.metric)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiments_file_says_what_it_is(experiment):
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert text.startswith("# @package _global_\n# ")
    assert f"python -m lt_calib.run +experiment={experiment} " in text


@pytest.mark.parametrize(
    ("group", "package"),
    [
        ("dataset", "dataset"),
        ("transform", "transform"),
        ("augment", "augment"),
        ("loss", "stage1.loss"),
        ("sampler", "stage1.sampler"),
        ("optimizer", "stage1.optimizer"),
        ("schedule", "stage1.schedule"),
        ("stage1", "stage1"),
        ("stage2", "stage2"),
        ("posthoc", "posthoc"),
        ("resample", "resample"),
        ("trainer", "trainer"),
        ("logger", "logger"),
    ],
)
def test_every_option_of_every_group_is_checked(composed, group, package):
    for name in plugins(group):
        at = "" if package == group else f"@{package}"
        there = ["dataset.root=."] * (name in ("folder", "list", "table"))
        check_keys(composed("dataset=digits_lt", "model=resnet32_cosine", f"{group}{at}={name}", *there))


def test_typo_on_the_command_line(composed):
    with pytest.raises(Exception, match="maxepochs") as error:
        composed("stage1.maxepochs=3")
    assert isinstance(error.value.__cause__, ConfigKeyError) or "maxepochs" in str(error.value)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+stage1.max_epoch=3", "stage1.max_epoch; did you mean max_epochs"),
        ("+stage1.loss.gama=3", "stage1.loss.gama"),
        ("+model.size=64", "model.size"),
        ("+stage1.schedule.gamna=3", "stage1.schedule.gamna; did you mean gamma"),
        ("+stage1.optimizer.momentun=3", "stage1.optimizer.momentun; did you mean momentum"),
        ("+transform.paddin=3", "transform.paddin; did you mean padding"),
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


def test_a_runs_path_can_be_a_value_on_the_command_line(composed):
    from lt_calib.settings.schema import _changed

    overrides = OmegaConf.create(["stage1.max_epochs=1", "loss@stage1.loss=focal", "dataset.groups=[1, 2]", "seed=3"])
    folder = f"outputs/digits_lt_if10/ce/seed3{_changed(overrides)}"  # type: ignore[arg-type]
    assert folder == "outputs/digits_lt_if10/ce/seed3_dataset.groups-1-2-_loss@stage1.loss-focal_stage1.max_epochs-1"
    assert composed(f"stage1.ckpt_path={folder}/stage1.ckpt").stage1.ckpt_path == f"{folder}/stage1.ckpt"


def test_a_folders_name_has_whole_words_and_at_most_80_characters():
    from lt_calib.settings.schema import _changed

    def name(*overrides: str) -> str:
        return f"seed4294967295{_changed(OmegaConf.create(list(overrides)))}"  # type: ignore[arg-type]

    many = [f"stage{i}.max_epochs={n}" for i in (1, 2) for n in range(3)] + [
        "model=resnet8",
        f"stage1.ckpt_path={'a' * 90}",
    ]
    assert len(name(*many)) <= 80
    assert name(*many)[:-8] == "seed4294967295_model-resnet8_stage1.max_epochs-0_stage1.max_epochs-1_"
    assert name(*many) != name(*many, "stage2.lr=0.3")  # what is not shown makes another folder, too
    assert name("model=resnet8") == "seed4294967295_model-resnet8"


def test_a_part_that_is_given_like_a_number_is_named(composed):
    with pytest.raises(InputError, match=r"loss@stage1\.loss=focal"):
        check_keys(composed("dataset=digits_lt", "stage1.loss=focal"))


@pytest.mark.parametrize(("override", "named"), [("seed=-1", "seed=-1"), ("stage1.max_epochs=1.5", "max_epochs=1.5")])
def test_numbers_out_of_range(composed, tmp_path, override, named):
    from lt_calib.run import run

    with pytest.raises(Exception, match=named):
        run(composed("dataset=digits_lt", override), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_the_data_comes_from_the_environment(composed, monkeypatch):
    monkeypatch.delenv("LT_CALIB_DATA", raising=False)
    assert composed().dataset.root == "data"
    monkeypatch.setenv("LT_CALIB_DATA", "elsewhere")
    assert composed().dataset.root == "elsewhere"


def test_a_typo_inside_stage2_none(composed):
    with pytest.raises(InputError, match=r"stage2\.epochs"):
        check_keys(composed("+stage2.epochs=3"))
    with pytest.raises(InputError, match=r"augment\.size"):
        check_keys(composed("+augment.size=3"))


def test_a_typo_at_the_top_level(composed):
    with pytest.raises(InputError, match="unknown setting sed; did you mean seed"):
        check_keys(composed("+sed=3"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["stage1.max_epochs=two"], "stage1.max_epochs=two must be a whole number"),
        (["stage1.max_epochs=2.5"], "stage1.max_epochs=2.5 must be a whole number"),
        (["stage1.max_epochs=true"], "stage1.max_epochs=True must be a whole number"),
        (["dataset.if=ten"], "dataset.if=ten must be a finite number"),
        (["stage1.lr=fast"], "stage1.lr=fast must be a number"),
        (["stage1.lr=[0.1,0.2]"], "stage1.lr=.* must be a number"),
        (["stage1.optimizer.nesterov=1"], "stage1.optimizer.nesterov=1 must be true or false"),
        (["augment=cutmix", "augment.prob=often"], "augment.prob=often must be a number"),
        (
            ["loss@stage1.loss=drw", "loss@stage1.loss.loss=ldam", "stage1.loss.loss.max_margin=x"],
            "max_margin=x must be a number",
        ),
    ],
)
def test_a_value_of_another_type_is_named(composed, overrides, said):
    with pytest.raises(InputError, match=said):
        check_keys(composed("dataset=digits_lt", *overrides))


def test_what_may_be_of_several_types_or_is_a_whole_number_for_a_number_is_taken(composed):
    check_keys(composed("dataset=digits_lt", "stage1.lr=1", "stage1.ema_decay=0"))


def test_unlisted_factors_take_the_nearest_on_a_log_scale(composed):
    assert nearest_factor([10, 50, 100, 200], 23) == 50  # sqrt(10 * 50) = 22.4
    assert nearest_factor([10, 50, 100, 200], 22) == 10
    assert nearest_factor([10, 50, 100, 200], 1) == 10
    assert nearest_factor([10, 1000], 100) == 1000
    assert nearest_factor([10, 100, 200], None) == 100  # of counts that are not known before they are read
    cfg = composed("dataset=cifar10_lt", "dataset.if=60", "+experiment=cutmix_awabs")
    assert (cfg.stage2.loss.eps_head, cfg.stage2.lr_factor) == (0.2, 0.2)
    for bad in (0.5, float("nan"), float("inf"), "foo", True):
        with pytest.raises(InputError, match=rf"dataset.if={bad} must be"):
            nearest_factor([10], bad)  # type: ignore[arg-type]


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


DEFAULTS = {  # of the methods, from the papers and their authors' code: experiment -> key -> value
    "cutout_awabs": {"augment.size": 16, "augment.prob": 1.0, "stage2.loss.form": "concave"},
    "cutmix_awabs": {"augment.alpha": 1.0, "augment.prob": 1.0, "stage2.loss.target_space": "test"},
    "cut_thumbnail_awabs": {"augment.size": 0.5, "augment.prob": 0.8, "augment.per": "batch"},
    "mixed_cut_thumbnail_awabs": {"augment.size": 0.5, "augment.prob": 0.8, "augment.weight": 0.75},
    "mixup": {"augment.alpha": 1.0, "augment.prob": 1.0},
    "remix_drw": {
        "augment.alpha": 1.0, "augment.kappa": 3.0, "augment.tau": 0.5, "stage1.loss.start": 0.8,
        "stage1.loss.normalizer": "batch",
    },
    "cmo": {"augment.alpha": 1.0, "augment.prob": 0.5, "augment.partner._target_": "ClassBalanced"},
    "unimix": {"augment.alpha": 0.8, "augment.partner.tau": -0.5, "augment.partner._target_": "Power"},
    "bbn": {"augment.partner._target_": "Reverse", "model.backbone._target_": "BBN"},
    "weighted_ce": {"stage1.loss.gamma": 1.0},
    "focal": {"stage1.loss.gamma": 2.0},
    "cbce": {"stage1.loss.beta": 0.9999, "stage1.loss.normalizer": "batch"},
    "cb_focal": {"stage1.loss.normalizer": "batch", "stage1.loss.loss._target_": "Focal"},
    "mixup_drw": {"stage1.loss.start": 0.8, "stage1.loss.normalizer": "batch"},
    "cmo_drw": {
        "stage1.loss.normalizer": "weights", "augment.two_means": True, "stage1.loss.loss._target_": "CrossEntropy",
    },
    "cbce_stage2": {"stage2.loss.normalizer": "weights"},
    "ldam": {"stage1.loss.max_margin": 0.5, "stage1.loss.scale": 30.0, "model.classifier._target_": "Cosine"},
    "ldam_drw": {
        "stage1.loss.start": 0.8, "stage1.loss.beta": 0.9999, "stage1.loss.loss._target_": "LDAM",
        "stage1.loss.normalizer": "weights",
    },
    "lade": {"stage1.loss.alpha": 0.1, "stage1.loss.lam": 0.01},
    "dynamic_balanced_softmax": {"stage1.loss.momentum": 0.99},
    "logit_adjustment": {"stage2.classifier.tau": 1.0, "stage2.max_epochs": 0},
    "tau_norm": {"stage2.classifier.tau": None, "stage2.max_epochs": 0},
    "ncm": {"stage2.classifier.temperature": None, "stage2.classifier.normalize": False, "stage2.max_epochs": 0},
    "crt": {
        "stage2.shift_bn": True, "stage2.max_epochs": 10, "stage2.sampler._target_": "ClassBalanced",
        "stage2.loss._target_": "CrossEntropy", "stage2.classifier._target_": "CRT",
    },
    "lws": {"stage2.shift_bn": False, "stage2.max_epochs": 5, "stage2.sampler._target_": "ClassBalanced"},
    "mixup_lws_shifted_bn": {"stage2.shift_bn": True, "augment._target_": "Mixup"},
    "mislas": {
        "stage2.loss.spread": "all", "stage2.sampler._target_": "ClassBalanced", "augment._target_": "Mixup",
        "stage1.loss._target_": "CrossEntropy",
    },
    "cutmix_las_class_balanced": {"stage2.loss.spread": "others", "stage2.sampler._target_": "ClassBalanced"},
    "effective_number_sampling": {"stage1.sampler.beta": 0.9999},
}  # fmt: skip


@pytest.mark.parametrize("experiment", DEFAULTS)
def test_the_methods_defaults(composed, experiment):
    cfg = composed("dataset=cifar10_lt", f"+experiment={experiment}")
    found = {key: OmegaConf.select(cfg, key) for key in DEFAULTS[experiment]}
    named = {key: value.split(".")[-1] if key.endswith("_target_") else value for key, value in found.items()}
    assert named == DEFAULTS[experiment]


def test_defaults_that_differ_on_cifar_100(composed):
    assert composed("dataset=cifar100_lt", "+experiment=cutout_awabs").augment.size == 8
    assert composed("dataset=cifar100_lt", "+experiment=unimix").augment.partner.tau == -0.1


def test_the_authors_recipes(composed):
    cao, bbn, lade = (composed(f"stage1={name}").stage1 for name in ("cao", "bbn", "lade"))
    assert (cao.weight_decay, cao.schedule.gamma, list(cao.schedule.milestones)) == (2e-4, 0.01, [0.8, 0.9])
    assert (bbn.optimizer.nesterov, bbn.weight_decay, list(bbn.schedule.milestones)) == (True, 2e-4, [0.595, 0.795])
    assert bbn.schedule.start == lade.schedule.start == pytest.approx(1 / 3)
    assert lade.schedule.milestones == bbn.schedule.milestones
    assert (lade.lr, lade.weight_decay, lade.schedule.gamma) == (0.2, 5e-4, 0.01)


def test_differing_keys():
    old = {"seed": 0, "stage1": {"lr": 0.1}, "logger": {"project": "a"}, "dataset": {"root": "x"}}
    new = {"seed": 0, "stage1": {"lr": 0.2}, "logger": {"project": "b"}, "dataset": {"root": "y"}}
    assert differing_keys(old, new) == ["stage1.lr"]
    assert differing_keys(old, old | {"name": "n"}) == ["name"]
    same = ({"stage1": {"start": 0, "steps": [1, 2.0]}}, {"stage1": {"start": 0.0, "steps": [1.0, 2]}})
    assert differing_keys(*same) == []
    measured = {"dataset": {"groups": [3, 7]}, "metric": {"ece": {"n_bins": 10}}, "trainer": {"eval_every": 1}}
    assert differing_keys({}, measured) == []
    assert differing_keys(old, {**old, "trainer": {"compile": True}}) == ["trainer.compile"]


@pytest.mark.parametrize(
    ("words", "later", "other"),
    [
        (["+experiment=ldam_drw"], "stage1.loss.normalizer", "batch"),
        (["+experiment=cbce_stage2"], "stage2.loss.normalizer", "batch"),
        (["+experiment=cmo"], "augment.two_means", True),
    ],
)
def test_a_run_without_a_setting_that_came_later_is_the_same_run(composed, words, later, other):
    new = plain(composed(*words))
    old = plain(composed(*words))
    node, key = later.rsplit(".", 1)
    parent = old
    for name in node.split("."):
        parent = parent[name]
    del parent[key]
    assert differing_keys(old, new) == []
    assert settings_hash(old) == settings_hash(new)
    changed = plain(composed(*words, f"{later}={other}"))
    assert differing_keys(old, changed) == [later]
    assert settings_hash(old) != settings_hash(changed)


EVIL = [
    "os.getcwd", "lt_calib.run.os.mkdir", "lt_calib.calibrate.torch.hub.load", "lt_calib.job.results.write_json",
    "lt_calib.loss.focal.torch.load", "lt_calib.dataset.cifar.os.system", "lt_calib.model",
    "lt_calibre.loss.focal.Focal",
]  # fmt: skip


@pytest.mark.parametrize("target", EVIL)
def test_a_configuration_from_a_file_builds_nothing_but_what_the_package_defines(target):
    cfg = OmegaConf.create({"model": [{"backbone": {"_target_": target}}]})
    with pytest.raises(InputError, match=r"no part that a file may build|cannot be found|outside lt_calib.*--trust"):
        refuse_untrusted(cfg, "config.yaml")
    if target.startswith("lt_calib."):  # --trust is for code from outside: the package's own other code is no part
        with pytest.raises(InputError, match=r"no part that a file may build|cannot be found"):
            refuse_untrusted(cfg, "config.yaml", trust=True)


def test_a_configuration_from_a_file_builds_whatever_conf_names():
    groups = [path for path in CONF.rglob("*.yaml") if path.parent.name not in ("conf", "hydra", "launcher", "sweeper")]
    # But for what is torch's, an optimizer say: what loads a run trains nothing.
    named = {target for path in groups for target in re.findall(r"_target_: (lt_calib\.[\w.]+)", path.read_text())}
    assert len(named) > 50
    for target in named:
        refuse_untrusted(OmegaConf.create({"_target_": target}), "config.yaml")


@pytest.mark.slow
def test_the_seeds_of_an_experiment_have_one_hash_wherever_they_run(composed):
    def hashed(*overrides: str) -> str:
        return settings_hash(plain(composed("+experiment=cutmix_awabs", "dataset=digits_lt", *overrides)))

    same = ["seed=3", "trainer=gpu", "trainer.compile=true", "posthoc=temperature", "stage1.ckpt_path=a", "cache=off"]
    same += ["metric=[acc,ece]", "dataset.eval_batch_size=7", "dataset.groups=[1,2]", "trainer.eval_every=1"]
    same += ["stage1.weight_decay=0.0005", "stage2.lr_factor=0.20", "augment.alpha=1", "augment.prob=1.0"]
    for word in same:
        assert hashed(word) == hashed(), word
    for word in ("stage1.lr=0.2", "dataset.val_per_class=5", "dataset.split_seed=1", "name=mine", "augment=cutout"):
        assert hashed(word) != hashed(), word


def test_what_is_not_the_experiments_own(composed):
    own = ["+experiment=cutmix_awabs", "dataset=digits_lt", "dataset.if=20", "seed=3", "stage1.max_epochs=2"]
    own += ["dataset.val_per_class=5", "posthoc=temperature", "trainer.precision=32-true", "+model.backbone.blocks=1"]

    def changed(*overrides: str) -> dict:
        return changed_of(plain(composed(*overrides)))

    assert changed(*own, "stage1.ckpt_path=/somewhere/stage1.ckpt", "name=mine") == {}
    assert changed(*own, "metric=[acc]", "dataset.eval_batch_size=7", "trainer.eval_every=1") == {}
    found = changed(*own, "stage2.loss.eps_head=0.25", "augment=none", "+grid=eps")
    assert (found["stage2.loss.eps_head"], found["augment._target_"], found["grid"]) == (0.25, None, True)
    assert changed("dataset=digits_lt", "stage1.lr=0.2") == {"stage1.lr": 0.2}
    other = composed(*own[1:], "stage1.lr=0.2")
    other.experiment = "of_another_package"
    assert changed_of(plain(other)) == {}
