import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from lt_calib import build
from lt_calib.cache import __main__ as command_line
from lt_calib.cache import entry, share
from lt_calib.checkpoint import SCHEMA
from lt_calib.run import run
from tests.conftest import TINY, compose_config
from tests.stage.test_resume import stop_at

ONE, TWO = "1" * 16, "2" * 16
STAGE1 = [*TINY, "+experiment=cutmix_awabs", "stage2.max_epochs=0"]


def settings(*overrides: str) -> dict:
    cfg = OmegaConf.create(OmegaConf.to_container(compose_config(*STAGE1, *overrides), resolve=True))
    return share.settings_of(cfg, build.build_data(cfg))  # type: ignore[arg-type]


def bare_job(root: Path | str) -> DictConfig:
    """As much of a configuration as the cache's door looks at, beside the settings that make the key."""
    return OmegaConf.create({
        "cache": {"root": str(root)}, "stage1": {"ckpt_path": None, "max_epochs": 1},
        "trainer": {"devices": 1, "accelerator": "cpu"},
    })  # fmt: skip


def checkpoint(path: Path, cfg: DictConfig) -> None:
    torch.save({"schema": SCHEMA, "made_by": [share.made_by(cfg)]}, path)


@pytest.fixture
def fits(monkeypatch) -> list[int]:
    """The stages that were really trained."""
    stages = []
    fit = sys.modules["lt_calib.fit"].fit if "lt_calib.fit" in sys.modules else __import__("lt_calib.fit").fit.fit

    def counted(cfg, data, module, *rest):
        if module.max_epochs:
            stages.append(module.stage)
        return fit(cfg, data, module, *rest)

    monkeypatch.setattr("lt_calib.fit.fit", counted)
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


def test_a_stage_1_that_went_on_with_other_sources_is_not_kept(tmp_path, monkeypatch, caplog):
    shared = [*STAGE1, "stage1.max_epochs=2", "dataset.batch_size=1000", "cache=on", f"cache.root={tmp_path / 'cache'}"]
    monkeypatch.setattr(share, "sources_of_this_process", lambda: source)
    monkeypatch.setattr(share, "checksum_of_sources", lambda package: source)
    for folder, sources in (("same", ["before", "before"]), ("other", ["before", "edited"])):
        cfg = compose_config(*shared, "seed=1") if folder == "same" else compose_config(*shared)
        source = sources[0]
        with monkeypatch.context() as patch:
            stop_at(patch, 1)
            with pytest.raises(MemoryError):
                run(cfg, tmp_path / folder)
        source = sources[1]
        run(cfg, tmp_path / folder)
        kept = torch.load(tmp_path / folder / "stage1.ckpt", weights_only=True)["made_by"]
        assert [by["sources"] for by in kept] == list(dict.fromkeys(sources))
        assert len(entry.keys(tmp_path / "cache")) == 1  # of the job whose sources stayed
        assert ("began with another sources" in caplog.text) == (folder == "other")


def test_an_edit_while_a_sweep_runs_keeps_nothing_under_its_name(tmp_path, monkeypatch, caplog):
    cfg = bare_job(tmp_path / "cache")
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: share.made_by(cfg))
    before = entry.key_of(share.made_by(cfg))
    monkeypatch.setattr(share, "checksum_of_sources", lambda package: "edited")
    with share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"):
        checkpoint(tmp_path / "mine.ckpt", cfg)
    assert "sources have changed since this process began" in caplog.text
    assert entry.key_of(share.made_by(cfg)) == before
    assert entry.keys(tmp_path / "cache") == []


@pytest.mark.parametrize(("trained_here", "kept"), [(True, 1), (False, 0)])
def test_a_job_killed_between_its_checkpoint_and_the_entry_makes_it_later(tmp_path, monkeypatch, trained_here, kept):
    cfg = bare_job(tmp_path / "cache")
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: {})
    checkpoint(tmp_path / "mine.ckpt", cfg)
    if not trained_here:
        torch.save({"schema": SCHEMA, "made_by": [{"torch": "1.0"}]}, tmp_path / "mine.ckpt")
    mine = (tmp_path / "mine.ckpt").read_bytes()
    for _ in range(2):
        with share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"):
            assert (tmp_path / "mine.ckpt").read_bytes() == mine
    assert len(entry.keys(tmp_path / "cache")) == kept
    for path in (tmp_path / "cache").glob("*.ckpt"):
        path.unlink()  # by another process's rm, after its .json was seen
    with share.shared_stage1(cfg, None, tmp_path / "other.ckpt"):
        assert not (tmp_path / "other.ckpt").exists()
        checkpoint(tmp_path / "other.ckpt", cfg)
    (key,) = entry.keys(tmp_path / "cache")
    assert entry.read(tmp_path / "cache", key) == (tmp_path / "other.ckpt").read_bytes()


def test_a_job_that_has_its_stage_1_waits_for_nobody(tmp_path, monkeypatch):
    cfg = bare_job(tmp_path / "cache")
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: {})
    checkpoint(tmp_path / "mine.ckpt", cfg)
    with (
        share.shared_stage1(cfg, None, tmp_path / "other.ckpt"),
        share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"),
    ):
        checkpoint(tmp_path / "other.ckpt", cfg)
    (key,) = entry.keys(tmp_path / "cache")
    assert entry.read(tmp_path / "cache", key) == (tmp_path / "other.ckpt").read_bytes()


def test_processes_that_torchrun_has_started_leave_it_alone_and_say_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    cfg = bare_job(tmp_path / "cache")
    with caplog.at_level("INFO", "lt_calib"), share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"):
        pass
    assert "has started the processes" in caplog.text
    assert not (tmp_path / "cache").exists()


def test_what_makes_another_entry_and_what_does_not():
    plain = entry.key_of(settings())
    same = ["stage2.loss.eps_head=0.2", "logger=wandb", "figures=true", "posthoc=none", "dataset.root=elsewhere"]
    same += ["allow_double_correction=true", "dataset.eval_batch_size=100", "dataset.groups=[1,2]"]
    assert entry.key_of(settings(*same)) == plain
    other = [
        "seed=1", "augment=cutout", "stage1.lr=0.02", "stage1.max_epochs=2", "dataset.if=20", "dataset.split_seed=1",
        "dataset.batch_size=64", "dataset.val_per_class=5", "model.backbone.blocks=2", "loss@stage1.loss=cross_entropy",
        "sampler@stage1.sampler=class_balanced", "trainer.precision=bf16-mixed", "trainer.devices=2",
    ]  # fmt: skip
    keys = [entry.key_of(settings(o)) for o in other]
    assert len({plain, *keys}) == 1 + len(other)


def test_an_edit_of_the_sources_makes_other_entries(tmp_path):
    package = tmp_path / "lt_calib"
    shutil.copytree(share.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = share.checksum_of_sources(package)
    (package / "report" / "noise.py").write_text("# stage 1 runs nothing of this\n")
    assert share.checksum_of_sources(package) == before
    for name in ("loss/smoothing.py", "metric/ece.py", "trainer.py", "stage/sam.py"):
        path = package / name
        path.write_text(path.read_text() + "\n")
        assert share.checksum_of_sources(package) != before
        before = share.checksum_of_sources(package)


def test_a_second_job_waits_and_a_half_entry_is_none(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "lt_calib")
    cfg = bare_job(tmp_path / "cache")
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: {"a": 1})
    key = entry.key_of({"a": 1})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{key}.ckpt").write_bytes(b"half")  # of a writer that was killed
    trained = []

    def job(name: str) -> None:
        path = tmp_path / name
        with share.shared_stage1(cfg, None, path):
            if not path.exists():
                trained.append(name)
                time.sleep(1)
                checkpoint(path, cfg)

    jobs = [threading.Thread(target=job, args=(name,)) for name in "abc"]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert len(trained) == 1
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1
    assert "waits for it" in caplog.text


def test_a_job_that_fails_leaves_no_entry_and_no_lock(tmp_path, monkeypatch):
    cfg = bare_job(tmp_path)
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: {})
    for _ in range(2):  # a lock that stayed would stop the second
        with pytest.raises(KeyError), share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"):
            raise KeyError
    assert entry.keys(tmp_path) == []


def test_a_cache_that_cannot_be_used_is_said(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    cfg = bare_job(tmp_path / "file" / "cache")
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: {})
    with share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"):
        (tmp_path / "mine.ckpt").write_bytes(b"weights")
    assert "nothing is added to it" in caplog.text


def test_a_sound_entry_is_taken_where_nothing_can_be_written(tmp_path, monkeypatch, caplog):
    cfg = bare_job(tmp_path)
    monkeypatch.setattr(share, "settings_of", lambda cfg, data: {})
    (tmp_path / "sound").write_bytes(b"weights")
    entry.store(tmp_path, entry.key_of({}), tmp_path / "sound", {})

    def refuse(self, **how):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with share.shared_stage1(cfg, None, tmp_path / "mine.ckpt"):
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
    cfg = OmegaConf.create(OmegaConf.to_container(compose_config(*STAGE1, mine), resolve=True))
    assert isinstance(cfg, DictConfig)
    assert list(share.made_by(cfg)) == ["torch", "device", "sources", "mylab_loss.Mine"]
    with (tmp_path / "mylab_loss.py").open("a") as stream:
        stream.write("    twice = 2\n")
    assert settings("loss@stage1.loss=cross_entropy", mine) == before  # this process runs what it has imported
    share.keep(tmp_path, ONE, tmp_path / "mine.ckpt", {}, share.made_by(cfg))
    assert "sources have changed since this process began" in caplog.text
    share.source_of_this_process.cache_clear()
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
    with share.shared_stage1(bare_job(""), None, tmp_path / "mine.ckpt"):
        checkpoint(tmp_path / "mine.ckpt", bare_job(tmp_path))
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
