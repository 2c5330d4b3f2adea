import json

import pytest
import torch
from torch import nn

from lt_calib.run import run
from lt_calib.stage.average import WeightAverage
from tests.conftest import TINY, compose_config


def test_hand_worked():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    average = WeightAverage(network, 0.25)
    for value in (2.0, 3.0, 5.0):  # d_t = min(0.25, 2/11), min(0.25, 3/12), min(0.25, 4/13)
        nn.init.constant_(network.weight, value)
        average.update(network)
    first = 2 / 11 * 1 + 9 / 11 * 2
    assert float(average.average.state_dict()["weight"]) == pytest.approx(0.25 * (0.25 * first + 0.75 * 3) + 0.75 * 5)
    assert network.weight.item() == 5.0
    average.exchange(network)
    assert float(average.average.state_dict()["weight"]) == 5.0
    average.exchange(network)
    assert network.weight.item() == 5.0


def test_statistics_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(2)
    average = WeightAverage(network, 0.9)
    network(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    average.update(network)
    kept = average.average.state_dict()
    assert kept["running_mean"].tolist() == pytest.approx([0.2 * 9 / 11, 0.4 * 9 / 11])  # momentum 0.1, d_1 = 2 / 11
    assert int(kept["num_batches_tracked"]) == 1
    assert not any(p.requires_grad for p in average.parameters())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range(decay):
    with pytest.raises(ValueError, match=f"ema_decay {decay}"):
        WeightAverage(nn.Linear(1, 1), decay)


def test_a_run_ends_with_the_average_and_goes_on_exactly(tmp_path, monkeypatch):
    """The twin: every step's weights, recorded, and averaged afterwards."""
    from lt_calib.stage.representation import RepresentationModule

    settings = [*TINY, "+experiment=ce", "stage1.max_epochs=2", "dataset.if=100", "dataset.batch_size=64"]
    seen: list[torch.Tensor] = []
    whole = RepresentationModule.on_train_batch_end

    def recorded(self, *step):
        seen.append(self.classifier.weight.detach().clone())
        whole(self, *step)

    monkeypatch.setattr(RepresentationModule, "on_train_batch_end", recorded)
    run(compose_config(*settings), tmp_path / "plain")
    plain, seen[:] = list(seen), []
    val = ["dataset.val_per_class=5", "trainer.eval_every=1"]  # validation must not move what is trained
    run(compose_config(*settings, "stage1.ema_decay=0.5"), tmp_path / "averaged")
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))
    wanted = start_of(settings)
    for t, w in enumerate(plain, 1):
        d = min(0.5, (1 + t) / (10 + t))
        wanted = d * wanted + (1 - d) * w
    got = torch.load(tmp_path / "averaged" / "stage1.ckpt", weights_only=True)["classifier"]["weight"]
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(got, plain[-1], atol=1e-4)

    seen[:] = []
    run(compose_config(*settings, *val, "stage1.ema_decay=0.5"), tmp_path / "validated")
    results = json.loads((tmp_path / "validated" / "results.json").read_text())
    rows = (tmp_path / "validated" / "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    averaged = results["stage1"]["val"]["nll"]
    assert float(last["val_nll"]) == pytest.approx(averaged, abs=1e-5)


def start_of(settings: list[str]) -> torch.Tensor:
    from lt_calib import build

    torch.manual_seed(0)
    return build.build_network(compose_config(*settings), 10)[1].state_dict()["weight"].clone()
