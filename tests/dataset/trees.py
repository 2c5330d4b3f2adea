"""Trees of images in the published formats of the large benchmarks: all classes, a hundredth of the images."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

PLACES = {0: "airfield", 1: "airplane_cabin", 8: "apartment_building-outdoor", 74: "bow_window-indoor"}  # of 365


def counts(num_classes: int, largest: int, smallest: int) -> list[int]:
    """A hundredth of a tail from ``largest`` to ``smallest``, an image of each class at least."""
    return [max(1, int(largest / 100 * (smallest / largest) ** (c / (num_classes - 1)))) for c in range(num_classes)]


@cache
def jpeg(label: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (10, 8), (37 * label % 256, 61 * label % 256, 91 * label % 256)).save(content, "JPEG")
    return content.getvalue()


def write_images(root: Path, images: Iterable[tuple[str, int]]) -> None:
    for path, label in images:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpeg(label))


def write_list(path: Path, lines: Iterable[tuple[str, int]]) -> None:
    path.write_text("".join(f"{image} {label}\n" for image, label in lines))


def imagenet(per_class: Sequence[int]) -> dict[str, list[tuple[str, int]]]:
    """The lines of ImageNet-LT's lists: 20 validation images of the training folder are one here."""
    wnid = [f"n{1440764 + 11 * c:08d}" for c in range(len(per_class))]
    return {
        "train": [(f"train/{wnid[c]}/{wnid[c]}_{i}.JPEG", c) for c, n in enumerate(per_class) for i in range(n)],
        "val": [(f"train/{wnid[c]}/{wnid[c]}_{900 + c}.JPEG", c) for c in range(len(per_class))],
        "test": [(f"val/{wnid[c]}/ILSVRC2012_val_{c:08d}.JPEG", c) for c in range(len(per_class))],
    }


def places(per_class: Sequence[int], easy: bool) -> dict[str, list[tuple[str, int]]]:
    """The lines of Places-LT's lists in either dialect."""
    names = [PLACES.get(c, f"scene_{c}" if c % 5 else f"scene_{c}-outdoor") for c in range(len(per_class))]
    folder = [f"train/{name}" if easy else f"data_256/{name[0]}/{name.replace('-', '/')}" for name in names]
    tested = [f"val/{name}" if easy else "val_256" for name in names]
    return {
        "train": [(f"{folder[c]}/{i:08d}.jpg", c) for c, n in enumerate(per_class) for i in range(n)],
        "test": [(f"{tested[c]}/Places365_val_{c:08d}.jpg", c) for c in range(len(per_class))],
    }


def inaturalist(per_class: Sequence[int], top: str) -> dict[str, list[tuple[str, int]]]:
    """The lines of iNaturalist 2018's lists."""
    kinds = ("Plantae", "Insecta", "Aves")
    folder = [f"{top}/{kinds[c % 3]}/{c}" for c in range(len(per_class))]
    return {
        "train": [(f"{folder[c]}/{c * 1000 + i:032x}.jpg", c) for c, n in enumerate(per_class) for i in range(n)],
        "test": [(f"{folder[c]}/{c * 1000 + 999:032x}.jpg", c) for c in reversed(range(len(per_class)))],
    }


def coco(lines: Sequence[tuple[str, int]], num_classes: int) -> str:
    """iNaturalist 2017's annotations."""
    return json.dumps(
        {
            "info": {"year": 2017},
            "images": [{"id": 7 * i, "file_name": image} for i, (image, _) in enumerate(lines)],
            "categories": [{"id": c, "name": f"Species {c}", "supercategory": "Aves"} for c in range(num_classes)],
            "annotations": [{"id": i, "image_id": 7 * i, "category_id": c} for i, (_, c) in enumerate(lines)],
        }
    )
