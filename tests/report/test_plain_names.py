"""Names of runs, data and devices are plain text in all that report writes, whatever letters they have."""

import csv
import html.parser
import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich import get_console

from lt_calib.job.screen import print_table
from lt_calib.report.__main__ import main
from lt_calib.report.by_factor import by_factor
from lt_calib.report.columns import usual
from lt_calib.report.formats import comma_separated, csv_of, latex_of, markdown, markdown_of
from lt_calib.report.page import page
from lt_calib.report.rows import summarise
from lt_calib.report.table import overview
from tests.report.test_damaged_files import kept
from tests.report.test_tables import run

NAMES = [
    "a|b", "US$1 $x$", "#1 & 50 % of_it", "x^2~y", r"back\slash \textbf{n}", "[bold]x[/bold]",
    "*star* _under_ __init__", "<b>b</b> &lt;", "`code`", "a, b", '"quoted"', r"\|", "tail\\", "[a](b)",
    "line\nend", "\x1b[31mred", "\u202ertl", "\udcff",
]  # fmt: skip
LETTERS = {  # what TeX prints for each, by its own manual
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textasciigrave{}": "`",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"$\pm$": "±", "{[}": "[", "{*}": "*",
    **{f"\\{letter}": letter for letter in "#$%&_{}"},
}  # fmt: skip
SHOWN = {"line\nend": r"line\nend", "\x1b[31mred": r"\x1b[31mred", "\u202ertl": r"\u202ertl", "\udcff": r"\udcff"}


@pytest.fixture(params=NAMES)
def rows(request, tmp_path):
    ours = run(tmp_path / "0", "ce", 2.0) | {"name": request.param}
    ours["environment"]["device"] = request.param
    ours["dataset"]["name"] = request.param
    return summarise([ours])


def shown_as(name: str) -> str:
    """The name, with what is no letter by its number."""
    return SHOWN.get(name, name)


def shown(rows) -> str:
    return shown_as(rows[0].group.method)


def cells_of(line: str) -> list[str]:
    """The texts of a Markdown table's line, by the rules of CommonMark and of GitHub's tables."""
    texts = [text.strip() for text in re.findall(r"((?:\\.|[^|\\])+)\|", line.strip().removeprefix("|"))]
    code = [re.fullmatch(r"`([^`]*)`", text) for text in texts]
    plain = [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text) for text in texts]
    return [c[1].replace(r"\|", "|") if c else p for c, p in zip(code, plain, strict=True)]


def test_markdown(rows):
    head, _, line = markdown(rows).splitlines()
    cells = dict(zip(cells_of(head), cells_of(line), strict=True))
    assert (cells["method"], cells["data"]) == (shown(rows), shown(rows))
    assert cells["hardware, precision"] == f"{shown(rows)}, 32-true"
    _, _, head, _, line, *_ = markdown_of(by_factor(rows)[0]).splitlines()
    assert cells_of(line)[0] == shown(rows)
    live = re.sub(r"\\.|`[^`]*`", "", "".join(markdown_of(by_factor(rows)[0]).splitlines()[4]))
    assert not re.search(r"[*\[\]<>`$~&]|(?<!\w)_|_(?!\w)", live)  # nothing is left that would be markup


def test_latex(rows):
    line = latex_of(by_factor(rows)[0]).splitlines()[5].removesuffix(r" \\")
    cell = re.split(r"(?<!\\) & ", line)[0]
    assert re.sub("|".join(map(re.escape, LETTERS)), lambda found: LETTERS[found[0]], cell) == shown(rows)
    assert not re.search(r"[\\~^`<>|$#%&_*\[]", re.sub("|".join(map(re.escape, LETTERS)), "", cell))
    assert all(len(re.findall(r"(?<!\\)&", text)) == 12 for text in latex_of(overview(rows)).splitlines()[5:6])


def test_csv(rows):
    (line,) = csv.DictReader(io.StringIO(comma_separated(rows)))
    assert (line["method"], line["dataset"], line["hardware"]) == (shown(rows),) * 3
    assert list(csv.reader(io.StringIO(csv_of(by_factor(rows)))))[2][0] == shown(rows)


def test_html(rows):
    texts, tags = [], set()
    parser: Any = html.parser.HTMLParser()
    parser.handle_data = texts.append
    parser.handle_starttag = lambda tag, attrs: tags.add(tag)
    parser.feed(page(rows, usual(rows), by_factor(rows), [], [], "test", Path()))
    assert texts.count(shown(rows)) == 4  # the method in its table, data and method of every column, method by factor
    assert "b" not in tags


def test_everything_is_written_and_printed(tmp_path, monkeypatch, capsys):
    for i, name in enumerate(NAMES):
        kept(run(tmp_path / str(i), "ce", 2.0) | {"name": name, "settings": ""})
        unfinished = tmp_path / f"open{i}" / name.replace("/", "")
        unfinished.mkdir(parents=True)
        (unfinished / "error.txt").touch()
    monkeypatch.setattr("lt_calib.report.figures.draw_comparisons", lambda *rows: [])
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path), "--out", str(tmp_path / "out")])
    main()
    printed = capsys.readouterr().out
    assert printed.count("not finished: ") == 11
    assert all(f"\n {shown_as(name)} " in printed for name in NAMES)
    text = (tmp_path / "out" / "report.md").read_text()
    assert set(map(shown_as, NAMES)) <= {cells_of(line)[2] for line in text.splitlines() if line.count("|") > 12}
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", printed)
    assert {path.suffix for path in (tmp_path / "out").iterdir() if path.is_file()} == {".md", ".csv", ".tex", ".html"}


def test_the_screen_prints_names_as_they_are(tmp_path):
    ours: Any = run(tmp_path, "ce", 2.0) | {"name": "[bold]x[/bold] :boom: [/nothing]"}
    ours["calibrated"] = {"stage1": {"method": "[red]mine", "test": ours["stage1"]["test"]}}
    with get_console().capture() as captured:
        print_table(ours)
    text = " ".join(captured.get().split())
    assert "[bold]x[/bold] :boom: [/nothing], cifar10_lt" in text
    assert "1 [red]mine" in text


def test_the_page_leads_to_those_of_the_runs(tmp_path, monkeypatch):
    for i in range(2):
        ours: Any = run(tmp_path / str(i), "ce", 2.0) | {"settings": str(i)}
        (ours["folder"] / "report.html").touch()
        kept(ours)
    monkeypatch.setattr("lt_calib.report.figures.draw_comparisons", lambda *rows: [])
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path), "--out", str(tmp_path / "out")])
    main()
    text = (tmp_path / "out" / "report.html").read_text()
    assert re.findall(r'<a href="([^"]+)">0</a>', text) == [f"../{i}/ce_0_100/report.html" for i in range(2)]
