"""What an epoch's row says."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lt_calib.training.history import History


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("time.perf_counter", lambda: now.seconds)
    return now


def test_seconds_are_those_between_the_ends_of_two_epochs_but_for_validation(clock):
    history = History(1, lambda logits, targets: {"acc": 0.5}, lambda row: None)
    group = {"lr": 0.1}
    trainer: Any = SimpleNamespace(
        num_training_batches=2, current_epoch=0, optimizers=[SimpleNamespace(param_groups=[group])]
    )
    module: Any = SimpleNamespace(device="cpu", predicted=None)
    for epoch in range(3):
        trainer.current_epoch = epoch
        history.on_train_epoch_start(trainer, module)
        for batch, (loss, images) in enumerate([(1.0, 30), (3.0, 10)]):
            history.on_train_batch_start(trainer, module, None, batch)
            clock.seconds += 2
            outputs = {"loss": torch.tensor(loss), "images": images}
            history.on_train_batch_end(trainer, module, outputs, None, batch)
        group["lr"] /= 2  # the schedule goes on before the epoch's row is closed
        if epoch == 1:
            history.on_validation_start(trainer, module)
            clock.seconds += 50
            history.on_validation_end(trainer, module)
            module.predicted = torch.zeros(1, 2), torch.zeros(1)
        history.on_train_epoch_end(trainer, module)
        clock.seconds += 1  # the part file is written
    assert [row["seconds"] for row in history.rows] == [4, 5, 5]
    assert [row["lr"] for row in history.rows] == [0.1, 0.05, 0.025]
    assert [row["images_per_second"] for row in history.rows] == [10, 8, 8]
    assert [row["loss"] for row in history.rows] == [1.5] * 3
    assert ["val_acc" in row for row in history.rows] == [False, True, False]
    assert history.seconds == 14
    assert history.images_per_second == 8  # without the first epoch
