"""Image files: found in a folder, and read as upright images of 8 bits a channel, on white."""

import math
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from lt_calib.dataset.deep_image import to_8_bits
from lt_calib.errors import InputError

ORIENTATION = 274
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
Part = Callable[[int, int], tuple[float, float, float, float]]
NO_IMAGES = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what systems leave in folders, beside hidden files


def find_files(folder: Path, unreadable: list[str]) -> tuple[list[Path], int]:
    """List the files below a folder; links are followed, and each folder is searched once.

    Args:
        folder: To be searched.
        unreadable: Takes a line for each folder that cannot be listed.

    Returns:
        The files, sorted, but for hidden ones and what systems leave (``__MACOSX``, say), and the number of those.
    """
    found, hidden, seen = [], 0, set()

    def note(error: OSError) -> None:
        unreadable.append(f"{error.filename} cannot be listed: {error.strerror}")

    for here, folders, names in os.walk(folder, onerror=note, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for path in (Path(here, name) for name in names):
            if any(part.startswith(".") or part in NO_IMAGES for part in path.relative_to(folder).parts):
                hidden += 1
            else:
                found.append(path)
    return sorted(found), hidden


def read_image(
    path: Path,
    mode: Literal["RGB", "L"] = "RGB",
    encoded: bytes | None = None,
    size: int | None = None,
    part: Part | None = None,
) -> Image.Image:
    """Read an image file of any size and kind that Pillow knows, of several frames the first.

    - Range: 0 is black and 2^bits - 1 white, in between linear, rounded to 8 bits. A PGM's maxval and a TIFF's
      WhiteIsZero hold, and of a TIFF of more than 8 bits MinSampleValue and MaxSampleValue (or SMin, SMax) where it
      has them. Floats are in [0, 1] where SMaxSampleValue does not say otherwise. Color profiles are passed over.
    - Transparency of every kind shows white.
    - Orientation is EXIF's, 1 to 8; where that cannot be read, or is none of these, the image is taken as it stands.
    - CMYK in a JPEG is inverted where it has Adobe's marker.

    Args:
        path: Of a regular file, or a link to one.
        mode: ``"RGB"``, or ``"L"`` for grey (ITU-R 601 luma).
        encoded: The file's content, where it is at hand; the path is its name only.
        size: Pixels a side that are needed of it: a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves as many.
        part: ``(width, height) -> (left, top, right, bottom)``: that part of the upright image alone, resized to
            ``size`` x ``size``.

    Raises:
        InputError: it is no regular file, no image, damaged, of more than twice ``PIL.Image.MAX_IMAGE_PIXELS``, or
            does not say what white is. The message names the file.
    """
    try:
        if encoded is None and not path.is_file():  # a named pipe would be waited for
            raise OSError("it is no regular file, or not there")
        # A stream, since what Pillow maps into memory by its name comes out scrambled where a TIFF is to be turned.
        with path.open("rb") if encoded is None else BytesIO(encoded) as stream, Image.open(stream) as file:
            if 0 in file.size:
                raise ValueError("it has no pixels")
            box, scale = _reduce(file, size, part) if size and file.format in ("JPEG", "MPO") else (None, 1.0)
            image = to_8_bits(file) or _on_white(file)
            turn = TURNS.get(_orientation(file))
    except UnidentifiedImageError as error:
        raise InputError(f"{path} cannot be read: no image, or of a kind that Pillow does not know") from error
    except Exception as error:  # of a damaged file, decoders raise whatever they stumble over
        raise InputError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error
    upright = image if turn is None else image.transpose(turn)
    upright = upright if upright.mode == mode else upright.convert("RGB").convert(mode)
    if part is None or size is None:
        return upright
    left, top, right, bottom = (x / scale for x in box or part(*upright.size))
    inside = (left, top, min(right, upright.width), min(bottom, upright.height))
    return upright.resize((size, size), Image.Resampling.BILINEAR, box=inside)


def _reduce(file: Any, size: int, part: Part | None) -> tuple[tuple[float, float, float, float], float]:
    """Have a JPEG decoded at the smallest scale that leaves ``size`` pixels a side of the part; return both."""
    sideways = _orientation(file) in SIDEWAYS
    whole = file.size
    width, height = whole[::-1] if sideways else whole
    left, top, right, bottom = box = part(width, height) if part else (0, 0, width, height)
    needed = math.ceil(width * size / (right - left)), math.ceil(height * size / (bottom - top))
    reduced = file.draft(None, needed[::-1] if sideways else needed)
    return box, whole[0] / reduced[1][2] if reduced else 1.0


def _on_white(file: Any) -> Image.Image:
    """Convert an image of 8 bits."""
    raw = file.tile[0].args if file.tile else ""
    file.load()
    if file.mode == "CMYK" and file.format == "JPEG" and "adobe" not in file.info:  # Pillow takes all for Adobe's
        return Image.eval(file, lambda value: 255 - value)
    clear = file.info.get("transparency")
    if file.format == "PNG" and file.mode == "L" and clear is not None:  # given in the file's own bits
        top = {"L;2": 3, "L;4": 15}.get(raw, 255)
        file.info["transparency"] = (clear & top) * (255 // top)
    elif file.mode == "RGB" and clear is not None:
        file.info["transparency"] = tuple(value & 255 for value in clear)
    if not file.has_transparency_data:
        return file if file.format == "JPEG" else file.copy()  # of others, further frames or data may be looked for
    rgba = (file.convert("LA") if file.mode == "La" else file).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _orientation(file: Image.Image) -> int:
    try:
        value = file.getexif().get(ORIENTATION)
    except Exception:  # cameras and programs write what they like there, and no image is lost by it
        return 1
    return value if isinstance(value, int) else 1
