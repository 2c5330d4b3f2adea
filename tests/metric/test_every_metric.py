"""What holds for every metric that conf/ lists."""

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lt_calib.metric.evaluate import evaluate
from lt_calib.metric.predictions import PredictionMetric
from tests.conftest import CONF, plugins
from tests.metric.conftest import CASES


def function(name):
    return instantiate(OmegaConf.load(CONF / "metric" / f"{name}.yaml"))[name]


def values(name, probs, targets):
    """As numbers, by the way that a run takes; the logarithm makes logits of probabilities."""
    return evaluate(probs.clamp(min=1e-30).log(), targets, {}, {name: function(name)})


@pytest.mark.parametrize("name", plugins("metric"))
def test_the_order_of_the_pictures_does_not_matter(name, case):
    probs, targets = case
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    assert values(name, probs[order], targets[order]) == pytest.approx(values(name, probs, targets), abs=1e-6)


@pytest.mark.parametrize("name", plugins("metric"))
def test_nan_is_refused(name):
    probs = torch.full((4, 3), 1 / 3)
    probs[1, 1] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        function(name)(probs, torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize("name", plugins("metric"))
def test_batches_give_what_all_at_once_gives(name):
    probs, targets = CASES["random"]
    metric = PredictionMetric(function(name))
    for start in range(0, 300, 70):
        metric.update(probs[start : start + 70], targets[start : start + 70])
    torch.testing.assert_close(metric.compute(), function(name)(probs, targets))


def _rank(rank, path, names):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    try:
        probs, targets = CASES["random"]
        mine = slice(0, 130) if rank == 0 else slice(130, 300)  # of unequal length
        for name in names:
            metric = PredictionMetric(function(name))
            metric.update(probs[mine], targets[mine])
            torch.testing.assert_close(metric.compute(), function(name)(probs, targets))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path / "store"), plugins("metric")), nprocs=2)  # type: ignore[attr-defined]
