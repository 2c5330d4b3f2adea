"""What cannot be: each is refused before anything trains, with what was wrong, the value and the cure.

In process here; in make test-all by the real command too, which must end in seconds without a traceback.
"""

import ctypes
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.errors import CompactHydraException

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.files.folder import refuse_unwritable
from lt_calib.run import run
from lt_calib.settings.nearest import nearest_names
from tests.conftest import CONF, TINY, built, compose_config, in_hydra

RUN = [*TINY, "+experiment=cutmix_awabs"]
STAGE1 = "stage1.ckpt_path={folder}/stage1.ckpt"


class Bomb:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "exploded"),)


def nothing(folder: Path) -> None: ...


def checkpoint(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """A stage 1 of the digits, as a run would leave it, changed."""

    def make(folder: Path) -> None:
        from lt_calib.files.checkpoint import save_stage

        job = built(*RUN)
        module = job.stages[0].module
        about = {"data": job.data.facts, "epochs": 1, "history": [], "seconds": 0.0, "images_per_second": None}
        save_stage(folder / "stage1.ckpt", module.backbone, module.classifier, about)
        kept = torch.load(folder / "stage1.ckpt", weights_only=True)
        torch.save(change(kept) or kept, folder / "stage1.ckpt")

    return make


def truncated(folder: Path) -> None:
    checkpoint(lambda kept: None)(folder)
    path = folder / "stage1.ckpt"
    path.write_bytes(path.read_bytes()[:2000])


def malicious(folder: Path) -> None:
    torch.save({"schema": 1, "backbone": Bomb(folder)}, folder / "stage1.ckpt")


def tampered_cifar(folder: Path) -> None:
    where = folder / "cifar-10-batches-py"
    where.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))):
        (where / name).write_bytes(pickle.dumps(Bomb(folder)))


def fewer_classes(kept: dict) -> None:
    kept["classifier"]["weight"] = kept["classifier"]["weight"][:5]
    kept["classifier"]["bias"] = kept["classifier"]["bias"][:5]


CIFAR = ["dataset=cifar10_lt", "dataset.root={folder}"]
# name -> what is prepared, the overrides, what must be said
CASES: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "IF below 1": (nothing, ["dataset.if=0.5"], r"dataset.if=0.5 must be a finite number >= 1: n_max / n_min"),
    "IF no number": (nothing, ["dataset.if=nan"], r"dataset.if=nan must be a finite number >= 1"),
    "IF too large": (nothing, ["dataset.if=1000"], r"1000 leaves class \d without an image.* must be <= 124"),
    "eps out of order": (
        nothing, ["stage2.loss.eps_head=0.1", "stage2.loss.eps_tail=0.3"], r"eps_tail 0.3.*eps_head 0.1|0 <= eps_tail",
    ),
    "eps out of range": (nothing, ["stage2.loss.eps_head=0.9"], r"0\.9"),
    "a form that is none": (nothing, ["stage2.loss.form=square"], r"square.*concave"),
    "a root without data": (nothing, CIFAR, r"cifar-10-batches-py is not there.*dataset.root=FOLDER"),
    "tampered data": (tampered_cifar, CIFAR, r"cifar-10-batches-py is incomplete or damaged"),
    "a validation part too large": (nothing, ["dataset.val_per_class=500"], r"val_per_class 500 must be >= 0"),
    "a calibrator without a validation part": (nothing, ["posthoc=temperature"], r"dataset.val_per_class="),
    "no stage-1 checkpoint": (nothing, [STAGE1], r"stage1.ckpt is not there; check the path"),
    "a truncated checkpoint": (truncated, [STAGE1], r"stage1.ckpt cannot be read, it is damaged or no checkpoint"),
    "a malicious checkpoint": (malicious, [STAGE1], r"or holds what would be run when it is unpickled"),
    "a checkpoint of another model": (
        checkpoint(lambda kept: kept["backbone"].pop("conv1.weight") is None),
        [STAGE1], r"holds another model: backbone.conv1.weight is not there in the file",
    ),
    "a checkpoint of another number of classes": (
        checkpoint(fewer_classes), [STAGE1], r"another model: classifier.bias is \(5,\) in the file and \(10,\) here",
    ),
    "a checkpoint of other data": (
        checkpoint(lambda kept: None), [STAGE1, "dataset.if=20"], r"imbalance_factor was 10.0, here it is 20.0",
    ),
    "a file that is no checkpoint of ours": (
        checkpoint(lambda kept: {"state_dict": {}}), [STAGE1], r"none of lt_calib's, or of another schema than 1",
    ),
    "a device that is not there": (nothing, ["trainer.accelerator=tpu"], r"accelerator=tpu; auto takes what is there"),
    "a precision that is none": (nothing, ["trainer.precision=8-bit"], r"trainer.precision=8-bit must be one of"),
    "several devices that are not there": (
        nothing, ["trainer=ddp", "trainer.devices=64", "trainer.accelerator=gpu"], r"this machine has \d+ GPUs",
    ),
    "an unknown target": (nothing, ["model.backbone._target_=os.nothing"], r"_target_=os.nothing cannot be found"),
    "batches of none": (nothing, ["dataset.batch_size=0"], r"batch_size=0 must be a whole number >= 1"),
    "a padding below 0": (nothing, ["dataset.padding=-1"], r"dataset.padding -1 must be >= 0"),
    "a negative seed": (nothing, ["seed=-1"], r"seed=-1 must be >= 0"),
    "a seed beyond all generators": (
        nothing, ["seed=18446744073709551616"], r"seed=18446744073709551616 must be .* <= 4294967295",
    ),
    "a seed beyond NumPy's": (nothing, ["seed=4294967296"], r"seed=4294967296 must be .* <= 4294967295"),
    "means of images in 0 to 255": (nothing, ["dataset.mean=[76,76,76]"], r"dataset.mean \[76, 76, 76\] must be"),
    "a standard deviation of 0": (nothing, ["dataset.std=[0,1,1]"], r"dataset.std \[0, 1, 1\] must be"),
    "boundaries that are no whole numbers": (
        nothing, ["dataset.groups=[3.0,7.0]"], r"dataset.groups \[3.0, 7.0\] must be .* whole numbers",
    ),
    "no such group rule": (nothing, ["dataset.groups=halves"], r"groups 'halves' must be two boundaries"),
    "a double correction": (
        nothing, ["stage2.loss.prior=data", "sampler@stage2.sampler=class_balanced"], r"would both correct",
    ),
}  # fmt: skip


def prepared(name: str, folder: Path) -> tuple[list[str], str]:
    prepare, overrides, said = CASES[name]
    prepare(folder)
    return [override.format(folder=folder) for override in overrides], said


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", refuse)


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_before_anything_trains(name, tmp_path, monkeypatch):
    overrides, said = prepared(name, tmp_path)
    monkeypatch.setattr("lt_calib.stage.base.StageModule.training_step", lambda *a: pytest.fail("trained"))
    try:
        run(compose_config(*RUN, *overrides), tmp_path / "run")
    except Exception as error:
        causes = [error]
        while causes[-1].__cause__ is not None:
            causes.append(causes[-1].__cause__)  # type: ignore[arg-type]
        assert any(isinstance(cause, ValueError) for cause in causes), causes
        assert any(re.search(said, str(cause), re.DOTALL) for cause in causes), causes
    else:
        pytest.fail("it ran")
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "run" / "results.json").exists()


def command(folder: Path, *overrides: str, **how) -> tuple[subprocess.CompletedProcess[str], float]:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lt_calib.run", *overrides],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL, **how,
    )  # fmt: skip
    return done, time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.parametrize("name", CASES)
def test_the_command_prints_it_without_a_traceback(name, tmp_path):
    overrides, said = prepared(name, tmp_path)
    done, seconds = command(tmp_path, *RUN, *overrides, f"hydra.run.dir={tmp_path}/run")
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text
    assert re.search(said, text, re.DOTALL), text
    assert not (tmp_path / "exploded").exists()
    assert seconds < 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["+experiment=cutmix_awab"], "No experiment cutmix_awab; the nearest: cutmix_awabs"),
        (["+experiment=ce,cutmix_lass", "seed=1"], "No experiment cutmix_lass; the nearest: "),
        (["dataset=cifar10"], "No dataset cifar10; the nearest: cifar10_lt, cifar100_lt"),
        (["+experiment=ldam", "stage1.loss.max_margn=1"], "No setting stage1.loss.max_margn; the nearest: stage1."),
        (["stage1.max_epoch=3"], "No setting stage1.max_epoch; the nearest: stage1.max_epochs"),
        (["dataset.iff=3"], "No setting dataset.iff; the nearest: dataset.if"),
        (["loss@stage1.loss=balanced_softmx"], "No loss balanced_softmx; the nearest: balanced_softmax"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(arguments, said):
    (line,) = nearest_names(arguments)
    assert line.startswith(said)


def test_nothing_is_said_of_names_that_are_there():
    every = ",".join(path.stem for path in (CONF / "experiment").glob("*.yaml"))
    others = ["seed=0,1", "-m", "hydra.run.dir=x", "~logger", "stage1={lr:1}", "+a.new=1"]
    assert nearest_names([f"+experiment={every}", *others]) == []
    assert nearest_names(["experiment=ce"]) == nearest_names(["+dataset=cifar10_lt", "stage1.max_epoch=1"]) == []
    assert nearest_names(["+experiment=cutmix_awabs", "stage2.loss.eps_head=0.2", "loss@stage1.loss=focal"]) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        refuse_unwritable(tmp_path / "file" / "run")
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/file/run cannot be written to (Not a directory): set hydra.run.dir=FOLDER" in said
    refuse_unwritable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.fixture
def not_root():
    """Act as nobody where the tests run as root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_data_without_permission_are_said(tmp_path, request):
    from lt_calib.dataset.cifar import cifar10

    (tmp_path / "cifar-10-batches-py").mkdir()
    tmp_path.chmod(0o000)
    request.getfixturevalue("not_root")
    try:
        with pytest.raises(InputError, match="cifar-10-batches-py is not readable"):
            cifar10(str(tmp_path))
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        tmp_path.chmod(0o700)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, lambda stream: stream.write(b"old"))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"file could not be written: .*No space left on device.*make room"):
        write_atomically(path, lambda stream: stream.write(b"new"))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
@pytest.mark.command
def test_the_command_on_a_full_disk_and_in_a_folder_of_others(tmp_path):
    small = [*RUN, "stage1.max_epochs=3", f"hydra.run.dir={tmp_path}/run"]

    def limited() -> None:  # no file larger than 100 kB: what a full disk does to a checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done, _ = command(tmp_path, *small, preexec_fn=limited)
    assert done.returncode == 1
    assert "stage1.part.ckpt could not be written" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((tmp_path / "run").glob("*.part"))
    done, _ = command(tmp_path, *small)
    assert done.returncode == 0
    (tmp_path / "file").write_text("")
    folders = [f"hydra.run.dir={tmp_path}/file/run", f"hydra.sweep.dir={tmp_path}/file/run"]
    for mode in ([], ["-m"]):
        done, seconds = command(tmp_path, *mode, *RUN, *folders)
        assert done.returncode == 1
        assert "file/run cannot be written to (Not a directory)" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert seconds < 10


def without_overriding_permissions() -> None:
    """Take from a child that runs as root what would let it read every file."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if libc.prctl(24, capability, 0, 0, 0) and os.geteuid() == 0:  # PR_CAPBSET_DROP
            raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.slow
@pytest.mark.command
def test_the_command_with_what_only_the_machine_can_refuse(tmp_path):
    """Data without permission, results of another schema, names that are not there; each added to the table."""
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    (tmp_path / "data").chmod(0o000)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text('{"schema": 0}')
    cases = {
        "data without permission": (
            ["dataset=cifar10_lt", f"dataset.root={tmp_path}/data"], r"cifar-10-batches-py is not readable",
        ),
        "results of an older schema": (
            [f"hydra.run.dir={tmp_path}/old"], r"has schema 0, and this version reads 2",
        ),
        "an unknown experiment": (["+experiment=cutmix_awab"], r"No experiment cutmix_awab; the nearest: cutmix_awabs"),
        "an unknown key": (["stage1.max_epoch=3"], r"No setting stage1.max_epoch; the nearest: stage1.max_epochs"),
    }  # fmt: skip
    rows = []
    try:
        for name, (overrides, said) in cases.items():
            job = RUN if not overrides[0].startswith("+experiment") else TINY
            done, seconds = command(
                tmp_path, *job, f"hydra.run.dir={tmp_path}/run", *overrides, preexec_fn=without_overriding_permissions
            )
            assert done.returncode == 1, (name, done)
            assert re.search(said, done.stderr), (name, done.stderr)
            assert "Traceback" not in done.stdout + done.stderr
            assert seconds < 40
            rows.append(f"| {name} | `{overrides[0]}` | {' '.join(done.stderr.split())} |")
    finally:
        (tmp_path / "data").chmod(0o700)
    assert (tmp_path / "old" / "results.json").read_text() == '{"schema": 0}'
    (tmp_path.parent / "bad_input_machine.md").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
@pytest.mark.command
def test_the_command_at_a_loss_that_is_not_finite(tmp_path):
    """It stops at once, and the last good epoch is kept: the same command comes to the same step from there."""
    blown = ["stage1.max_epochs=4", "stage1.schedule.milestones=[0.5]", "stage1.schedule.gamma=1e25"]
    for attempt in (1, 2):
        done, _ = command(tmp_path, *RUN, *blown, f"hydra.run.dir={tmp_path}/run")
        text = done.stdout + done.stderr
        assert done.returncode == 1, text
        assert re.search(r"stage 1: the loss is (nan|inf) in epoch 3, step 2; the last was \d+\.\d+", text), text
        assert ("Resuming after epoch 2 of 4" in text) == (attempt == 2), text
        assert "Traceback" not in text
        assert not (tmp_path / "run" / "results.json").exists()
        kept = torch.load(tmp_path / "run" / "stage1.part.ckpt", weights_only=True)
        assert all(v.isfinite().all() for v in kept["module"].values() if v.is_floating_point())
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text()


def test_results_of_an_older_schema_are_said_and_left(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for content, said in (('{"schema": 0}', "has schema 0, and this version reads 2"), ("{", "is no JSON")):
        (folder / "results.json").write_text(content)
        with pytest.raises(InputError, match=said):
            run(compose_config(*RUN), folder)
        assert (folder / "results.json").read_text() == content


@pytest.mark.slow
@pytest.mark.command
def test_a_refused_command_leaves_earlier_results(tmp_path):
    where = f"hydra.run.dir={tmp_path}/run"
    done, _ = command(tmp_path, *RUN, where)
    assert done.returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.name != "run.log"}
    for override in ("dataset.if=0.5", "stage1.lr=7", "stage2.loss.eps_head=0.9"):
        done, _ = command(tmp_path, *RUN, where, override)
        assert done.returncode == 1
        assert {path: path.read_bytes() for path in before} == before
        assert {path.name for path in (tmp_path / "run").iterdir()} == {p.name for p in before} | {"run.log"}
    assert json.loads((tmp_path / "run" / "results.json").read_text())["schema"] == 2


def test_a_refused_command_leaves_no_folder(tmp_path, monkeypatch):
    from lt_calib.run import job

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "digits_lt_if10" / "seed0"
    folder.mkdir(parents=True)
    (folder / "run.log").touch()
    in_hydra(monkeypatch, folder)
    monkeypatch.setattr("lt_calib.run.run", lambda cfg, folder: (_ for _ in ()).throw(InputError("no such device")))
    for name in ("config.yaml", "mine.txt"):  # of a run that has begun, and of somebody else
        (folder / name).touch()
        with pytest.raises(CompactHydraException, match="no such device"):
            job(compose_config(*RUN))
        assert {path.name for path in folder.iterdir()} == {"run.log", "error.txt", name}
        (folder / name).unlink()
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(CompactHydraException):
        job(compose_config(*RUN))
    assert "no such device" in (folder / "error.txt").read_text()
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    with pytest.raises(CompactHydraException):
        job(compose_config(*RUN))
    assert not list(tmp_path.iterdir())
