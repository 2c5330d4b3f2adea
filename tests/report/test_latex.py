import re
import shutil
import subprocess

import pytest

from lt_calib.report.columns import columns_of, usual
from lt_calib.report.latex import latex
from lt_calib.report.rows import summarise
from lt_calib.report.ties import best_of
from tests.report.test_tables import run, several


def tex(runs, names: str = "method,stage,acc,ece,nll") -> str:
    rows = summarise(runs)
    return latex(rows, columns_of(names.split(","), rows), "test", "test set")


def lines(text: str) -> list[list[str]]:
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()]


def test_a_table_by_hand(tmp_path):
    runs = several(tmp_path, "mislas", 2.0, seeds=2)
    for acc, one in zip((0.5, 0.6), runs, strict=True):
        one["stage1"]["test"] |= {"acc": acc, "nll": 1.25}
    text = tex(runs)
    assert lines(text) == [
        ["MiSLAS", "1", r"55.00 {\tiny$\pm$7.07}", r"5.00 {\tiny$\pm$0.00}", r"1.250 {\tiny$\pm$0.000}"]
    ]
    assert r"\begin{tabular}{llrrr}" in text
    assert "method & stage & acc & ECE & NLL \\\\\n\\midrule" in text
    caption = re.search(r"\\caption\{(.*)\}\n", text)
    assert caption
    assert caption[1].startswith(r"cifar10\_lt, IF 100, ResNet32, 200 epochs of stage 1, test set: percent")
    for kind in ("table", "tabular"):
        assert text.count(rf"\begin{{{kind}}}") == text.count(rf"\end{{{kind}}}") == 1


def test_it_fits_a_page(tmp_path):
    runs = several(tmp_path, "cut_thumbnail_las_class_balanced", 2.0)
    for one in runs:
        one["changed"] = {"stage2.loss.eps_head": 0.2, "stage2.loss.eps_tail": 0.1}
    rows = summarise(runs)
    text = latex(rows, usual(rows), "test", "test set")
    assert r"\begin{tabular}{p{0.19\linewidth}lrrr}" in text  # the long name is wrapped
    assert re.search(r"standard deviation between seeds; \d seeds", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_it_compiles_and_no_line_is_too_wide(tmp_path):
    """The widest that is usual: long names, two stages with a calibrator, five seeds, five columns."""
    runs = []
    for name in ("cut_thumbnail_las_class_balanced", "a_b&c%d#e"):
        for one in several(tmp_path, name, 2.0):
            test = one["stage1"]["test"] | {"acc_tail": 0.5}
            one["stage1"]["test"] = test
            one["calibrated"] = {"stage1": {"method": "class_temperature", "test": test}}
            runs.append(one)
    rows = summarise(runs)
    (tmp_path / "table.tex").write_text(latex(rows, usual(rows), "test", "test set"))
    page = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}\end{document}"
    (tmp_path / "page.tex").write_text(page)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_bold_is_the_best_and_what_is_not_beyond_noise_of_it(tmp_path):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    twin = several(tmp_path, "twin", 3.0, noise=2)
    found = {line[0]: [cell.startswith(r"\textbf{") for cell in line[2:]] for line in lines(tex([*good, *bad, *twin]))}
    assert found == {"good": [True, False, True], "twin": [True, False, True], "bad": [False, False, False]}


def best(runs, metric: str) -> set[str]:
    return {row.group.method for row in best_of(summarise(runs), metric)}


def test_one_seed_says_nothing_and_neither_do_rows_alike(tmp_path):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    assert best([*good, *bad], "acc") == {"good"}
    assert best([*good, *bad, run(tmp_path, "one", 0.5)], "acc") == set()
    assert best(good, "acc") == set()
    assert best([*good, *several(tmp_path, "twin", 3.0, noise=2)], "acc") == set()
    assert best([*good, *bad], "overconf") == set()  # neither way is better


@pytest.mark.parametrize(("ece", "wanted"), [((0.05, 0.051, 0.052), {"low"}), ((0.016, 0.017, 0.016), set())])
def test_an_ece_at_its_floor_is_not_worse_than_another(tmp_path, ece, wanted):
    low, high = several(tmp_path, "low", 2.0), several(tmp_path, "high", 2.0, noise=1)
    for i in range(3):
        low[i]["stage1"]["test"]["ece"], high[i]["stage1"]["test"]["ece"] = 0.008 + 0.0001 * i, ece[i]
    assert best([*low, *high], "ece") == wanted


def test_without_predictions_the_seeds_decide(tmp_path):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    for one in [*good, *bad]:
        (one["folder"] / "predictions.npz").unlink()
    assert best([*good, *bad], "acc") == {"good"}


def test_a_group_is_compared_by_its_images(tmp_path):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    for one in [*good, *bad]:
        one["dataset"]["groups"] = {"head": [0, 1], "medium": [2], "tail": [3]}
        one["stage1"]["test"]["acc_tail"] = one["stage1"]["test"]["acc"]
    assert best([*good, *bad], "acc_tail") == {"good"}
    worse = {"dataset": good[0]["dataset"] | {"groups": {"tail": []}}}  # no image of it: nothing can be told apart
    assert best([one | worse for one in [*good, *bad]], "acc_tail") == set()
