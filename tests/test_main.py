"""One door to all commands, and what is answered before anything heavy is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lt_calib.__main__ import commands, help_text, main


def answered(monkeypatch, *words: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["lt-calib", *words])
    try:
        main()
    except SystemExit as end:
        return end.code
    return 0


def test_it_finds_all_commands_and_only_those():
    assert {"run", "report", "predict", "calibrate", "campaign", "cache", "features", "dataset", "show"} <= set(
        commands()
    )
    assert not {"worker", "export", "errors", "__init__", "loss"} & set(commands())


def test_the_help_fits_a_terminal_and_cuts_nothing():
    lines = help_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(len([line for line in lines if line.split()[:1] == [name]]) == 1 for name in commands())
    assert "..." not in "".join(lines[1:])


def test_without_a_word_it_prints_the_help(monkeypatch, capsys):
    assert answered(monkeypatch) == 0
    assert capsys.readouterr().out.strip() == help_text()


@pytest.mark.parametrize(("word", "said"), [("raport", "report"), ("+experiment=ce", "lt-calib run +experiment=ce")])
def test_an_unknown_command_is_answered_with_what_was_meant(monkeypatch, capsys, word, said):
    assert answered(monkeypatch, word) == 2
    assert said in capsys.readouterr().err


def test_a_command_gets_the_words_after_it(monkeypatch):
    seen = []
    monkeypatch.setattr("lt_calib.cache.__main__.main", lambda: seen.append(sys.argv))
    monkeypatch.setattr("lt_calib.convert.main", lambda: seen.append(sys.argv))
    assert answered(monkeypatch, "cache", "rm", "--all") == answered(monkeypatch, "convert", "old") == 0
    assert [words[1:] for words in seen] == [["rm", "--all"], ["old"]]


@pytest.mark.command
def test_what_needs_nothing_heavy_imports_nothing_heavy_and_leaves_nothing(tmp_path):
    say = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules))"
    for code, words, rc in (("lt_calib.__main__", [], 0), ("lt_calib.run", [], 2), ("lt_calib.run", ["-m"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", f"{say}; from {code} import main; main()", *words],
            cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.split()[-1]) == (rc, "False"), done.stderr
    assert "+experiment=" in done.stderr
    assert not list(Path(tmp_path).iterdir())
