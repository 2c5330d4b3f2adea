import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lt_calib.training.progress import ProgressLine, line

ROW = {"epoch": 36, "loss": 1.2345, "images_per_second": 523.4}


def test_the_line():
    assert line(1, 37, 200, ROW, 3731.4) == "stage 1  epoch 37/200  loss 1.23  523 img/s  1:02:11 left"
    assert line(2, 1, 10, {}, None) == "stage 2  epoch 1/10"
    assert line(2, 10, 10, ROW | {"epoch": 10}, 0.0) == "stage 2  epoch 10/10  loss 1.23  523 img/s  done"
    longest = line(1, 1000, 1000, {"epoch": 999, "loss": 1.234e35, "images_per_second": 1234567.0}, 360000.0)
    assert "100:00:00 left" in longest
    assert len(longest) <= 80


def trained(line: ProgressLine, epochs: int, clock: list[float], step: float, begun: int = 0) -> None:
    """Epochs of two steps, each ``step`` seconds long."""
    trainer: Any = SimpleNamespace(max_epochs=epochs, num_training_batches=2, current_epoch=begun, is_global_zero=True)
    line.on_train_start(trainer, None)  # type: ignore[arg-type]
    for epoch in range(begun, epochs):
        for _ in range(2):
            clock[0] += step
            line.on_train_batch_end(trainer)
        line.epoch(ROW | {"epoch": epoch + 1})
    line.on_train_end(trainer, None)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("lt_calib.training.progress.time.monotonic", lambda: now[0])
    return now


def told(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


def test_where_it_is_piped_the_first_the_last_and_one_every_ten_seconds_are_told(caplog, clock):
    caplog.set_level(logging.DEBUG, "lt_calib")
    trained(ProgressLine(1), 12, clock, step=2.0)  # four seconds an epoch
    assert [text.split()[3] for text in told(caplog)] == ["1/12", "4/12", "7/12", "10/12", "12/12"]
    assert "0:00:44 left" in told(caplog)[0]  # eleven of twelve epochs of four seconds
    assert told(caplog)[-1].endswith("done")
    assert len(caplog.records) == 12  # run.log has them all


def test_what_is_left_of_a_stage_that_goes_on_is_of_this_process(caplog, clock):
    caplog.set_level(logging.DEBUG, "lt_calib")
    trained(ProgressLine(1), 12, clock, step=3.0, begun=9)
    assert [text.split("  ")[1] for text in told(caplog)] == ["epoch 10/12", "epoch 12/12"]
    assert "0:00:12 left" in told(caplog)[0]


def test_on_a_terminal_it_is_one_line_that_is_never_wrapped(monkeypatch, caplog, clock):
    caplog.set_level(logging.DEBUG, "lt_calib")
    console = Console(force_terminal=True, width=40)
    monkeypatch.setattr("lt_calib.training.progress.get_console", lambda: console)
    monkeypatch.setattr("lt_calib.terminal.is_there", lambda: True)
    with console.capture() as captured:
        trained(ProgressLine(1), 2, clock, step=1.0)
    assert told(caplog) == []
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", captured.get())
    assert shown.count("\n") == 1
    assert max(len(text) for text in re.split(r"[\r\n]", shown)) == 40
    assert "epoch 2/2" in shown


def test_colors_that_are_forced_make_no_terminal(monkeypatch, caplog, clock):
    """FORCE_COLOR, as notebooks and CI set it: rich takes its output for a terminal then."""
    caplog.set_level(logging.DEBUG, "lt_calib")
    console = Console(force_terminal=True)
    monkeypatch.setattr("lt_calib.training.progress.get_console", lambda: console)
    with console.capture() as captured:
        trained(ProgressLine(1), 2, clock, step=1.0)
    assert captured.get() == ""
    assert len(told(caplog)) == 2
