"""Whether a line can be drawn over."""

import sys

from rich import get_console


def is_there() -> bool:
    """Say whether standard output is a terminal.

    Rich alone says yes wherever ``FORCE_COLOR`` is set, as CI and notebooks set it; the stream alone does so in a
    notebook's own process.
    """
    return sys.stdout.isatty() and get_console().is_terminal
