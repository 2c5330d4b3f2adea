from typing import Any

import pytest
import torch
from torch import nn

from lt_calib.run import run
from lt_calib.training.statistics import ended_fast, renew_statistics
from tests.conftest import TINY_FULL, built, compose_config


class Module(nn.Module):
    """A stage with two batch norms, the second of which it keeps in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.BatchNorm1d(1), nn.BatchNorm1d(1))

    def train(self, mode: bool = True) -> "Module":
        super().train(mode)
        self.backbone[1].eval()
        return self


def test_by_hand():
    """Batches (1, 3) and (4, 10): means 2 and 7, unbiased variances 2 and 18; their means are 4.5 and 10."""
    module = Module().eval()
    moved: Any = module.backbone[0]
    kept: Any = module.backbone[1]
    moved.running_mean.fill_(100)
    renew_statistics(module, [(torch.tensor([[1.0], [3.0]]), 0), (torch.tensor([[4.0], [10.0]]), 1)], "cpu")  # type: ignore[arg-type]
    assert float(moved.running_mean) == pytest.approx(4.5)
    assert float(moved.running_var) == pytest.approx(10.0)
    assert (float(kept.running_mean), float(kept.running_var)) == (0.0, 1.0)
    assert (moved.momentum, moved.training, module.training) == (0.1, False, False)


def test_it_is_for_a_schedule_that_never_came_down():
    assert ended_fast([0.1])
    assert ended_fast([0.05, 0.1, 0.1])
    assert not ended_fast([0.1, 0.05])
    assert not ended_fast([])


@pytest.mark.parametrize("recipe", ["representation", "bbn", "cao", "cosine", "kang", "lade", "mislas"])
def test_no_published_recipe_ends_so(recipe):
    module = built("+experiment=ce", f"stage1={recipe}", "dataset=digits_lt", "stage1.max_epochs=200").stages[0].module
    optimizer = module.build_optimizer()
    schedule = module.build_schedule(optimizer, 200)
    rates = []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert not ended_fast(rates)


@pytest.mark.slow
def test_a_trial_of_two_epochs_does_not_diverge_in_stage_2(tmp_path):
    """Before, its NLL ended at 31 098."""
    short = ("stage1.max_epochs=2", "stage2.max_epochs=1", "figures=false")
    results = run(compose_config(*TINY_FULL, "+experiment=cutmix_awabs", *short), tmp_path / "run")
    assert results["stage2"]["test"]["nll"] < 2.4
