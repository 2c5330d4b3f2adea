"""ImageNet-LT: 115 846 images of 1000 classes, 1280 to 5 of each, by published lists."""

import re

from lt_calib.dataset.benchmark import Benchmark, load
from lt_calib.dataset.source import Source

ABOUT = Benchmark(
    wanted="ImageNet-LT wants in that folder train/n*/*.JPEG (ILSVRC2012_img_train.tar) and val/*.JPEG, flat or in "
    "folders of classes (ILSVRC2012_img_val.tar), of image-net.org, and the lists ImageNet_LT_train.txt and "
    "ImageNet_LT_test.txt, which the code of Kang et al. (2020) has: github.com/facebookresearch/classifier-balancing",
    lists={
        "a063f095fcd475db4cf8b0658c4b73955535bbf9": "ImageNet-LT's training list",
        "3ed3188b2f44829ce2dec1cc27040d8d40984088": "ImageNet-LT's validation list",
        "76a2fb9749d6cd29e765cc4f8c270f2504131e2f": "ImageNet-LT's test list",
    },
    class_of=lambda path: path.split("/")[-2],
    layouts=(lambda path, name: re.sub(r"^val/n\d+/", "val/", path),),
)


def imagenet_lt(root: str, *, train: str, test: str | None = None, val: str | None = None) -> Source:
    """Read ImageNet-LT.

    Args:
        root: The folder with ``train/``, ``val/``, the validation images flat or in folders of classes, and the lists.
        train: The training list, from here or from ``root``.
        test: The test list, of ILSVRC2012's validation images.
        val: The validation list, of its training images.

    Raises:
        InputError: see :func:`lt_calib.dataset.benchmark.load`.

    Reference:
        Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019.
    """
    return load(ABOUT, root, train, test, val)
