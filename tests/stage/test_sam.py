import math
import types
from typing import Any

import pytest
import torch
from torch import nn

from lt_calib import build
from lt_calib.loss.dynamic_balanced_softmax import DynamicBalancedSoftmax
from lt_calib.run import run
from lt_calib.stage.sam import SAM
from tests.conftest import TINY, compose_config


def test_hand_worked():
    """f(w) = w_1^2 + 2 w_2^2 at (3, 1): g = (6, 4), and the step is the gradient at w + rho g / ||g||."""
    w = nn.Parameter(torch.tensor([3.0, 1.0], dtype=torch.float64))
    optimizer = SAM([w], rho=0.5, network=nn.Identity(), loss=nn.Identity(), lr=0.1)
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
        optimizer = plain if rho is None else SAM([w], rho=rho, network=nn.Identity(), loss=nn.Identity(), **settings)

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
    optimizer = SAM(p, rho=rho, network=nn.Identity(), loss=nn.Identity(), **settings)

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
    optimizer = SAM(network.parameters(), rho=0.1, network=network, loss=loss, lr=0.1)
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
    cfg = compose_config(*settings, "stage1.sam_rho=0.05")
    data = build.build_data(cfg)
    module = build.build_stage1(cfg, *build.build_network(cfg, 10), build.build_sampler_and_loss(cfg, data, 1)[1])
    module._trainer = types.SimpleNamespace(precision="16-mixed")  # type: ignore[assignment]
    with pytest.raises(ValueError, match="sam_rho needs trainer"):
        module.configure_optimizers()
