"""The logits that a run keeps."""

import json
import logging

import numpy as np
import pytest
import torch

from lt_calib.calibrate import calibrate_folder
from lt_calib.errors import InputError
from lt_calib.job.results import read_predictions, say_halved, write_predictions
from lt_calib.report.read import logits_of
from lt_calib.run import run
from tests.conftest import TINY

TARGETS = torch.tensor([0, 1])


def test_float16_is_read_as_float32_and_said_once(tmp_path, caplog):
    logits = torch.tensor([[1.0004, -2.5, 0.1], [1e6, -1e6, 3.0]])
    sizes = {}
    for kept in ("float32", "float16"):
        folder = tmp_path / kept
        folder.mkdir()
        write_predictions(folder / "predictions.npz", {"stage1": {"test": (logits, TARGETS)}}, [5, 3, 1], kept)
        with np.load(folder / "predictions.npz") as arrays:
            assert arrays["stage1_test_logits"].dtype == kept
            sizes[kept] = arrays["stage1_test_logits"].nbytes
        for _ in range(2):
            read, targets = read_predictions(folder / "predictions.npz")["stage1"]["test"]
            by_report = logits_of({"folder": folder, "file": "results.json"}, "stage1", "test")
            assert by_report is not None
            assert torch.equal(by_report[0], read)
        assert read.dtype == torch.float32
        assert torch.equal(targets, TARGETS)
        said = [record for record in caplog.records if str(folder) in record.getMessage()]
        assert [record.levelno for record in said] == [logging.WARNING] * (kept == "float16")
        if kept == "float32":
            assert torch.equal(read, logits)
    assert sizes["float16"] * 2 == sizes["float32"]
    assert read[1].tolist() == [65504, -65504, 3]  # the ends of its range: finite
    torch.testing.assert_close(read[0], logits[0], rtol=2**-11, atol=0)
    assert not torch.equal(read[0], logits[0])


def test_the_runs_numbers_are_of_float32_whatever_is_kept(composed, tmp_path):
    job = [*TINY, "+experiment=ce", "dataset.val_per_class=5", "posthoc=temperature"]
    whole, half = (run(composed(*job, f"predictions={kept}"), tmp_path / kept) for kept in ("float32", "float16"))
    for part in ("stage1", "calibrated"):
        drop = ("seconds", "images_per_second")
        assert {k: v for k, v in half[part].items() if k not in drop} == {
            k: v for k, v in whole[part].items() if k not in drop
        }
    assert half["predictions"] == "float16"
    say_halved.cache_clear()
    again = calibrate_folder(tmp_path / "float16", ["posthoc=temperature"])
    kept = json.loads((tmp_path / "float16" / "results.json").read_text())
    assert kept["calibrated"]["stage1"]["logits"] == "float16"
    temperatures = [r["calibrated"]["stage1"]["parameters"]["temperature"] for r in (whole, again)]
    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-3)
    assert "logits" not in calibrate_folder(tmp_path / "float32", ["posthoc=temperature"])["calibrated"]["stage1"]


def test_another_type_is_refused(composed, tmp_path):
    with pytest.raises(InputError, match="predictions=float8 must be float32 or float16"):
        run(composed(*TINY, "+experiment=ce", "predictions=float8"), tmp_path)
