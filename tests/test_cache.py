import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from lt_calib.cache import __main__ as command_line
from lt_calib.cache import entry, share, sources
from lt_calib.files.checkpoint import SCHEMA
from lt_calib.job.fit import fit
from lt_calib.job.parts import Job
from lt_calib.logger.none import NoLogger
from lt_calib.run import run
from lt_calib.settings.schema import plain
from tests.conftest import TINY, built, compose_config
from tests.training.test_resume import stop_at

ONE, TWO = "1" * 16, "2" * 16
STAGE1 = [*TINY, "+experiment=cutmix_awabs", "stage2.max_epochs=0"]


def settings(*overrides: str) -> dict:
    return built(*STAGE1, *overrides).cache_settings


def here() -> dict[str, str]:
    """What trains a job in this process."""
    return sources.made_by({}, torch.device("cpu"))


def checkpoint(path: Path) -> None:
    torch.save({"schema": SCHEMA, "made_by": [here()]}, path)


@pytest.fixture
def fits(monkeypatch) -> list[int]:
    """The stages that were really trained."""
    stages = []

    def counted(job: Job, stage, module):
        if module.max_epochs:
            stages.append(module.stage)
        return fit(job, stage, module)

    monkeypatch.setattr("lt_calib.job.step.fit", counted)
    return stages


def test_stage_1_is_trained_once(tmp_path, fits, caplog):
    shared = ["cache=on", f"cache.root={tmp_path / 'cache'}"]
    first = run(compose_config(*STAGE1, *shared), tmp_path / "a")
    again = run(compose_config(*STAGE1, *shared, "stage2.loss.eps_head=0.1"), tmp_path / "b")
    assert fits == [1]
    assert (tmp_path / "a" / "stage1.ckpt").read_bytes() == (tmp_path / "b" / "stage1.ckpt").read_bytes()
    assert again["stage1"]["test"] == first["stage1"]["test"]
    run(compose_config(*STAGE1, *shared, "seed=1"), tmp_path / "c")
    run(compose_config(*STAGE1), tmp_path / "d")  # cache=off
    assert fits == [1, 1, 1]
    assert len(entry.keys(tmp_path / "cache")) == 2

    (key, *_) = (k for k in entry.keys(tmp_path / "cache") if "seed 0" in entry.describe(tmp_path / "cache", k))
    kept = tmp_path / "cache" / f"{key}.ckpt"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    run(compose_config(*STAGE1, *shared), tmp_path / "e")
    assert fits == [1, 1, 1, 1]
    assert "damaged" in caplog.text
    assert entry.read(tmp_path / "cache", key) is not None
    weights = [torch.load(tmp_path / x / "stage1.ckpt", weights_only=True)["backbone"] for x in "ae"]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_a_stage_1_that_went_on_with_other_sources_is_not_kept(tmp_path, monkeypatch, caplog):
    shared = [*STAGE1, "stage1.max_epochs=2", "dataset.batch_size=1000", "cache=on", f"cache.root={tmp_path / 'cache'}"]
    monkeypatch.setattr(sources, "sources_of_this_process", lambda: source)
    monkeypatch.setattr(share, "checksum_of_sources", lambda package: source)
    for folder, texts in (("same", ["before", "before"]), ("other", ["before", "edited"])):
        cfg = compose_config(*shared, "seed=1") if folder == "same" else compose_config(*shared)
        source = texts[0]
        with monkeypatch.context() as patch:
            stop_at(patch, 1)
            with pytest.raises(MemoryError):
                run(cfg, tmp_path / folder)
        source = texts[1]
        run(cfg, tmp_path / folder)
        kept = torch.load(tmp_path / folder / "stage1.ckpt", weights_only=True)["made_by"]
        assert [by["sources"] for by in kept] == list(dict.fromkeys(texts))
        assert len(entry.keys(tmp_path / "cache")) == 1  # of the job whose sources stayed
        assert ("began with another sources" in caplog.text) == (folder == "other")


def test_an_edit_while_a_sweep_runs_keeps_nothing_under_its_name(tmp_path, monkeypatch, caplog):
    before = here()
    for module in (share, sources):
        monkeypatch.setattr(module, "checksum_of_sources", lambda package: "edited")
    with share.shared_stage1(tmp_path / "cache", before, before, tmp_path / "mine.ckpt"):
        checkpoint(tmp_path / "mine.ckpt")
    assert "sources have changed since this process began" in caplog.text
    assert here() == before
    assert entry.keys(tmp_path / "cache") == []


@pytest.mark.parametrize(("trained_here", "kept"), [(True, 1), (False, 0)])
def test_a_job_killed_between_its_checkpoint_and_the_entry_makes_it_later(tmp_path, trained_here, kept):
    checkpoint(tmp_path / "mine.ckpt")
    if not trained_here:
        torch.save({"schema": SCHEMA, "made_by": [{"torch": "1.0"}]}, tmp_path / "mine.ckpt")
    mine = (tmp_path / "mine.ckpt").read_bytes()
    for _ in range(2):
        with share.shared_stage1(tmp_path / "cache", {}, here(), tmp_path / "mine.ckpt"):
            assert (tmp_path / "mine.ckpt").read_bytes() == mine
    assert len(entry.keys(tmp_path / "cache")) == kept
    for path in (tmp_path / "cache").glob("*.ckpt"):
        path.unlink()  # by another process's rm, after its .json was seen
    with share.shared_stage1(tmp_path / "cache", {}, here(), tmp_path / "other.ckpt"):
        assert not (tmp_path / "other.ckpt").exists()
        checkpoint(tmp_path / "other.ckpt")
    (key,) = entry.keys(tmp_path / "cache")
    assert entry.read(tmp_path / "cache", key) == (tmp_path / "other.ckpt").read_bytes()


def test_a_job_that_has_its_stage_1_waits_for_nobody(tmp_path):
    checkpoint(tmp_path / "mine.ckpt")
    with (
        share.shared_stage1(tmp_path / "cache", {}, here(), tmp_path / "other.ckpt"),
        share.shared_stage1(tmp_path / "cache", {}, here(), tmp_path / "mine.ckpt"),
    ):
        checkpoint(tmp_path / "other.ckpt")
    (key,) = entry.keys(tmp_path / "cache")
    assert entry.read(tmp_path / "cache", key) == (tmp_path / "other.ckpt").read_bytes()


def test_processes_that_torchrun_has_started_leave_it_alone_and_say_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        caplog.at_level("INFO", "lt_calib"),
        share.shared_stage1(tmp_path / "cache", {}, here(), tmp_path / "mine.ckpt"),
    ):
        pass
    assert "has started the processes" in caplog.text
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_what_makes_another_entry_and_what_does_not(monkeypatch):
    monkeypatch.setattr(
        "lt_calib.job.build.build_logger",
        lambda cfg, config, folder: NoLogger(config=config, folder=folder, group="", tags=[]),
    )  # W&B need not be there
    own = entry.key_of(settings())
    same = ["stage2.loss.eps_head=0.2", "logger=wandb", "figures=true", "posthoc=none", "dataset.root=elsewhere"]
    same += ["allow_double_correction=true", "dataset.eval_batch_size=100", "dataset.groups=[1,2]", "metric=[acc]"]
    assert entry.key_of(settings(*same)) == own
    other = [
        "seed=1", "augment=cutout", "stage1.lr=0.02", "stage1.max_epochs=2", "dataset.if=20", "dataset.split_seed=1",
        "dataset.batch_size=64", "dataset.val_per_class=5", "model.backbone.blocks=2", "loss@stage1.loss=cross_entropy",
        "sampler@stage1.sampler=class_balanced", "trainer.precision=bf16-mixed", "trainer.devices=2",
    ]  # fmt: skip
    keys = [entry.key_of(settings(o)) for o in other]
    assert len({own, *keys}) == 1 + len(other)
    val = "dataset.val_per_class=5"  # then the history, which is kept with the weights, has the metrics
    assert entry.key_of(settings(val, "metric=[acc]")) != entry.key_of(settings(val))


def test_an_edit_of_the_sources_makes_other_entries(tmp_path):
    package = tmp_path / "lt_calib"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = sources.checksum_of_sources(package)
    (package / "report" / "noise.py").write_text("# stage 1 runs nothing of this\n")
    assert sources.checksum_of_sources(package) == before
    for name in ("loss/smoothing.py", "metric/ece.py", "training/trainer.py", "training/sam.py"):
        path = package / name
        path.write_text(path.read_text() + "\n")
        assert sources.checksum_of_sources(package) != before
        before = sources.checksum_of_sources(package)


def test_a_second_job_waits_and_a_half_entry_is_none(tmp_path, caplog):
    caplog.set_level("INFO", "lt_calib")
    key = entry.key_of({"a": 1})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{key}.ckpt").write_bytes(b"half")  # of a writer that was killed
    trained = []

    def job(name: str) -> None:
        path = tmp_path / name
        with share.shared_stage1(tmp_path / "cache", {"a": 1}, here(), path):
            if not path.exists():
                trained.append(name)
                time.sleep(1)
                checkpoint(path)

    jobs = [threading.Thread(target=job, args=(name,)) for name in "abc"]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert len(trained) == 1
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1
    assert "waits for it" in caplog.text


def test_a_job_that_fails_leaves_no_entry_and_no_lock(tmp_path):
    for _ in range(2):  # a lock that stayed would stop the second
        with pytest.raises(KeyError), share.shared_stage1(tmp_path, {}, here(), tmp_path / "mine.ckpt"):
            raise KeyError
    assert entry.keys(tmp_path) == []


def test_a_cache_that_cannot_be_used_is_said(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with share.shared_stage1(tmp_path / "file" / "cache", {}, here(), tmp_path / "mine.ckpt"):
        (tmp_path / "mine.ckpt").write_bytes(b"weights")
    assert "nothing is added to it" in caplog.text


def test_a_sound_entry_is_taken_where_nothing_can_be_written(tmp_path, monkeypatch, caplog):
    (tmp_path / "sound").write_bytes(b"weights")
    entry.store(tmp_path, entry.key_of({}), tmp_path / "sound", {})

    def refuse(self, **how):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with share.shared_stage1(tmp_path, {}, here(), tmp_path / "mine.ckpt"):
        assert (tmp_path / "mine.ckpt").read_bytes() == b"weights"
    assert "nothing is added to it" in caplog.text


def test_an_entry_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch, caplog):
    (tmp_path / "sound").write_bytes(b"weights")
    entry.store(tmp_path, ONE, tmp_path / "sound", {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        entry.fetch(tmp_path, ONE, tmp_path / "mine.ckpt")
        assert not entry.sound(tmp_path, ONE)
    assert "cannot be read ([Errno 13] Permission denied): this job trains its own" in caplog.text
    assert not (tmp_path / "mine.ckpt").exists()
    assert entry.sound(tmp_path, ONE)


def test_the_file_of_a_part_of_ones_own_makes_another_entry(tmp_path, monkeypatch, caplog):
    (tmp_path / "mylab_loss.py").write_text(
        "from lt_calib.loss.cross_entropy import CrossEntropy\n\nclass Mine(CrossEntropy):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = "stage1.loss._target_=mylab_loss.Mine"
    before = settings("loss@stage1.loss=cross_entropy", mine)
    by = sources.made_by(plain(compose_config(*STAGE1, mine)), torch.device("cpu"))
    assert list(by) == ["torch", "device", "sources", "mylab_loss.Mine"]
    with (tmp_path / "mylab_loss.py").open("a") as stream:
        stream.write("    twice = 2\n")
    assert settings("loss@stage1.loss=cross_entropy", mine) == before  # this process runs what it has imported
    share.keep(tmp_path, ONE, tmp_path / "mine.ckpt", {}, by)
    assert "sources have changed since this process began" in caplog.text
    sources.source_of_this_process.cache_clear()
    assert entry.key_of(settings("loss@stage1.loss=cross_entropy", mine)) != entry.key_of(before)


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").write_bytes(b"weights")
    (tmp_path / "results.json").write_text("{}")  # where the folder is a run's, by mistake
    kept = settings()
    entry.store(tmp_path, ONE, tmp_path / "mine", kept)
    entry.store(tmp_path, TWO, tmp_path / "mine", kept)
    (tmp_path / f"{TWO}.ckpt").write_bytes(b"weightz")

    def command(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["cache", "--root", str(tmp_path), *arguments])
        try:
            command_line.main()
        except SystemExit as stop:
            return stop.code
        return 0

    assert command("ls") == 0
    shown = capsys.readouterr().out
    assert "digits_lt IF 10, 1 epochs, CutMix, BalancedSoftmax, seed 0" in shown
    assert command("verify") == 1
    assert capsys.readouterr().out.split("\n")[:2] == ["2 entries, 1 damaged", TWO]
    assert "no such entry: three" in str(command("rm", ONE, "three"))
    assert entry.keys(tmp_path) == [ONE, TWO]
    assert command("rm", TWO) == 0
    assert command("verify") == 0
    assert command("rm", "--all") == 0
    assert entry.keys(tmp_path) == []
    assert (tmp_path / "results.json").exists()


def test_an_empty_root_turns_it_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert built(*STAGE1, "cache=on", "cache.root=''").cache_root is None
    with share.shared_stage1(None, {}, here(), tmp_path / "mine.ckpt"):
        checkpoint(tmp_path / "mine.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ckpt"]
    monkeypatch.setenv("LT_CALIB_CACHE", "")
    monkeypatch.setattr(sys, "argv", ["cache", "ls"])
    with pytest.raises(SystemExit, match="LT_CALIB_CACHE is empty, which turns the cache off"):
        command_line.main()


def test_a_cache_that_cannot_be_written_does_not_end_the_job(tmp_path, monkeypatch, caplog):
    (tmp_path / "stage1.ckpt").write_bytes(b"weights")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with caplog.at_level("WARNING", "lt_calib"):
        entry.store(tmp_path, "abc", tmp_path / "stage1.ckpt", {})
    assert "could not be kept in the cache: " in caplog.text
    assert entry.keys(tmp_path) == []


def test_what_a_killed_writer_left_goes_with_the_entry(tmp_path):
    for name in ("a.json", "a.ckpt", "a.ckpt.123.part", "ab.ckpt.123.part"):
        (tmp_path / name).write_bytes(b"")
    entry.remove(tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["ab.ckpt.123.part"]
