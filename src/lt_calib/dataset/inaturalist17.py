"""iNaturalist 2017: 579 184 images of 5089 species, in COCO's format."""

import json
from pathlib import Path
from typing import Any

from lt_calib.dataset.list import find_lists
from lt_calib.dataset.rows import Row, source_of
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.files.folder import folder_of

WANTED = (
    "iNaturalist 2017 wants in that folder train_val_images/ (train_val_images.tar.gz), train2017.json and "
    "val2017.json (train_val2017.zip), of github.com/visipedia/inat_comp"
)


def inaturalist17(root: str, *, train: str, test: str | None = None, val: str | None = None) -> Source:
    """Read iNaturalist 2017, whose annotations are JSON: ``images``, ``annotations`` and ``categories``.

    A class's label is the place of its category's id among all ids, 0 first; its name is the category's.

    Args:
        root: The folder with ``train_val_images/`` and the annotations.
        train: Those of the training images, from here or from ``root``.
        test: Those of the validation images, which are everybody's test set.
        val: Those of a validation part of your own.

    Raises:
        InputError: the folder, a file of annotations or an image is not there, or the annotations are none.

    Reference:
        Van Horn et al., "The iNaturalist Species Classification and Detection Dataset", CVPR 2018.
    """
    try:
        top = folder_of(root)
        paths = find_lists(top, train, val, test)
        read = {split: _read(path) for split, path in paths.items()}
        categories = {one["id"]: str(one["name"]) for one in read["train"]["categories"]}
        label = {known: c for c, known in enumerate(sorted(categories))}
        rows = []
        for split, found in read.items():
            file = {one["id"]: one["file_name"] for one in found["images"]}
            rows += [Row(file[a["image_id"]], None, label[a["category_id"]], split) for a in found["annotations"]]
        return source_of(rows, top, [categories[known] for known in label])
    except KeyError as error:
        raise InputError(f"the annotations name {error}, which is not there. {WANTED}") from error
    except InputError as error:
        raise InputError(f"{error}. {WANTED}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or not {"images", "annotations", "categories"} <= found.keys():
        raise InputError(f"{path} must hold images, annotations and categories, as COCO's annotations do")
    return found
