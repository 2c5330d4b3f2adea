from functools import partial

import pytest
import torch
import torch.nn.functional as F

from lt_calib.measure.cross_fit import deal
from lt_calib.posthoc.count_temperature import CountTemperature
from lt_calib.posthoc.isotonic import Isotonic
from lt_calib.posthoc.select import Select
from lt_calib.posthoc.temperature import Temperature
from lt_calib.posthoc.vector import Vector

ALL = (Temperature, Vector, CountTemperature, Isotonic)
select = partial(Select, class_counts=[90, 30, 10], candidates=ALL)


def sample(n: int, temperature: float, bias: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    truth = 2 * torch.randn(n, 3, generator=draws)
    targets = torch.multinomial(torch.softmax(truth, dim=1), 1, generator=draws)[:, 0]
    return temperature * truth + torch.tensor([bias, 0.0, -bias]), targets


def test_it_takes_what_the_held_out_images_need():
    assert select(3).fit(*sample(1500, 2.0)).settings()["chosen"] == "temperature"
    assert select(3).fit(*sample(1500, 2.0, bias=3.0)).settings()["chosen"] == "vector"


def test_of_a_calibrated_model_it_takes_none_or_is_not_sure():
    """Over 12 held-out parts a calibrator is taken without doubt in at most 1."""
    sure = 0
    for seed in range(12):
        logits, targets = sample(400, 1.0, seed=seed)
        fitted = Select(3, [9, 9, 9], candidates=(Temperature,)).fit(logits, targets)
        if fitted.chosen < 0:
            torch.testing.assert_close(fitted(logits), torch.softmax(logits, 1))
            assert fitted.settings()["chosen"] == "none"
        sure += fitted.chosen >= 0 and not any("two standard errors" in doubt for doubt in fitted.doubts)
    assert sure <= 1


def test_the_slow_twin():
    logits, targets = sample(300, 1.5)
    place, nll = deal(logits, targets), {"none": F.cross_entropy(logits.double(), targets, reduction="none")}
    for name, make in {"temperature": Temperature, "vector": Vector, "isotonic": Isotonic}.items():
        nll[name] = torch.zeros(300).double()
        for fold in range(5):
            held = place == fold
            probs = make(3).fit(logits[~held], targets[~held])(logits[held])
            nll[name][held] = F.nll_loss(probs.double().log(), targets[held], reduction="none")
    fitted = Select(3, [9, 9, 9], candidates=(Temperature, Vector, Isotonic)).fit(logits, targets)
    best = min(nll, key=lambda name: float(nll[name].mean()))
    assert fitted.settings()["chosen"] == best
    change = nll["none"] - nll[best]
    assert fitted.gain[0] == pytest.approx(float(change.mean()), abs=1e-6)
    assert fitted.gain[1] == pytest.approx(float(change.std(correction=0)) / 300**0.5, abs=1e-6)
    assert fitted.nll == pytest.approx({name: float(values.mean()) for name, values in nll.items()}, abs=1e-6)


def test_whether_predictions_are_kept_is_the_chosen_ones():
    plain, biased = select(3).fit(*sample(1500, 2.0)), select(3).fit(*sample(1500, 2.0, bias=3.0))
    assert plain.keeps_predictions
    assert not biased.keeps_predictions


def test_its_state_dict_holds_the_choice(tmp_path):
    logits, targets = sample(1500, 2.0)
    fitted, fresh = select(3).fit(logits, targets), select(3)
    torch.save(fitted.state_dict(), tmp_path / "c")
    fresh.load_state_dict(torch.load(tmp_path / "c", weights_only=True))
    assert fresh.settings() == fitted.settings()
    torch.testing.assert_close(fresh(logits), fitted(logits))


@pytest.mark.parametrize("candidates", [(), (Temperature, Temperature)])
def test_candidates_that_are_none_or_twice_are_refused(candidates):
    with pytest.raises(ValueError, match=r"posthoc\.candidates"):
        Select(3, [9, 9, 9], candidates=candidates)
