from typing import Any

import torch

from lt_calib.dataset.digits import digits


def test_shapes_and_split():
    source: Any = digits()
    assert source.train_images.shape == (1297, 32, 32, 3)
    assert source.train_images.dtype == torch.uint8
    assert source.test_images.shape == (500, 32, 32, 3)
    assert torch.bincount(source.train_targets).tolist() == [128, 132, 127, 133, 131, 132, 131, 129, 124, 130]
    assert int(source.train_images.max()) == 255
    assert len(source.class_names) == 10


def test_train_and_test_share_no_picture():
    source: Any = digits()
    train = {image.numpy().tobytes() for image in source.train_images}
    shared = sum(image.numpy().tobytes() in train for image in source.test_images)
    assert shared == 0
