import sys

import pytest
import yaml

from lt_calib.show import head, listed, main, said_of_published, shown
from tests.conftest import CONF, EXPERIMENTS


def printed(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["show", *words])
    main()
    return capsys.readouterr().out


def test_it_prints_yaml_of_the_resolved_settings_without_the_metrics_keys(monkeypatch, capsys, composed):
    text = printed(monkeypatch, capsys, "mislas", "dataset=cifar10_lt", "dataset.if=50", "stage2.lr=0.05")
    settings = yaml.safe_load(text)
    cfg = composed("+experiment=mislas", "dataset=cifar10_lt", "dataset.if=50", "stage2.lr=0.05")
    assert settings["metric"] == list(cfg.metric)
    assert (settings["stage2"]["lr"], settings["stage2"]["loss"]["eps_head"]) == (0.05, 0.2)
    assert settings.keys() == dict(cfg).keys()
    assert "${" not in text
    assert all(f"# {line}" in text for line in head(CONF / "experiment" / "mislas.yaml"))
    assert "recipe" not in settings["dataset"]


def test_equal_published_numbers_stand_once_with_all_their_sources():
    said = list(said_of_published("mislas", "cifar100_lt", 100))
    numbers = [line.split("(")[0] for line in said if "stage2" in line]
    assert len(numbers) == len(set(numbers))
    assert "  stage2  acc 47  ECE 4.83  (4.7, 4.1, MiSLAS README)" in said
    assert "cifar10_lt" in said[-1]


def test_what_has_another_name_in_the_paper_and_what_was_never_published():
    assert "acc 81.22  ECE 2.55" in " ".join(said_of_published("cutmix_las_class_balanced", "cifar10_lt", 100))
    for factor in (7, None):
        (first,) = said_of_published("frozen_awabs", "digits_lt", factor)
        assert "frozen_awabs" in first


@pytest.mark.parametrize(
    ("words", "said"),
    [(["mislass"], "mislas"), (["mislas", "stage1.lrr=3"], "stage1.lr"), (["mislas", "dataset.if=0.5"], "0.5")],
)
def test_what_is_not_there_is_answered_with_the_nearest(monkeypatch, words, said):
    monkeypatch.setattr(sys, "argv", ["show", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert said in str(end.value.code)


def test_all_experiments_are_listed_one_a_line():
    lines = list(listed())
    assert [line.split()[0] for line in lines] == EXPERIMENTS
    assert max(map(len, lines)) <= 80


def test_an_experiment_of_ones_own(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nexperiment: mine\nseed: 7\n")
    text = "\n".join(shown("+experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"))
    assert yaml.safe_load(text)["seed"] == 7
