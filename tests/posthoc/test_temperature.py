import math
import warnings

import pytest
import torch
import torch.nn.functional as F

from lt_calib.posthoc.temperature import Temperature


def test_by_hand_two_logits():
    """Logits (a, 0), right in 3 of 4: softmax(a / T) = 3 / 4 at T = a / log 3."""
    logits = torch.tensor([[2.0, 0.0]] * 4)
    calibrator = Temperature(2, strength=0).fit(logits, torch.tensor([0, 0, 0, 1]))
    assert float(calibrator.temperature) == pytest.approx(2 / torch.tensor(3.0).log().item(), rel=1e-6)
    torch.testing.assert_close(calibrator(logits)[0], torch.tensor([0.75, 0.25]))


def test_slow_twin_finds_the_temperature_that_made_the_labels():
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 5, generator=draws)
    targets = torch.multinomial(torch.softmax(logits / 2.5, dim=1), 1, generator=draws)[:, 0]
    found = float(Temperature(5).fit(logits, targets).temperature)
    grid = torch.linspace(2, 3, 1001)
    slow = grid[torch.stack([F.cross_entropy(logits / t, targets) for t in grid]).argmin()]
    assert found == pytest.approx(float(slow), abs=2e-3)
    assert found == pytest.approx(2.5, rel=0.03)


def test_by_hand_with_the_prior():
    """Logits (a, 0), all n right: n (a / T) / (1 + exp(a / T)) = -2 log T / (0.25 + log^2 T)."""
    n, a = 20, 3.0
    with pytest.warns(UserWarning, match="all 20 held-out images are right"):
        calibrator = Temperature(2).fit(torch.tensor([[a, 0.0]] * n), torch.zeros(n, dtype=torch.long))
    t = float(calibrator.temperature)
    pull = -2 * math.log(t) / (0.25 + math.log(t) ** 2)
    assert n * a / t / (1 + math.exp(a / t)) == pytest.approx(pull, rel=1e-5)
    assert 0.7 < t < 1


def test_the_prior_fades_with_the_images():
    """The shift of log T is that of one step of Newton's: prior' / (n NLL''), to the second order."""
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2000, 5, generator=draws).double()
    targets = torch.multinomial(torch.softmax(logits / 2, dim=1), 1, generator=draws)[:, 0]
    plain, held = (float(Temperature(5, strength=s).fit(logits, targets).temperature) for s in (0, 1))
    x = math.log(plain)
    probs = torch.softmax(logits / plain, dim=1)
    variance = (probs * (logits / plain).square()).sum(1) - (probs * logits / plain).sum(1).square()
    step = 2 * x / (0.25 + x**2) / float(variance.sum())
    assert math.log(held / plain) == pytest.approx(-step, rel=0.05)
    assert step < 0.1 / float(variance.sum()) ** 0.5  # a tenth of the standard error of log T


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
def test_logits_of_any_scale_get_their_temperature(scale):
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(500, 5, generator=draws)
    targets = torch.multinomial(torch.softmax(logits / 1.5, dim=1), 1, generator=draws)[:, 0]
    here, there = Temperature(5).fit(logits, targets), Temperature(5).fit(scale * logits, targets)
    nll = [float(F.nll_loss(c(z).log(), targets)) for c, z in ((here, logits), (there, scale * logits))]
    assert nll[1] == pytest.approx(nll[0], abs=1e-3)
    assert float(there.temperature) == pytest.approx(1.5 * scale, rel=0.1)


def test_what_the_images_do_not_say_is_said():
    """One of each kind: all right, none right, few, nothing in the logits."""
    labels, said = torch.arange(60) % 3, {}
    right, wrong = 2 * F.one_hot(labels, 3).float(), 2 * F.one_hot((labels + 1) % 3, 3).float()
    mixed = torch.where((torch.arange(60) % 4 == 0)[:, None], wrong, right)  # 45 right
    cases = {"right": right, "wrong": wrong, "few": mixed[:10], "same": torch.ones(60, 3), "mixed": mixed}
    for name, logits in cases.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calibrator = Temperature(3).fit(logits, labels[: len(logits)])
        assert [str(w.message) for w in caught] == [f"Temperature: {doubt}" for doubt in calibrator.doubts]
        said[name] = " ".join(calibrator.doubts), float(calibrator.temperature)
    assert "all 60 held-out images are right" in said["right"][0]
    assert "no higher than the others'" in said["wrong"][0]
    assert "7 of the 10 held-out images are right and 3 wrong, and one parameter wants 5 of both" in said["few"][0]
    assert "are all the same" in said["same"][0]
    assert said["same"][1] == pytest.approx(1, abs=1e-6)
    assert said["mixed"][0] == ""
    with pytest.raises(ValueError, match="strength -1"):
        Temperature(3, strength=-1)


def test_by_hand_with_weights():
    """Logits (a, 0), right with a weight of 6 and wrong with one of 2: softmax(a / T) = 3 / 4."""
    logits, weights = torch.tensor([[2.0, 0.0]] * 2), torch.tensor([6.0, 2.0])
    with pytest.warns(UserWarning, match="counted by their weights"):
        calibrator = Temperature(2, strength=0).fit(logits, torch.tensor([0, 1]), weights)
    assert float(calibrator.temperature) == pytest.approx(2 / math.log(3), rel=1e-6)


def test_a_long_tailed_part_weighed_to_balance_finds_the_balanced_world_s_temperature():
    """Class c's logits want the temperature T_c; weighed by q / pi, a part of n_c images a class has that of q.

    Unweighed it has the head's: 1.2, where the balanced part's is 1.9.
    """
    draws = torch.Generator().manual_seed(0)
    wanted = torch.tensor([1.0, 2.0, 3.0])

    def part(counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, targets = [], []
        for c, n in enumerate(counts):  # of class c the model is right by softmax(z / T_c), the rest go to the next
            z = torch.zeros(n, 3)
            z[:, c] = 3.0
            right = torch.rand(n, generator=draws) < math.exp(3 / wanted[c]) / (math.exp(3 / wanted[c]) + 2)
            logits.append(torch.where(right[:, None], z, z.roll(1, dims=1)))
            targets.append(torch.full((n,), c))
        return torch.cat(logits), torch.cat(targets)

    balanced = float(Temperature(3).fit(*part([20_000] * 3)).temperature)
    logits, targets = part([20_000, 2000, 200])
    weights = 1 / torch.bincount(targets)[targets].double()
    weighed, unweighed = (
        float(Temperature(3).fit(logits, targets, w).temperature) for w in (weights * len(targets) / 3, None)
    )
    assert weighed == pytest.approx(balanced, rel=0.08)
    assert unweighed < 0.75 * balanced
