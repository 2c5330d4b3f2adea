"""Every odd image by the value of its pixels, worked out by hand."""

import os
import struct
import zlib
from io import BytesIO

import numpy as np
import PIL
import pytest
from PIL import Image

from lt_calib.dataset.image import find_files, read_image
from lt_calib.errors import InputError

PILLOW = int(PIL.__version__.split(".")[0])
KINDS = {2: "s", 3: "H", 4: "I", 12: "d"}  # of TIFF: text, short, long, double
WHITE = [255, 255, 255]


def directory(tags: dict[int, tuple[int, list]], data: bytes = b"", order: str = "<") -> bytes:
    """A TIFF file of one strip, or EXIF's content: tag -> (kind, values), in the byte order."""
    tags = {**tags, **({273: (4, [8]), 279: (4, [len(data)])} if data else {})}
    data += b"\0" * (len(data) % 2)
    start = 8 + len(data)
    entries, beyond = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = values[0] if kind == 2 else struct.pack(f"{order}{len(values)}{KINDS[kind]}", *values)
        count = len(packed) if kind == 2 else len(values)
        if len(packed) > 4:
            where = start + 2 + 12 * len(tags) + 4 + len(beyond)
            beyond, packed = beyond + packed, struct.pack(f"{order}I", where)
        entries += struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + b"\0\0\0\0" + beyond


def tiff(bits, photometric, values, *, order="<", kind=1, packed=True, tags=None, size=None):
    """A TIFF file of one row, from the pixels' values or bytes."""
    n = len(bits)
    code = {(8, 1): "B", (8, 2): "b", (16, 1): "H", (16, 2): "h", (32, 1): "I", (32, 3): "f"}.get((bits[0], kind), "")
    data = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{code}", *values)
    about = {
        256: (3, [size or len(values) // n]), 257: (3, [1]), 258: (3, list(bits)), 259: (3, [1 if packed else 8]),
        262: (3, [photometric]), 277: (3, [n]), 278: (3, [1]), 339: (3, [kind] * n),
    }  # fmt: skip
    return directory(about | (tags or {}), data if packed else zlib.compress(data), order)


def png(bits: int, kind: int, width: int, row: bytes, **chunks: bytes) -> bytes:
    """A PNG file of one row."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0))
    others = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + head + others + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


def shorts(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def saved(image: Image.Image, kind: str, **settings) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def without_adobe(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]


TOP12 = {281: (3, [4095])}
CMYK = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red
# The value v of a range up to T becomes round(255 v / T); a number stands for a grey.
IMAGES = {
    # TIFF: the bits a sample, which of 0 and the largest is white, and the tags of range
    "12 bits": (tiff([12], 1, b"\xff\xf0\x00\x80\x08\x00", size=4), [255, 0, 128, 128]),
    "16 bits": (tiff([16], 1, [65535, 0, 257, 200]), [255, 0, 1, 1]),
    "16 bits, big-endian": (tiff([16], 1, [65535, 0, 257, 200], order=">"), [255, 0, 1, 1]),
    "16 bits, packed": (tiff([16], 1, [65535, 0, 514], packed=False), [255, 0, 2]),
    "16 bits, big-endian, packed": (tiff([16], 1, [65535, 0, 514], order=">", packed=False), [255, 0, 2]),
    "16 bits, 0 is white": (tiff([16], 0, [65535, 0, 257]), [0, 255, 254]),
    "12 of 16 bits": (tiff([16], 1, [4095, 0, 819], tags=TOP12), [255, 0, 51]),
    "12 of 16 bits, 0 is white": (tiff([16], 0, [4095, 0, 819], tags=TOP12), [0, 255, 204]),
    "a range": (tiff([16], 1, [99, 100, 300, 700], tags={280: (3, [100]), 281: (3, [600])}), [0, 0, 102, 255]),
    "8 bits, 0 is white": (tiff([8], 0, [255, 0, 1]), [0, 255, 254]),
    "4 bits": (tiff([4], 1, b"\xf3", size=2), [255, 51]),
    "1 bit, 0 is white": (tiff([1], 0, b"\x40", size=2), [255, 0]),
    "1 bit": (tiff([1], 1, b"\x40", size=2), [0, 255]),
    "32 bits": (tiff([32], 1, [2**32 - 1, 0, 2**31]), [255, 0, 128]),
    "16 bits, signed": (
        tiff([16], 1, [-1000, 1000, -600], kind=2, tags={340: (12, [-1000.0]), 341: (12, [1000.0])}), [0, 255, 51]
    ),
    "8 bits, signed": (tiff([8], 1, [-128, 127], kind=2, tags={340: (12, [-128.0]), 341: (12, [127.0])}), [0, 255]),
    "floats": (tiff([32], 1, [0.0, 1.0, 0.2], kind=3), [0, 255, 51]),
    "floats, 0 is white": (tiff([32], 0, [0.0, 1.0, 0.2], kind=3), [255, 0, 204]),
    "floats of a range": (tiff([32], 1, [0.0, 50.0, 10.0], kind=3, tags={341: (12, [50.0])}), [0, 255, 51]),
    # TIFF: colors and transparency
    "RGB of 16 bits": (tiff([16] * 3, 2, [65535, 0, 200]), [[255, 0, 1]]),
    "RGB of 16 bits, big-endian": (tiff([16] * 3, 2, [65535, 0, 200], order=">"), [[255, 0, 1]]),
    "RGB of 16 bits, packed": (tiff([16] * 3, 2, [65535, 0, 200], packed=False), [[255, 0, 1]]),
    "RGB of 12 of 16 bits": (tiff([16] * 3, 2, [4095, 0, 819], tags={281: (3, [4095] * 3)}), [[255, 0, 51]]),
    "RGBA of 16 bits": (tiff([16] * 4, 2, [65535, 0, 0, 13107], tags={338: (3, [2])}), [[255, 204, 204]]),
    "RGBA of 16 bits, multiplied": (tiff([16] * 4, 2, [13107, 0, 0, 13107], tags={338: (3, [1])}), [[255, 204, 204]]),
    "RGBA, multiplied": (tiff([8] * 4, 2, [51, 0, 0, 51], tags={338: (3, [1])}), [[255, 204, 204]]),
    "LA, multiplied": (tiff([8] * 2, 1, [0, 0, 0, 51], tags={338: (3, [1])}), [255, 204]),
    "CMYK of 16 bits": (tiff([16] * 4, 5, [0, 65535, 65535, 0]), [[255, 0, 0]]),
    "CMYK": (tiff([8] * 4, 5, [0, 255, 255, 0]), [[255, 0, 0]]),
    "YCbCr": (tiff([8] * 3, 6, [51, 128, 128]), [51]),
    "LAB": (tiff([8] * 3, 8, [255, 0, 0]), [255]),
    # PGM, PPM, PBM, PFM: the largest value is in the head
    "PGM up to 4095": (b"P5 3 1 4095\n" + shorts(4095, 0, 819), [255, 0, 51]),
    "PGM up to 65535": (b"P5 3 1 65535\n" + shorts(65535, 0, 13107), [255, 0, 51]),
    "PGM up to 100": (b"P5 3 1 100\n" + bytes([100, 0, 20]), [255, 0, 51]),
    "PGM in text": (b"P2 3 1 1000\n1000 0 200\n", [255, 0, 51]),
    "PPM up to 4095": (b"P6 1 1 4095\n" + shorts(4095, 0, 819), [[255, 0, 51]]),
    "PBM": (b"P1 2 1\n0 1\n", [255, 0]),
    "PFM": (b"Pf 2 1\n-1.0\n" + struct.pack("<2f", 1.0, 0.2), [255, 51]),
    # PNG: every kind of transparency shows white
    "grey": (png(8, 0, 2, bytes([7, 200])), [7, 200]),
    "grey, 7 is clear": (png(8, 0, 2, bytes([7, 200]), tRNS=shorts(7)), [255, 200]),
    "grey, 7 is clear, bits to be masked": (png(8, 0, 2, bytes([7, 200]), tRNS=shorts(0x0107)), [255, 200]),
    "grey of 16 bits": (png(16, 0, 3, shorts(65535, 13107, 200)), [255, 51, 1]),
    "grey of 16 bits, 1000 is clear": (png(16, 0, 2, shorts(1000, 1001), tRNS=shorts(1000)), [255, 4]),
    "grey of 4 bits, 3 is clear": (png(4, 0, 2, b"\x3c", tRNS=shorts(3)), [255, 204]),
    "grey of 2 bits, 1 is clear": (png(2, 0, 4, b"\x1b", tRNS=shorts(1)), [0, 255, 170, 255]),
    "grey of 1 bit": (png(1, 0, 2, b"\x40"), [0, 255]),
    "grey of 1 bit, black is clear": (png(1, 0, 2, b"\x40", tRNS=shorts(0)), [255, 255]),
    "grey with alpha": (png(8, 4, 2, bytes([0, 51, 0, 255])), [204, 0]),
    "grey of 16 bits with alpha": (png(16, 4, 2, shorts(0, 13107, 200, 65535)), [204, 1]),
    "RGB, one is clear": (png(8, 2, 2, bytes([1, 2, 3, 1, 2, 4]), tRNS=shorts(1, 2, 3)), [WHITE, [1, 2, 4]]),
    "RGB of 16 bits again": (png(16, 2, 1, shorts(65535, 0, 200)), [[255, 0, 1]]),
    "RGB of 16 bits, one is clear": (
        png(16, 2, 2, shorts(1000, 2000, 3000, 1001, 2000, 3000), tRNS=shorts(1000, 2000, 3000)), [WHITE, [4, 8, 12]]
    ),
    "RGBA": (png(8, 6, 1, bytes([255, 0, 0, 51])), [[255, 204, 204]]),
    "RGBA of 16 bits again": (png(16, 6, 1, shorts(65535, 0, 0, 13107)), [[255, 204, 204]]),
    "palette": (png(8, 3, 2, b"\1\0", PLTE=bytes([0, 0, 0, 9, 8, 7])), [[9, 8, 7], 0]),
    "palette, 0 is clear": (png(8, 3, 2, b"\1\0", PLTE=bytes([0, 0, 0, 9, 8, 7]), tRNS=b"\0"), [[9, 8, 7], WHITE]),
    "palette of alphas": (png(8, 3, 3, b"\1\0\2", PLTE=bytes(9), tRNS=b"\x33\xff\x00"), [0, 204, 255]),
    # the others, as Pillow writes them
    "GIF of two frames": (
        saved(Image.new("RGB", (1, 1), (9, 8, 7)), "GIF", save_all=True, append_images=[Image.new("RGB", (1, 1))]),
        [[9, 8, 7]],
    ),
    "GIF, 0 is clear": (saved(Image.fromarray(np.array([[0, 9]], dtype=np.uint8)), "GIF", transparency=0), [255, 9]),
    "WebP": (saved(Image.new("RGBA", (1, 1), (255, 0, 0, 51)), "WEBP", lossless=True), [[255, 204, 204]]),
    "BMP": (saved(Image.new("RGB", (1, 1), (9, 8, 7)), "BMP"), [[9, 8, 7]]),
    "BMP of 1 bit": (saved(Image.new("1", (1, 1), 1), "BMP"), [255]),
    "JPEG, grey": (saved(Image.new("L", (1, 1), 100), "JPEG"), [100]),
    "JPEG, CMYK, Adobe's": (saved(CMYK, "JPEG", quality=100), [[255, 0, 0]] * 8),
    "JPEG, CMYK, not Adobe's": (without_adobe(saved(CMYK, "JPEG", quality=100)), [0] * 8),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_an_odd_image_has_the_values_that_its_file_says(tmp_path, name):
    if name in ("LA, multiplied", "YCbCr") and PILLOW < 13:
        pytest.skip("an older Pillow has not, or reads otherwise")
    content, expected = IMAGES[name]
    path = tmp_path / "image"
    path.write_bytes(content)
    rgb, grey = read_image(path), read_image(path, "L")
    assert (rgb.mode, grey.mode) == ("RGB", "L")
    wanted = [[v, v, v] if isinstance(v, int) else v for v in expected]
    np.testing.assert_allclose(np.asarray(rgb)[0], wanted, atol=1 if name == "LAB" else 0)  # converted by Little CMS
    luma = np.array(wanted) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(np.asarray(grey)[0], luma, atol=1.51 if name == "LAB" else 0.51)


REFUSED = {
    "signed": (tiff([16], 1, [-3, 200], kind=2), "from -3 to 200, of which it is not known what white is"),
    "signed, 8 bits": (tiff([8], 1, [-3, 100], kind=2), "from -3 to 100, of which it is not known what white is"),
    "floats beyond 1": (tiff([32], 1, [0.0, 200.0], kind=3), "from 0 to 200, of which"),
    "not a number": (tiff([32], 1, [0.5, float("nan")], kind=3), "from nan to nan"),
    "not a number of a range": (tiff([32], 1, [0.5, float("nan")], kind=3, tags={341: (12, [9.0])}), "from nan"),
    "planes": (tiff([16] * 3, 2, [1, 2, 3], tags={284: (3, [2])}), "separate planes"),
    "nothing": (b"", "no image, or of a kind"),
    "text": (b"a cat", "no image, or of a kind"),
    "cut off": (saved(Image.new("RGB", (64, 64), 9), "JPEG")[:-9], "truncated"),
    "cut off early": (saved(Image.new("RGB", (64, 64), 9), "PNG")[:60], "truncated"),
    "bomb": (b"P5 60000 60000 255\n", "decompression bomb"),
    "a bad chunk": (png(8, 0, 1, b"\1", tRNS=b""), "(tRNS|no image)"),
    "a bad scale": (b"Pf 1 1\nx\n" + bytes(4), "."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_its_name(tmp_path, name):
    content, why = REFUSED[name]
    path = tmp_path / "image.xyz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"image\.xyz cannot be read: .*{why}"):
        read_image(path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "broken.png", "loop.png", "folder.png", "gone.png"):
        with pytest.raises(InputError, match=rf"{name} cannot be read: it is no regular file, or not there"):
            read_image(tmp_path / name)


# How [[1, 2, 3], [4, 5, 6]] lies in the file: EXIF says at which side its first row and its first column are.
STORED = {
    1: [[1, 2, 3], [4, 5, 6]], 2: [[3, 2, 1], [6, 5, 4]], 3: [[6, 5, 4], [3, 2, 1]], 4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]], 6: [[3, 6], [2, 5], [1, 4]], 7: [[6, 3], [5, 2], [4, 1]], 8: [[4, 1], [5, 2], [6, 3]],
}  # fmt: skip


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "PNG of 16 bits"])
def test_images_are_turned_upright(tmp_path, kind, orientation):
    stored = np.array(STORED[orientation])
    kind, _, deep = kind.partition(" of ")
    grey = Image.fromarray((stored * 257).astype(np.uint16) if deep else stored.astype(np.uint8))
    exif = directory({274: (3, [orientation])})
    settings = {"PNG": {"exif": exif}, "TIFF": {"tiffinfo": {274: orientation}}, "WEBP": {"exif": exif}}[kind]
    grey.save(tmp_path / "image", kind, **settings, **({"lossless": True} if kind == "WEBP" else {}))
    assert np.asarray(read_image(tmp_path / "image", "L")).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("tags", "upright"),
    [
        ({274: (3, [6]), 282: (2, [b"72 dpi\0"])}, True),  # a text where the resolution belongs
        ({274: (3, [6]), 34665: (2, [b"none\0"])}, True),  # and where the place of more tags belongs
        ({274: (2, [b"6\0"])}, False),
        ({274: (3, [0])}, False),
        ({274: (3, [9])}, False),
        (None, False),  # no EXIF at all, though it is said to be
    ],
)
def test_an_orientation_that_cannot_be_read_leaves_the_image_as_it_stands(tmp_path, tags, upright):
    exif = b"Exif\0\0" + (directory(tags) if tags else b"II*\0\xff\xff\xff\x7f")
    path = tmp_path / "image.jpg"
    Image.new("L", (16, 8), 9).save(path, exif=exif)
    assert read_image(path).size == ((8, 16) if upright else (16, 8))


def test_files_are_found_through_links_once_and_hidden_ones_are_counted(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    for name in ("b/2.png", "a b,ü/1.png", ".hidden.png", ".git/x/3.png", "__MACOSX/._1.png", "b/Thumbs.db", "c.png/4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "5.png").touch()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(folder)
    (folder / "broken.png").symlink_to("gone")
    (folder / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    unreadable = []
    found, hidden = find_files(folder, unreadable)
    assert [str(path.relative_to(folder)) for path in found] == [
        "a b,ü/1.png", "b/2.png", "broken.png", "c.png/4", "link/5.png",
    ]  # fmt: skip
    assert hidden == 4
    assert unreadable == [f"{folder}/closed cannot be listed: Permission denied"]
