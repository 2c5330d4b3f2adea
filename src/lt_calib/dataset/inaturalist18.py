"""iNaturalist 2018: 437 513 images of 8142 species, 1000 to 2 of each, by published lists."""

from lt_calib.dataset.benchmark import Benchmark, load
from lt_calib.dataset.source import Source

ABOUT = Benchmark(
    wanted="iNaturalist 2018 wants in that folder train_val2018/ (train_val2018.tar.gz of "
    "github.com/visipedia/inat_comp) and the lists iNaturalist18_train.txt and iNaturalist18_val.txt, which the code "
    "of Kang et al. (2020) has: github.com/facebookresearch/classifier-balancing",
    lists={
        "4accdb7584d2f0a5106c40a33ed6afa392189bcc": "iNaturalist 2018's training list",
        "4c23900857fd0f5adcd4cc0dffef345039eeb05f": "iNaturalist 2018's validation list",
    },
    class_of=lambda path: "/".join(path.split("/")[1:-1]),
)


def inaturalist18(root: str, *, train: str, test: str | None = None, val: str | None = None) -> Source:
    """Read iNaturalist 2018.

    Args:
        root: The folder with ``train_val2018/`` and the lists.
        train: The training list, from here or from ``root``.
        test: The validation list, which is everybody's test set.
        val: A list of your own.

    Raises:
        InputError: see :func:`lt_calib.dataset.benchmark.load`.

    Reference:
        Van Horn et al., "The iNaturalist Species Classification and Detection Dataset", CVPR 2018.
    """
    return load(ABOUT, root, train, test, val)
