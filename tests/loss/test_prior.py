import pytest
import torch

from lt_calib.errors import InputError
from lt_calib.job.prior import resolve_prior

COUNTS = [90, 10]
DATA = torch.tensor([0.9, 0.1], dtype=torch.float64)
UNIFORM = torch.tensor([0.5, 0.5], dtype=torch.float64)


def test_by_default_it_is_the_samplers():
    assert torch.equal(resolve_prior("sampler", UNIFORM, COUNTS), UNIFORM)


def test_data_is_accepted_where_it_is_drawn():
    torch.testing.assert_close(resolve_prior("data", DATA, COUNTS), DATA)


def test_double_correction_is_refused_unless_meant():
    with pytest.raises(InputError, match=r"both correct for the same imbalance.*allow_double_correction=true"):
        resolve_prior("data", UNIFORM, COUNTS)
    torch.testing.assert_close(resolve_prior("data", UNIFORM, COUNTS, allow_double_correction=True), DATA)


def test_unknown():
    with pytest.raises(InputError, match=r"loss.prior=none"):
        resolve_prior("none", DATA, COUNTS)
