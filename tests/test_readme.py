import pytest

from lt_calib.readme import generated, written
from tests.conftest import CONF, EXPERIMENTS


def test_the_readme_says_what_conf_and_results_say():
    blocks = generated(CONF.parent)
    assert len(blocks["methods"].splitlines()) == len(EXPERIMENTS) + 2
    assert len(blocks["results"].splitlines()) > 2
    text = (CONF.parent / "README.md").read_text()
    assert written(text, blocks) == text, "run: make readme"


def test_a_missing_mark():
    with pytest.raises(ValueError, match="must be there once"):
        written("no marks", {"methods": ""})
