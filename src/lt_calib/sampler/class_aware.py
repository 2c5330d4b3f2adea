"""Class-aware sampling."""

import torch
from torch import Tensor

from lt_calib.sampler.class_balanced import ClassBalanced
from lt_calib.seed import generator as generator_of

BLOCK = 256  # numbers of an endless order that are drawn together, at least


class ClassAware(ClassBalanced):
    """The classes in turn, so many images of each in a row, and a class's images in turn: pi_c = 1 / K.

    The classes come in one random order after another, and so do the images of each class: none comes again before all
    others have. Both orders go on from epoch to epoch. What stands at a place of them is drawn from
    (seed, stage, place) alone, so that any epoch can be drawn by itself. An epoch is N draws, as of every sampler here;
    the authors' has K max_c n_c.

    :class:`lt_calib.sampler.class_balanced.ClassBalanced` has the same frequencies, but draws each image anew, which
    is more noise between seeds; the first weights of a new classifier (cRT) are noise of their own.

    Args:
        targets: (N,) int64 labels of the training images.
        num_classes: K.
        seed: The job's seed, >= 0.
        stage: 1 or 2.
        purpose: What is drawn; another purpose draws independently.
        num_samples_cls: Images of a class in a row, >= 1.

    Raises:
        ValueError: num_samples_cls is below 1.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, whose code has
        the sampler of Shen et al., "Relay Backpropagation for Effective Learning of Deep CNNs", ECCV 2016.
    """

    def __init__(
        self,
        targets: Tensor,
        *,
        num_classes: int,
        seed: int,
        stage: int = 1,
        purpose: str = "sampler",
        num_samples_cls: int = 4,
    ) -> None:
        if num_samples_cls < 1:
            raise ValueError(f"num_samples_cls {num_samples_cls} must be >= 1, images of a class in a row")
        super().__init__(targets, num_classes=num_classes, seed=seed, stage=stage, purpose=purpose)
        self.num_samples_cls = num_samples_cls

    def indices(self, generator: torch.Generator) -> Tensor:
        """Take this epoch's N places of the endless order; the generator, which is the epoch's, is not asked."""
        present = self.class_counts.nonzero()[:, 0]  # (K',)
        place = self.epoch * len(self) + torch.arange(len(self))  # (N,)
        row = place // self.num_samples_cls  # of so many images of one class
        rows = self._order("classes", len(present), int(row[0]), int(row[-1]) + 1)
        drawn = present[rows][row - row[0]]  # (N,) classes
        # In every round each class has one row: the image's number in its class's order.
        number = row // len(present) * self.num_samples_cls + place % self.num_samples_cls
        indices = torch.empty_like(place)
        of_class = self.targets.argsort(stable=True).split(self.class_counts.tolist())
        for c, mine in enumerate(drawn.argsort(stable=True).split(drawn.bincount(minlength=self.num_classes).tolist())):
            if len(mine):
                first, last = int(number[mine[0]]), int(number[mine[-1]])
                indices[mine] = of_class[c][self._order(f"class {c}", len(of_class[c]), first, last + 1)]
        return indices

    def _order(self, of: str, n: int, start: int, end: int) -> Tensor:
        """Return the places start to end - 1 of one random permutation of n after another."""
        times = -(-BLOCK // n)
        blocks = [
            torch.rand(times, n, generator=self._generator(of, step)).argsort(dim=1).flatten()
            for step in range(start // (times * n), -(-end // (times * n)))
        ]
        before = start // (times * n) * (times * n)
        return torch.cat(blocks)[start - before : end - before]

    def _generator(self, of: str, step: int) -> torch.Generator:
        return generator_of(self.seed, f"{self.purpose}: {of}", stage=self.stage, step=step)
