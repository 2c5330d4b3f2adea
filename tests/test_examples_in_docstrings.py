"""The ``Example:`` blocks of public docstrings; they take ``import torch`` for granted."""

import doctest
import importlib

import pytest
import torch

from tests.conftest import CONF

SOURCE = CONF.parent / "src"
FILES = sorted(path for path in (SOURCE / "lt_calib").rglob("*.py") if "\n        >>> " in path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_examples_give_what_they_say(path):
    module = importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    found = doctest.testmod(module, extraglobs={"torch": torch})
    assert found.attempted > 0
    assert found.failed == 0
