import pytest

from tests.conftest import TINY, built


@pytest.mark.parametrize("resample", ["over_sampling", "under_sampling"])
def test_the_tail_of_a_run_that_resamples_is_that_of_the_data(resample):
    plain, run = (built(*TINY, *more).record["dataset"] for more in ([], [f"resample={resample}"]))
    assert "resampled_counts" not in plain
    assert run["class_counts"] == plain["class_counts"]
    assert run["groups"] == plain["groups"]
    level = max(plain["class_counts"]) if resample == "over_sampling" else min(plain["class_counts"])
    assert run["resampled_counts"] == [level] * 10
