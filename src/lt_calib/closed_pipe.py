"""A reader of what a command prints may leave before its end: ``python -m lt_calib.report results | head -1``."""

import io
import sys
from typing import Any


class Outliving(io.FileIO):
    """A stream that takes what nobody reads any more."""

    def write(self, data: Any) -> int:
        """Write, or do nothing where the reader has left."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def outlive_reader() -> None:
    """Let the command go on to its end, its files and its exit code where nobody reads what it prints."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):  # no test's or notebook's
            stream.flush()
            raw = Outliving(stream.fileno(), "wb", closefd=False)
            buffer: Any = raw if stream.write_through else io.BufferedWriter(raw)  # the former under python -u
            how = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
            setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, stream.errors, **how))
