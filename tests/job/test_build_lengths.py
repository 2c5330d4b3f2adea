import numpy as np
import pytest

from lt_calib.errors import InputError
from lt_calib.estimator import LongTailedClassifier
from lt_calib.predictor import load_run
from lt_calib.run import run
from tests.conftest import TINY, built, compose_config

DIGITS = ("dataset=digits_features_lt", "trainer.accelerator=cpu", "figures=false", "cache=off")


def lengths(*overrides: str) -> tuple[int, int, int]:
    job = built(*DIGITS, *overrides)
    return job.data.batch_size, job.stages[0].module.max_epochs, job.stages[1].module.max_epochs


def test_by_hand():
    """503 rows: batches of 503 // 32 = 15, and 1500 * 15 // 503 = 44 epochs."""
    assert lengths("+experiment=frozen_awabs") == (15, 44, 44)
    assert lengths("+experiment=frozen_awabs", "dataset.batch_size=128") == (128, 60, 60)
    assert lengths("+experiment=frozen_awabs", "dataset.batch_size=4") == (4, 20, 20)
    assert lengths("+experiment=frozen_awabs", "stage1.max_epochs=3") == (15, 3, 44)


def test_a_loss_that_changes_with_the_epoch_is_told():
    job = built(*DIGITS, "+experiment=frozen_awabs", "loss@stage1.loss=drw")
    assert job.stages[0].module.loss.first == pytest.approx(0.8 * 44)


def test_images_say_how_long():
    with pytest.raises(InputError, match=r"stage1\.max_epochs=null is for features"):
        built(*TINY, "+experiment=cutmix_awabs", "stage1.max_epochs=null")


def test_the_command_and_the_estimator_train_as_long(tmp_path):
    """The same rows, the same probabilities but for the batches, which each draws by its own fingerprint."""
    run(compose_config(*DIGITS, "+experiment=frozen_awabs"), tmp_path / "run")
    assert run(compose_config(*DIGITS, "+experiment=frozen_awabs"), tmp_path / "run")  # read again: nothing differs
    data = built(*DIGITS, "+experiment=frozen_awabs").data
    rows, labels = data.raw("train").numpy(), data.targets("train").numpy()
    told = LongTailedClassifier().fit(rows, labels).predict_proba(data.raw("test").numpy())
    ran = load_run(tmp_path / "run").predict_proba(data.raw("test")).numpy()
    assert np.abs(told - ran).max() < 1e-5
