import pytest
import torch
from torch import nn

from lt_calib.run import run
from lt_calib.training.average import WeightAverage
from tests.conftest import TINY, built, compose_config
from tests.training.test_resume import stop_at, what_a_run_gave


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


@pytest.mark.slow
def test_a_run_ends_with_the_average_of_its_steps(tmp_path, monkeypatch):
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

    recorded_steps = []
    for name, decay in (("validated", 0.5), ("unaveraged", 0.0)):
        seen[:] = []
        results = run(compose_config(*settings, *val, f"stage1.ema_decay={decay}"), tmp_path / name)
        recorded_steps.append(list(seen))
        rows = (tmp_path / name / "history.csv").read_text().splitlines()
        last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
        assert float(last["val_nll"]) == pytest.approx(results["stage1"]["val"]["nll"], abs=1e-5)  # what is validated
    assert all(torch.equal(a, b) for a, b in zip(*recorded_steps, strict=True))  # it does not move what is trained


def test_a_run_that_was_ended_goes_on_to_the_same_average(tmp_path, monkeypatch):
    """In the midst of an epoch, and after the last one, before the stage was written."""
    averaged = [*TINY, "+experiment=ce", "stage1.max_epochs=2", "dataset.if=100", "stage1.ema_decay=0.5"]
    cfg = compose_config(*averaged, "dataset.batch_size=64")
    run(cfg, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        with pytest.raises(MemoryError):
            run(cfg, tmp_path / "broken")
    with monkeypatch.context() as patch:
        patch.setattr("lt_calib.job.step.save_stage", lambda *a: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            run(cfg, tmp_path / "broken")
    assert torch.load(tmp_path / "broken" / "stage1.part.ckpt", weights_only=True)["epochs"] == 2
    run(cfg, tmp_path / "broken")
    assert what_a_run_gave(tmp_path / "broken") == what_a_run_gave(tmp_path / "whole")


def start_of(settings: list[str]) -> torch.Tensor:
    return built(*settings).stages[0].module.classifier.state_dict()["weight"].clone()
