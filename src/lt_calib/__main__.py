"""One door to all commands: ``lt-calib run ...`` is ``python -m lt_calib.run ...``."""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path
from textwrap import shorten

from lt_calib.closed_pipe import outlive_reader

COLUMNS = 80


def commands() -> dict[str, Path]:
    """Find what there is as ``python -m lt_calib.NAME``, by its file's text: nothing is imported."""
    here = Path(__file__).parent
    found = {path.stem: path for path in here.glob("[a-z]*.py") if "\ndef main(" in path.read_text()}
    found |= {path.parent.name: path for path in here.glob("*/__main__.py")}
    return dict(sorted(found.items()))


def help_text() -> str:
    """List the commands, each with what the first line of its file says."""
    there = commands()
    name_width = max(map(len, there)) + 4
    lines = [f"  {name}".ljust(name_width) + _about(path, COLUMNS - name_width) for name, path in there.items()]
    first = ["lt-calib COMMAND ...", "Calibrated long-tailed recognition; lt-calib COMMAND --help says more.", ""]
    return "\n".join([*first, *lines, "", "A first run: lt-calib run +experiment=cutmix_awabs dataset=digits_lt"])


def _about(path: Path, width: int) -> str:
    first = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    said = re.sub(r"``[^`]*``", "", first).strip(" .:")
    while len(said) > width and re.search("[,:;]", said):
        said = re.split("[,:;](?=[^,:;]*$)", said)[0]
    return shorten(said[:1].upper() + said[1:], width, placeholder=" ...")


def main() -> None:
    """Run the command that the first word names with the words after it; without a word list the commands."""
    outlive_reader()
    if len(sys.argv) == 1 or sys.argv[1] in ("-h", "--help"):
        print(help_text())
        return
    name = sys.argv[1]
    there = commands()
    if name not in there:
        from lt_calib.settings.nearest import no_such

        setting = f"Settings follow a command: lt-calib run {name} ..." if "=" in name else ""
        print(setting or no_such("command", name, list(there)), file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"lt-calib {name}", *sys.argv[2:]]
    path = there[name]
    import_module(f"lt_calib.{name}" + ".__main__" * (path.name == "__main__.py")).main()


if __name__ == "__main__":
    main()
