"""What holds for every metric that conf/ lists."""

import pytest
import torch
from omegaconf import OmegaConf

from lt_calib.measure.evaluate import evaluate, ways
from lt_calib.measure.predictions import Predictions
from lt_calib.settings.check import make
from tests.conftest import CONF, plugins
from tests.metric.bad import BAD_PAIRS, GOOD
from tests.metric.conftest import CASES, labels, soft


def function(name):
    cfg = OmegaConf.create({"metric": OmegaConf.load(CONF / "metric" / f"{name}.yaml")})
    return make(cfg, f"metric.{name}")


def values(name, probs, targets):
    """As numbers, by the way that a run takes; the logarithm makes logits of probabilities."""
    return evaluate(probs.clamp(min=1e-30).log(), targets, {}, {name: function(name)})


@pytest.mark.parametrize("name", plugins("metric"))
def test_the_order_of_the_pictures_does_not_matter(name, case):
    probs, targets = case
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    assert values(name, probs[order], targets[order]) == pytest.approx(values(name, probs, targets), abs=1e-6)


@pytest.mark.parametrize("bad", BAD_PAIRS)
@pytest.mark.parametrize("name", plugins("metric"))
def test_bad_predictions_and_labels_are_refused(name, bad):
    predictions, targets, said = BAD_PAIRS[bad]
    function(name)(*GOOD)
    for call in (function(name), lambda z, y: evaluate(z, y, {}, {name: function(name)})):
        with pytest.raises(ValueError, match=said):
            call(predictions, targets)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", plugins("metric"))
def test_half_and_double_precision_are_measured_too(name, dtype):
    probs = soft(3, 200, 10).to(dtype)
    found, exact = (function(name)(p, labels(4, 200, 10)) for p in (probs, soft(3, 200, 10)))
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0.02)  # a picture may fall into the next bin


@pytest.mark.parametrize("name", plugins("metric"))
def test_batches_give_what_all_at_once_gives(name):
    probs, targets = CASES["random"]
    predictions = Predictions()
    for start in range(0, 300, 70):
        predictions.update(probs[start : start + 70], targets[start : start + 70])
    torch.testing.assert_close(function(name)(*predictions.compute()), function(name)(probs, targets))


@pytest.mark.parametrize("name", plugins("metric"))
def test_the_way_that_a_metric_says_is_better_is(name):
    right, wrong = (values(name, *CASES[case]) for case in ("all correct", "all wrong"))
    for value, way in ways({name: function(name)}).items():
        if value in right:
            best, worst = (right, wrong) if way == "higher" else (wrong, right)
            assert best[value] >= worst[value], (value, way)  # type: ignore[operator]


def _rank(rank, path, names):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    try:
        probs, targets = CASES["random"]
        mine = slice(0, 130) if rank == 0 else slice(130, 300)  # of unequal length
        predictions = Predictions()
        predictions.update(probs[mine], targets[mine])
        gathered = predictions.compute()
        for name in names:
            torch.testing.assert_close(function(name)(*gathered), function(name)(probs, targets))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path / "store"), plugins("metric")), nprocs=2)  # type: ignore[attr-defined]
