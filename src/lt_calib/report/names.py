"""Readable names of methods: as the header of their experiment calls them."""

import re
from collections import Counter
from functools import cache

from lt_calib.report.rows import Row
from lt_calib.settings.schema import conf_dir

LONGEST = 32  # letters of a header's first sentence that is a name


def called(row: Row) -> str:
    """Name a row's method for readers, with what was changed of it."""
    return ", ".join(filter(None, [display(row.group.method), row.group.variant]))


def display(method: str) -> str:
    """Name an experiment for readers; a name that is none's stands as it is.

    It is the first sentence of its header without what is in brackets, ``LADE`` of "LADE (Hong et al. 2021).", or that
    up to its colon, where that is short and no other's. Else the words of its key as the header writes them.
    """
    return _names().get(method, method)


@cache
def _names() -> dict[str, str]:
    found = {}
    for path in sorted((conf_dir() / "experiment").glob("*.yaml")):
        lines = (line.removeprefix("#").strip() for line in path.read_text(encoding="utf-8").splitlines()[:2])
        found[path.stem] = next((line for line in lines if line and not line.startswith("@package")), "")
    begun = {key: re.split(r"[:.](?:\s|$)", re.sub(r" \([^)]*\)", "", header))[0] for key, header in found.items()}
    times = Counter(begun.values())
    return {
        key: begun[key] if 0 < len(begun[key]) <= LONGEST and times[begun[key]] == 1 else _spelled(key, header)
        for key, header in found.items()
    }


def _spelled(key: str, header: str) -> str:
    words = []
    for word in key.split("_"):
        written = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", header, re.IGNORECASE)
        words.append(written[0] if written else word.upper() if len(word) <= 3 else word)
    name = " ".join(words)
    return name if any(letter.isupper() for letter in words[0]) else name[:1].upper() + name[1:]
