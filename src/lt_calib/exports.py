"""Public names of a package, loaded on first use."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

DEFINED = re.compile(r"^(?:class|def) ([A-Za-z]\w*)", re.MULTILINE)


def of_room(package: str, file: str) -> tuple[Callable[[str], Any], list[str]]:
    """Find the public classes and functions of a package's modules, by their text; none is imported yet.

    A name that is a module's, too, stays the module's.

    Args:
        package: Its ``__name__``.
        file: Its ``__file__``.

    Returns:
        The package's ``__getattr__`` and ``__all__``.
    """
    paths = sorted(Path(file).parent.glob("[a-z]*.py"))
    modules = {path.stem for path in paths}
    home = {name: path.stem for path in paths for name in DEFINED.findall(path.read_text()) if name not in modules}
    return lazily({name: f"{package}.{module}" for name, module in home.items()}, package)


def lazily(home: dict[str, str], package: str) -> tuple[Callable[[str], Any], list[str]]:
    """Return a module's ``__getattr__`` and ``__all__`` for names that other modules define.

    Args:
        home: Name -> the module that defines it, with ``:NAME`` behind it where it is another name there.
        package: Whose names they become.
    """

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, other = home[name].partition(":")
        return getattr(import_module(module), other or name)

    return get, sorted(home)
