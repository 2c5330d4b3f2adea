"""Places-LT: 62 500 images of 365 classes, 4980 to 5 of each, by published lists."""

from lt_calib.dataset.benchmark import Benchmark, load
from lt_calib.dataset.source import Source


def _class_of(path: str) -> str:
    """``train/bow_window-indoor/1.jpg`` or ``data_256/b/bow_window/indoor/1.jpg`` -> ``bow_window-indoor``."""
    parts = path.split("/")
    return "-".join(parts[1:-1] if parts[0] in ("train", "val") else parts[2:-1])


def _easy(path: str, name: str) -> str:
    return f"{'val' if path.startswith('val') else 'train'}/{name}/{path.split('/')[-1]}"


def _standard(path: str, name: str) -> str:
    file = path.split("/")[-1]
    return f"val_256/{file}" if path.startswith("val") else f"data_256/{name[:1]}/{name.replace('-', '/')}/{file}"


ABOUT = Benchmark(
    wanted="Places-LT wants in that folder train/ and val/ (places365standard_easyformat.tar), or data_256/ and "
    "val_256/ (train_256_places365standard.tar, val_256.tar), of places2.csail.mit.edu, and the lists "
    "Places_LT_train.txt and Places_LT_test.txt, for either, which the code of Kang et al. (2020) has: "
    "github.com/facebookresearch/classifier-balancing",
    lists={
        "6392252f8ae867bc8a5e841cc1b29e5b8ef4b636": "Places-LT's training list, easy",
        "1d608b558c25c271da75c06f1e5e3625a4ebcb79": "Places-LT's training list, standard",
        "b93a2ca58ccb7f3b671c176f395a70bf52c95533": "Places-LT's validation list, easy",
        "89c29c097332": "Places-LT's validation list, standard",
        "e732e58b8aa718a2c1c11933375f5710652c2b93": "Places-LT's test list, easy",
        "d43400ac9bc2275baa058456da40b20abb50b108": "Places-LT's test list, standard",
    },
    class_of=_class_of,
    layouts=(_easy, _standard),
)


def places_lt(root: str, *, train: str, test: str | None = None, val: str | None = None) -> Source:
    """Read Places-LT: a list of either dialect, images in either layout.

    Args:
        root: The folder with ``train/airfield/`` and ``val/airfield/``, or with ``data_256/a/airfield/`` and the flat
            ``val_256/``, and the lists.
        train: The training list, from here or from ``root``.
        test: The test list, of Places365's validation images.
        val: The validation list, of its training images.

    Raises:
        InputError: see :func:`lt_calib.dataset.benchmark.load`.

    Reference:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019.
    """
    return load(ABOUT, root, train, test, val)
