"""Images of more than 8 bits a channel, of signed values or of floats, brought to 8 bits by what their file says."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

BITS, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339  # tags of TIFF
MINIMA, MAXIMA = (340, 280), (341, 281)  # SMinSampleValue, MinSampleValue; SMaxSampleValue, MaxSampleValue
WHITE_IS_ZERO, UNSIGNED, SIGNED = 0, 1, 2


def to_8_bits(file: Any) -> Image.Image | None:
    """Convert an image, on white where it is transparent; None where its values are unsigned and of 8 bits.

    Args:
        file: Opened by Pillow from a stream, not by its name.

    Raises:
        OSError: it is damaged.
        ValueError: it does not say what white is, or its channels lie in planes that Pillow cannot read.
    """
    tiff = file.tag_v2 if file.format == "TIFF" else {}
    args = file.tile[0].args if file.tile else ""
    raw = str(args[0] if isinstance(args, tuple) and args else args)
    wide = tiff[BITS][0] == 16 if tiff.get(BITS) else ";16" in raw
    if file.mode in ("RGB", "RGBA", "CMYK") and wide:
        return _of_colors(file, raw, tiff)
    if file.mode.startswith(("I", "F")) or (file.mode == "L" and _kind(tiff) == SIGNED):
        return _of_grey(file, tiff)
    return None


def _of_grey(file: Any, tiff: Any) -> Image.Image:
    values = np.asarray(file)
    if file.mode == "L":
        values = values.view(np.int8)
    elif file.mode == "I" and tiff and _kind(tiff) == UNSIGNED:
        values = values.view(np.uint32)
    span = _span(tiff)
    if span is None and file.mode != "F" and file.format in ("PNG", "PPM", "JPEG2000"):
        span = (0, 65535)  # to which Pillow brings what has fewer bits
    if span is None and file.mode == "F" and 0 <= values.min() <= values.max() <= 1:
        span = (0, 1)
    if span is None or not np.isfinite(values).all():
        raise ValueError(
            f"pixels from {values.min():g} to {values.max():g}, of which it is not known what white is: save it with 8 "
            "or 16 bits, or as floats in [0, 1]"
        )
    level = _between(values, *span)
    if tiff.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        level = 1 - level
    clear = file.info.get("transparency")
    return Image.fromarray(_bytes(level if clear is None else np.where(values == clear, 1, level)))


def _of_colors(file: Any, raw: str, tiff: Any) -> Image.Image:
    """Convert colors of 16 bits: Pillow keeps the upper bytes only, so that upper and lower ones are read in turn."""
    if tiff.get(PLANES) == 2:
        raise ValueError("16 bits a channel in separate planes: save it with the channels beside one another")
    if raw == "LA;16B":  # four bytes a pixel, which are read as if they were four channels
        both = next(_decoded(file.fp, ["RGBA"]))
        values = both[..., [0, 0, 0, 2]] * 256 + both[..., [1, 1, 1, 3]]
    else:
        layout, order = raw[:-1].replace("RGBa", "RGBA"), raw[-1]
        high, low = ("B", "L") if order == "B" or (order == "N" and sys.byteorder == "big") else ("L", "B")
        upper, lower = _decoded(file.fp, [layout + high, layout + low])
        values = upper * 256 + lower
    colors = 4 if file.mode == "CMYK" else 3
    level = _between(values[..., :colors], *(_span(tiff, colors) or (0, 65535)))
    if file.mode == "CMYK":
        return Image.fromarray(_bytes(level), "CMYK").convert("RGB")
    if file.mode == "RGBA":
        alpha = values[..., 3:] / 65535
        level = (level if raw.startswith("RGBa") else level * alpha) + 1 - alpha  # RGBa is multiplied already
    if "transparency" in file.info:
        level[(values[..., :3] == file.info["transparency"]).all(axis=-1)] = 1
    return Image.fromarray(_bytes(level))


def _decoded(stream: BinaryIO, raw_modes: list[str]) -> Iterator[np.ndarray]:
    for raw in raw_modes:
        stream.seek(0)
        with Image.open(stream) as file:
            tiles: list[Any] = file.tile
            file.tile = [t._replace(args=raw if isinstance(t.args, str) else (raw, *t.args[1:])) for t in tiles]
            yield np.asarray(file, dtype=np.uint32)


def _kind(tiff: Any) -> int:
    return tiff.get(SAMPLE_FORMAT, (UNSIGNED,))[0]


def _span(tiff: Any, channels: int = 1) -> tuple[Any, Any] | None:
    """Find what a TIFF says is black and white, each a number or one for every channel."""

    def given(keys: tuple[int, int]) -> Any:
        found = np.atleast_1d(next((tiff[key] for key in keys if key in tiff), ())).astype(float)
        return found[:channels] if found.size else None

    low, high = given(MINIMA), given(MAXIMA)
    if high is None and tiff and _kind(tiff) == UNSIGNED:
        high = 2 ** tiff[BITS][0] - 1
    low = 0 if low is None else low
    return (low, high) if high is not None and np.all(np.less(low, high)) else None


def _between(values: np.ndarray, low: Any, high: Any) -> np.ndarray:
    return ((values - np.float64(low)) / (np.float64(high) - low)).clip(0, 1)


def _bytes(level: np.ndarray) -> np.ndarray:
    return (level * 255).round().astype(np.uint8)
