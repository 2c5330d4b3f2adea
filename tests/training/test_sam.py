import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lt_calib.errors import InputError
from lt_calib.job.build import build_data, settle
from lt_calib.job.build_stages import build_stage1
from lt_calib.loss.dynamic_balanced_softmax import DynamicBalancedSoftmax
from lt_calib.run import run
from lt_calib.settings.schema import plain
from lt_calib.training.sam import SAM
from tests.conftest import TINY, compose_config


def test_hand_worked():
    """f(w) = w_1^2 + 2 w_2^2 at (3, 1): g = (6, 4), and the step is the gradient at w + rho g / ||g||."""
    w = nn.Parameter(torch.tensor([3.0, 1.0], dtype=torch.float64))
    optimizer = SAM(torch.optim.SGD([w], lr=0.1), rho=0.5, network=nn.Identity(), loss=nn.Identity())
    seen = []

    def closure():
        optimizer.zero_grad()
        value = w[0] ** 2 + 2 * w[1] ** 2
        value.backward()
        seen.append(w.detach().clone())
        return value

    assert optimizer.step(closure).item() == 11.0  # of the first pass
    norm = math.sqrt(52)
    moved = [3 + 0.5 * 6 / norm, 1 + 0.5 * 4 / norm]
    assert seen[1].tolist() == pytest.approx(moved)
    assert w.tolist() == pytest.approx([3 - 0.1 * 2 * moved[0], 1 - 0.1 * 4 * moved[1]])


def test_as_rho_goes_to_0_it_is_sgd():
    weights = []
    for rho in (None, 1e-9):
        w = nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))
        settings: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
        plain = torch.optim.SGD([w], **settings)
        optimizer = plain if rho is None else SAM(plain, rho=rho, network=nn.Identity(), loss=nn.Identity())

        def closure(w=w, optimizer=optimizer):
            optimizer.zero_grad()
            value = (w**4).sum() + w.sin().sum()
            value.backward()
            return value

        for _ in range(4):
            optimizer.step(closure)
        weights.append(w.detach())
    torch.testing.assert_close(weights[0], weights[1])


def test_a_written_out_loop():
    """Two tensors, one norm over both; weight decay and momentum enter at w, on the gradient of w + e."""
    rho, lr, momentum, decay = 0.3, 0.05, 0.9, 0.05
    start = [torch.tensor([0.5, -2.0], dtype=torch.float64), torch.tensor([[1.5]], dtype=torch.float64)]

    def value(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a**4).sum() + (a[0] * b).sin().sum() + (b**2).sum()

    def gradients(at: list[torch.Tensor]) -> list[torch.Tensor]:
        at = [x.clone().requires_grad_() for x in at]
        return list(torch.autograd.grad(value(*at), at))

    w, velocity = [x.clone() for x in start], [torch.zeros_like(x) for x in start]
    for _ in range(5):
        g = gradients(w)
        norm = math.sqrt(sum(float((x**2).sum()) for x in g))
        g = gradients([x + rho * y / norm for x, y in zip(w, g, strict=True)])
        velocity = [momentum * v + x + decay * y for v, x, y in zip(velocity, g, w, strict=True)]
        w = [x - lr * v for x, v in zip(w, velocity, strict=True)]

    p = [nn.Parameter(x.clone()) for x in start]
    settings: dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": decay}
    optimizer = SAM(torch.optim.SGD(p, **settings), rho=rho, network=nn.Identity(), loss=nn.Identity())

    def closure():
        optimizer.zero_grad()
        loss = value(*p)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    for got, wanted in zip(p, w, strict=True):
        torch.testing.assert_close(got.detach(), wanted)


def test_statistics_follow_the_first_pass_and_the_loss_moves_after_the_second():
    network, loss = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)), DynamicBalancedSoftmax([5, 3, 2])
    optimizer = SAM(torch.optim.SGD(network.parameters(), lr=0.1), rho=0.1, network=network, loss=loss)
    images, targets = torch.randn(8, 3) + 2, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    kept = []

    def closure():
        optimizer.zero_grad()
        value = loss(network(images), targets)
        value.backward()
        kept.append([[x.clone() for x in part.buffers()] for part in (network, loss)])
        return value

    before = [x.clone() for x in loss.buffers()]
    optimizer.step(closure)
    (statistics, of_loss), (statistics2, of_loss2) = kept
    assert all(torch.equal(a, b) for a, b in zip(statistics, statistics2, strict=True))
    assert not torch.equal(statistics[0], torch.zeros(3))  # the first pass moved them
    assert all(torch.equal(a, b) for a, b in zip(before, of_loss, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, of_loss2, strict=True))
    assert network[0].track_running_stats
    assert loss.training


def test_a_run_trains_with_it_and_half_precision_is_refused(tmp_path):
    settings = [*TINY, "+experiment=ce", "dataset.if=100", "dataset.batch_size=64"]
    plain = run(compose_config(*settings), tmp_path / "plain")
    sharp = run(compose_config(*settings, "stage1.sam_rho=0.05"), tmp_path / "sam")
    assert sharp["stage1"]["test"]["nll"] != plain["stage1"]["test"]["nll"]
    with pytest.raises(ValueError, match="sam_rho -1"):
        run(compose_config(*settings, "stage1.sam_rho=-1"), tmp_path / "negative")
    with pytest.raises(InputError, match="sam_rho needs trainer"):
        build_stage1_in("16-mixed", *settings, "stage1.sam_rho=0.05")


def build_stage1_in(precision: str, *overrides: str) -> None:
    """Build it as on a machine that has this precision."""
    cfg = settle(compose_config(*overrides), Path("unused"))
    build_stage1(cfg, plain(cfg), build_data(cfg), Path("unused"), precision)


def test_it_takes_the_step_of_any_optimizer():
    """AdamW's first step, written out: lr times the sign of the gradient at w + rho g / ||g||, after the decay."""
    w = nn.Parameter(torch.tensor([0.3, -2.0], dtype=torch.float64))
    inner = torch.optim.AdamW([w], lr=0.1, weight_decay=0.5, eps=0)
    optimizer = SAM(inner, rho=0.5, network=nn.Identity(), loss=nn.Identity())

    def closure():
        optimizer.zero_grad()
        value = (w**2 - 0.5 * w).sum()  # 2 w - 0.5 changes its sign between w and w + e
        value.backward()
        return value

    g = torch.tensor([0.1, -4.5], dtype=torch.float64)
    at = torch.tensor([0.3, -2.0], dtype=torch.float64) + 0.5 * g / g.norm()
    optimizer.step(closure)
    assert w.tolist() == pytest.approx((torch.tensor([0.3, -2.0]) * 0.95 - 0.1 * (2 * at - 0.5).sign()).tolist())


def test_its_state_is_the_optimizers():
    def parts() -> tuple[nn.Parameter, SAM]:
        w = nn.Parameter(torch.tensor([3.0, 1.0], dtype=torch.float64))
        inner = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        return w, SAM(inner, rho=0.5, network=nn.Identity(), loss=nn.Identity())

    def step(w: nn.Parameter, optimizer: SAM) -> None:
        def closure():
            optimizer.zero_grad()
            value = (w**4).sum()
            value.backward()
            return value

        optimizer.step(closure)

    (w, optimizer), (other, resumed) = parts(), parts()
    step(w, optimizer)
    optimizer.param_groups[0]["lr"] = 0.01
    other.data.copy_(w.data)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one in (optimizer, resumed):
        one.param_groups[0]["weight_decay"] = 0.1  # as a schedule would
    step(w, optimizer)
    step(other, resumed)
    assert torch.equal(w, other)
    assert resumed.param_groups[0]["lr"] == 0.01
    assert len(resumed.state) == 1
