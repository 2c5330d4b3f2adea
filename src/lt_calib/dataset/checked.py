"""Which images have been read without a fault: kept in a file, so that a second start reads none of them again."""

import hashlib
import logging
from pathlib import Path

from lt_calib.dataset.files import HASH
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically

log = logging.getLogger(__name__)


def file_of(folder: Path, root: str) -> Path:
    """Name the file of one data set below ``folder``, by where its images are."""
    return folder / f"images_{hashlib.sha256(str(Path(root).expanduser().resolve()).encode()).hexdigest()[:16]}.bin"


def load(path: Path) -> dict[bytes, bytes]:
    """Read what is known of images: by each one's path, size and time of change, its content's hash."""
    try:
        content = path.read_bytes()
    except OSError:  # of the first start, or another user's
        return {}
    pairs = range(0, len(content) - 2 * HASH + 1, 2 * HASH)
    return {content[i : i + HASH]: content[i + HASH : i + 2 * HASH] for i in pairs}


def save(path: Path, known: dict[bytes, bytes]) -> None:
    """Keep it; where that cannot be, the next start reads the images again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda stream: stream.write(b"".join(key + value for key, value in known.items())))
    except (OSError, InputError) as error:
        log.warning("Which images can be read is not remembered: %s", error)
