import pytest

from lt_calib.readme import generated, written
from tests.conftest import CONF, EXPERIMENTS


def test_the_readme_says_what_conf_and_results_say():
    blocks = generated(CONF.parent)
    assert len(blocks["methods"].splitlines()) == len(EXPERIMENTS) + 2
    assert "| `cutmix_awabs` | 2 |" in blocks["cifar10"]
    assert blocks["cifar10"].count("| `mixup` | 1 |") == 1  # which five experiments share
    assert "| `mixup_crt` | 1 |" not in blocks["cifar10"]
    text = (CONF.parent / "README.md").read_text()
    assert written(text, blocks) == text, "run: make readme"


def test_a_missing_mark():
    with pytest.raises(ValueError, match="must be there once"):
        written("no marks", {"methods": ""})
