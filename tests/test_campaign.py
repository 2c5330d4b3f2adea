import json
import subprocess
import sys
import threading
import time
from itertools import groupby
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lt_calib.campaign import jobs as campaign
from lt_calib.campaign import work
from lt_calib.campaign.__main__ import main as command
from lt_calib.campaign.__main__ import refuse_other_extra, seconds_of
from lt_calib.errors import InputError
from lt_calib.files.lock import alone_in
from lt_calib.settings.check import check_keys
from tests.conftest import CONF, SMALL, compose_config

NAMES = sorted(path.stem for path in (CONF / "campaign").glob("*.yaml"))


def test_the_published_matrix_is_whole():
    jobs = campaign.jobs_of("published")
    assert len(jobs) == len({job.file for job in jobs}) == 3 * 2 * 4 * 2 * 23
    assert jobs[0].overrides == ("+experiment=cutmix_awabs", "dataset=cifar10_lt", "dataset.if=100", "seed=0")
    assert str(jobs[0].file) == "cifar10_lt_if100/cutmix_awabs_plain_seed0.json"
    held_out = [job for job in jobs if "held_out" in job.file.name]
    assert all("posthoc=temperature" in job.overrides for job in held_out)
    for job in held_out:
        v = {"cifar10_lt": 200, "cifar100_lt": 20}[job.overrides[1].removeprefix("dataset=")]
        assert f"dataset.val_per_class={v}" in job.overrides
    assert not any("val_per_class" in word for job in jobs if job not in held_out for word in job.overrides)


def test_all_of_one_seed_and_factor_comes_before_the_next():
    for name in ("published", "ingredients"):
        jobs = campaign.jobs_of(name)
        places = [(job.overrides[3], job.overrides[2]) for job in jobs]
        assert [place for place, _ in groupby(places)] == [
            (f"seed={seed}", f"dataset.if={factor}") for seed in (0, 1, 2) for factor in (100, 50, 10, 200)
        ]


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.slow] * (x != "short")) for x in NAMES])
def test_every_kind_of_job_composes(name):
    """One data set and factor stand for the others, and each experiment's first variant for its others."""
    jobs = campaign.jobs_of(name)
    first = [job for job in jobs if job.file.parent == jobs[0].file.parent and "seed=0" in job.overrides]
    variants = [job for job in first if job.overrides[0] == first[0].overrides[0]]
    experiments = {job.overrides[0]: job for job in reversed(first)}
    for job in {*variants, *experiments.values()}:
        cfg = compose_config(*job.overrides)
        check_keys(cfg)
        if name in ("ingredients", "short_ingredients"):
            assert cfg.dataset.val_per_class > 0
            variant = job.file.stem.removeprefix("balanced_softmax_awabs_").rpartition("_seed")[0]
            other = {"base": "balanced_softmax_awabs", "dynamic": "with_dynamic_balanced_softmax"}
            assert cfg.name == other.get(variant, f"with_{variant}")


def test_the_short_ingredients_are_the_ingredients():
    long, short = (OmegaConf.load(CONF / "campaign" / f"{name}.yaml") for name in ("ingredients", "short_ingredients"))
    assert (long.variant, long.experiment) == (short.variant, short.experiment)


@pytest.mark.parametrize("name", ["short_surface", "medium_surface"])
def test_a_shorter_surface_is_the_same_but_shorter(name):
    long, short = (OmegaConf.load(CONF / "campaign" / f"{name}.yaml") for name in ("surface", name))
    assert list(short.overrides[: len(long.overrides)]) == list(long.overrides)


@pytest.mark.parametrize(
    ("surface", "campaign_of_stage1", "variant"),
    [
        ("surface", "published", "_held_out"),
        ("medium_surface", "medium", "_plain"),
        ("short_surface", "short", "_plain"),
    ],
)
def test_a_surface_is_over_the_stage_1_of_its_campaign(surface, campaign_of_stage1, variant):
    jobs = {str(job.file): job for job in campaign.jobs_of(campaign_of_stage1)}
    for experiment in OmegaConf.load(CONF / "campaign" / f"{surface}.yaml").experiment:
        job = next(j for j in campaign.jobs_of(surface) if j.overrides[0] == f"+experiment={experiment}")
        below = jobs[f"cifar10_lt_if100/{experiment}{variant}_seed0.json"]
        one, other = (compose_config(*j.overrides) for j in (job, below))
        for part in ("model", "dataset", "sampler", "resample", "augment", "stage1", "posthoc", "trainer"):
            assert one.get(part) == other.get(part), part


def test_what_there_is_no_campaign_of(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no campaign publishd; there are: best, frozen, ingredients, medium, medi"):
        campaign.jobs_of("publishd")
    (tmp_path / "odd.yaml").write_text("seed: [0]\nif: [1]\ndataset: [a]\nexperiment: [ce]\nseeds: [0]\n")
    monkeypatch.setattr(campaign, "campaigns", lambda: tmp_path)
    with pytest.raises(InputError, match="unknown seeds"):
        campaign.jobs_of("odd")
    (tmp_path / "braces.yaml").write_text(
        "seed: [0]\nif: [1]\ndataset: [a]\nexperiment: [ce]\noverrides: ['+grid={eps_head: [0.1]}']\n"
    )
    with pytest.raises(InputError, match=r"braces that stand for nothing.*only \{val_per_class\}, \{experiment\}"):
        campaign.jobs_of("braces")
    (tmp_path / "less.yaml").write_text("seed: [0]\ndataset: [digits_lt]\nexperiment: [ce]\n")
    with pytest.raises(InputError, match=r"less\.yaml: if is missing"):
        campaign.jobs_of("less")


@pytest.mark.parametrize(("text", "seconds"), [("25m", 1500), ("90s", 90), ("0.5h", 1800)])
def test_budgets(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "a"])
def test_no_jobs_side_by_side(monkeypatch, small, capsys, text):
    assert main(monkeypatch, f"--jobs={text}") == 2
    assert f"{text} must be a whole number >= 1" in capsys.readouterr().err


def test_a_part_of_the_jobs_alone(monkeypatch, small, capsys):
    monkeypatch.setattr(sys, "argv", ["campaign", "small", "--status", "--only", "*_if1000/ce_*_seed0"])
    command()
    assert capsys.readouterr().out == "0 of 1 done\ndigits_lt_if1000: 0 of 1\n"
    said = str(main(monkeypatch, "--status", "--only", "ce_plain_seed0"))
    assert said == "--only ce_plain_seed0 is no job of this campaign; one is digits_lt_if100/ce_plain_seed0"


def test_a_budget_without_a_unit():
    with pytest.raises(Exception, match="25 must be a number and s, m or h"):
        seconds_of("25")


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A campaign of two short jobs and one that fails."""
    (tmp_path / "conf").mkdir()
    overrides = ["stage1.max_epochs=1", "trainer.accelerator=cpu", "figures=false", "cache=off", *SMALL]
    matrix = {"seed": [0], "dataset": ["digits_lt"], "if": [100, 1000], "experiment": ["ce"], "overrides": overrides}
    (tmp_path / "conf" / "small.yaml").write_text(json.dumps(matrix))
    monkeypatch.setattr(campaign, "campaigns", lambda: tmp_path / "conf")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_grid_is_kept_beside_the_results_with_its_main_metrics(tmp_path):
    values = dict.fromkeys(["acc", "ece", "nll", "acc_head", "acc_medium", "acc_tail", "mce"], 0.5)
    point = {"point": 0, "settings": {"eps_head": 0.1}, "test": values, "test_per_class": {"acc": [0.5]}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text("{}")
    (tmp_path / "run" / "config.yaml").write_text(
        "seed: 0\ndataset: {root: somewhere, if: 10.0, eval_batch_size: 9}\ntrainer: {compile: true}"
    )
    (tmp_path / "run" / "grid.json").write_text(json.dumps({"schema": 2, "chosen": 0, "points": [point]}))
    job = campaign.Job(("+experiment=a",), Path("a_plain_seed0.json"))
    work.keep(tmp_path / "run" / "results.json", job, "small", tmp_path / "kept" / job.file)
    assert json.loads((tmp_path / "kept" / job.file).read_text()) == {
        "campaign": {"name": "small", "overrides": ["+experiment=a"], "settings": {"seed": 0, "dataset.if": 10}}
    }
    kept = json.loads((tmp_path / "kept" / "a_plain_seed0.grid.json").read_text())
    del values["mce"]
    assert kept == {"schema": 2, "chosen": 0, "points": [{"settings": {"eps_head": 0.1}, "test": values}]}


def main(monkeypatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["campaign", "small", *arguments])
    with pytest.raises(SystemExit) as end:
        command()
    return end.value.code


STAND_IN = """#!{python}
import json, pathlib, sys
settings = dict(argument.split("=", 1) for argument in sys.argv[3:])
if settings["dataset.if"] == "1000":
    sys.exit(1)
folder = pathlib.Path(settings["hydra.run.dir"].strip("'"))
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.yaml").write_text("{{stage1: {{max_epochs: 1}}, gone: 1}}")
(folder / "results.json").write_text(json.dumps({{"schema": 2, "name": "ce", "stage1": {{"epochs": 1}}}}))
"""


@pytest.fixture(params=["stand-in", pytest.param("real", marks=[pytest.mark.slow, pytest.mark.command])])
def runner(request, tmp_path, monkeypatch) -> None:
    """The command of a job: the real one, or one that writes and fails as it does, at once."""
    if request.param == "stand-in":
        path = tmp_path / "python"
        path.write_text(STAND_IN.format(python=sys.executable))
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))


@pytest.mark.usefixtures("runner")
def test_what_is_done_stays_done_and_a_failure_is_said(small, monkeypatch, capfd):
    assert main(monkeypatch, "--budget", "0s", "dataset.root=nowhere") == 0
    assert "2 not finished, the first of them" in capfd.readouterr().out
    assert not list((small / "results").rglob("*.json"))

    assert main(monkeypatch) == 1
    said = capfd.readouterr().out
    assert "1 failed\n  digits_lt_if1000/ce_plain_seed0.json" in said
    assert "1 of 2 done" in said
    (path,) = (small / "results").rglob("*.json")
    assert path == small / "results" / "small" / "digits_lt_if100" / "ce_plain_seed0.json"
    run = json.loads(path.read_text())
    assert (run["name"], run["stage1"]["epochs"]) == ("ce", 1)

    before = path.read_bytes()
    assert main(monkeypatch) == 1  # the one that is done is not run again
    said = capfd.readouterr().out
    assert "digits_lt_if100/" not in said.replace("results/small/digits_lt_if100", "")
    assert path.read_bytes() == before

    content = json.loads(before)
    for change, said in (
        ({"campaign": {"settings": content["campaign"]["settings"] | {"stage1.max_epochs": 2}}}, "was 2 and is 1"),
        ({"campaign": {}}, "holds no results of a campaign"),
        ({"schema": 0}, "has schema 0"),
        ({"schema": 1}, "python -m lt_calib.convert"),
    ):
        path.write_text(json.dumps(content | change))
        assert said in str(main(monkeypatch, "--status"))
    path.write_bytes(before[:100])
    assert "holds no results of a campaign (JSONDecodeError" in str(main(monkeypatch, "--status"))


@pytest.mark.parametrize("word", ["stage1.max_epochs=2", "resume=off", "seed=1"])
def test_settings_that_make_other_results_belong_into_the_file(monkeypatch, small, word):
    assert f"{word}: here only" in str(main(monkeypatch, "dataset.root=a", word))


def test_where_the_data_are_and_what_it_runs_on_may_be_said():
    refuse_other_extra(["dataset.root=a", "trainer=gpu", "trainer.compile=true", "cache.root=a", "logger=wandb"])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_job_that_cannot_be_kept_is_failed_and_the_others_go_on(tmp_path, monkeypatch, capsys, workers):
    jobs = campaign.jobs_of("published")[: work.GIVE_UP - 1]
    monkeypatch.setattr(work, "keep", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setattr(work.subprocess, "Popen", lambda *a, **k: subprocess_that_ended())
    stop = threading.Event()

    def run(job: campaign.Job) -> str:
        return work.run_job(job, "small", tmp_path / "w", tmp_path / "r", [], time.monotonic() + 60, stop)

    assert work.run_all(jobs, run, workers, stop) == dict.fromkeys(jobs, "failed")
    assert capsys.readouterr().err.count("could not be kept: [Errno 28]") == len(jobs)


@pytest.mark.parametrize("workers", [1, 4])
def test_what_all_jobs_lack_is_not_met_by_every_one_of_them(capsys, workers):
    jobs = campaign.jobs_of("published")[:40]
    said = work.run_all(jobs, lambda job: (time.sleep(0.01), "failed")[1], workers, threading.Event())
    failed = [job for job in jobs if said[job] == "failed"]
    assert work.GIVE_UP <= len(failed) < work.GIVE_UP + workers
    assert {said[job] for job in jobs if job not in failed} == {"not finished"}
    assert capsys.readouterr().err == "the first 3 jobs failed: no other was begun; --only passes them by\n"

    ends = iter(["failed", "done", *["failed"] * 38])  # one that is done shows that the others are not hopeless
    assert list(work.run_all(jobs, lambda job: next(ends), 1, threading.Event()).values()).count("failed") == 39


def test_when_the_time_is_over_nothing_more_is_composed(monkeypatch):
    jobs, composed = campaign.jobs_of("published")[:100], []
    monkeypatch.setattr(work, "stage1_of", lambda job: (composed.append(job), str(job.file))[1])
    said = work.run_all(jobs, lambda job: "not finished", 2, threading.Event())
    assert said == dict.fromkeys(jobs, "not finished")
    assert len(composed) < 20


def test_a_second_campaign_beside_the_first_takes_other_jobs(small, monkeypatch):
    job, stop = campaign.jobs_of("small")[0], threading.Event()
    monkeypatch.setattr(work.subprocess, "Popen", None)  # nothing is to be started

    def run() -> str:
        return work.run_job(job, "small", small / "w", small / "r", [], time.monotonic() + 60, stop)

    folder = small / "w" / "small" / job.file.with_suffix("")
    folder.mkdir(parents=True)
    with alone_in(folder):
        assert run() == "in use"
    kept = small / "r" / job.file
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"schema": 2, "campaign": {"settings": {}}}))
    assert run() == "done"
    kept.write_text(json.dumps({"schema": 2, "campaign": {"settings": {"stage1.max_epochs": 7}}}))
    assert run() == "failed"


@pytest.mark.parametrize("odd", ["a=b", "x (1)", "a,b", "it's"])
def test_a_folder_of_any_name(small, monkeypatch, odd):
    job, commands = campaign.jobs_of("small")[0], []
    monkeypatch.setattr(
        work.subprocess, "Popen", lambda words, **k: (commands.extend(words), subprocess_that_ended())[1]
    )
    work.run_job(job, "small", small / odd, small / "r", [], time.monotonic() + 60, threading.Event())
    override = OverridesParser.create().parse_override(commands[-1])
    assert override.value() == str(small / odd / "small" / job.file.with_suffix(""))


def test_a_data_set_without_its_size_of_the_validation_part(small):
    path = small / "conf" / "small.yaml"
    matrix = json.loads(path.read_text()) | {"val_per_class": {"cifar10_lt": 200}}
    matrix["overrides"].append("dataset.val_per_class={val_per_class}")
    path.write_text(json.dumps(matrix))
    with pytest.raises(InputError, match="val_per_class has no digits_lt, for which a job asks"):
        campaign.jobs_of("small")


class subprocess_that_ended:
    returncode = 0

    def poll(self) -> int:
        return 0


@pytest.mark.slow
def test_the_kept_results_are_those_that_their_campaigns_would_give():
    for folder in (path for path in (CONF.parent / "results").iterdir() if path.name in NAMES):
        jobs = campaign.jobs_of(folder.name)
        there = {path.relative_to(folder) for path in folder.rglob("*_seed?.json")}
        assert there <= {job.file for job in jobs}
        campaign.left([job for job in jobs if job.file in there], folder)


def test_jobs_of_one_stage_1_are_not_run_side_by_side():
    jobs = campaign.jobs_of("published")[:9]
    stages = [campaign.stage1_of(job) for job in jobs]
    assert [stages.index(stage) for stage in stages] == [0, 0, 0, 0, 4, 4, 6, 6, 6]  # CutMix; Balanced Softmax; ce
    running: list[str] = []
    together: list[int] = []
    lock = threading.Lock()

    def run(job: campaign.Job) -> str:
        with lock:
            assert campaign.stage1_of(job) not in running
            running.append(campaign.stage1_of(job))
            together.append(len(running))
        time.sleep(0.05)
        with lock:
            running.remove(campaign.stage1_of(job))
        return "done"

    assert work.run_all(jobs, run, 4, threading.Event()) == dict.fromkeys(jobs, "done")
    assert max(together) == 3
    together.clear()
    order: list[campaign.Job] = []
    work.run_all(jobs, lambda job: (order.append(job), "done")[1], 1, threading.Event())
    assert order == jobs


def test_a_job_that_ends_well_within_the_grace_is_kept(small, monkeypatch):
    """It is told to end while it writes its last file."""
    script = small / "python"
    script.write_text(
        f"#!{sys.executable}\nimport pathlib, signal, sys, time\n"
        "folder = pathlib.Path(dict(a.split('=', 1) for a in sys.argv[3:])['hydra.run.dir'].strip(\"'\"))\n"
        "folder.mkdir(parents=True, exist_ok=True)\n(folder / 'config.yaml').write_text('seed: 0')\n"
        "def end(*how):\n    (folder / 'results.json').write_text('{\"schema\": 2}')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n(folder / 'ready').touch()\ntime.sleep(60)\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    job, stop, said = campaign.jobs_of("small")[0], threading.Event(), []
    late = time.monotonic() + 60
    running = threading.Thread(
        target=lambda: said.append(work.run_job(job, "small", small / "w", small / "r", [], late, stop))
    )
    running.start()
    while not list(small.rglob("ready")):
        time.sleep(0.05)
    stop.set()
    running.join(60)
    assert said == ["done"]
    assert (small / "r" / job.file).exists()


@pytest.mark.slow
@pytest.mark.command
def test_a_budget_ends_a_job_which_goes_on_the_next_time(small, monkeypatch, capfd):
    path = small / "conf" / "small.yaml"
    matrix = json.loads(path.read_text()) | {"if": [100]}
    matrix["overrides"][0] = "stage1.max_epochs=60"
    path.write_text(json.dumps(matrix))
    for budget in ("25s", "50s", "100s"):  # a busy machine needs longer for its first epoch
        assert main(monkeypatch, "--budget", budget) == 0
        assert "1 not finished\n  digits_lt_if100/ce_plain_seed0.json" in capfd.readouterr().out
        if list(small.rglob("stage1.part.ckpt")):
            break
    assert main(monkeypatch) == 0
    said = capfd.readouterr().out
    assert "Resuming after epoch" in said
    assert "1 of 1 done" in said


@pytest.mark.slow
@pytest.mark.command
def test_a_campaign_that_is_told_to_end_ends_its_job(small):
    """By a process of its own, since the signal is the process's."""
    code = (
        "from pathlib import Path; from lt_calib.campaign import jobs, __main__ as command; "
        f"jobs.campaigns = lambda: Path({str(small / 'conf')!r}); command.main()"
    )
    path = small / "conf" / "small.yaml"
    matrix = json.loads(path.read_text())
    matrix["overrides"][0] = "stage1.max_epochs=500"
    path.write_text(json.dumps(matrix))
    process = subprocess.Popen([sys.executable, "-c", code, "small"], cwd=small)
    while not list(small.rglob("stage1.part.ckpt")):
        assert process.poll() is None
        time.sleep(0.1)
    (child,) = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.terminate()
    assert process.wait(60) == 143
    assert not Path(f"/proc/{child}").exists()
