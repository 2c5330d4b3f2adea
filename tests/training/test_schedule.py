import pytest

from lt_calib.training.schedule import cosine, warmup_multistep

PUBLISHED = {"warmup": 0.025, "milestones": [0.8, 0.9], "gamma": 0.1}


def test_published_200_epochs():
    factors = [warmup_multistep(e, 200, **PUBLISHED) for e in range(200)]
    assert factors[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert factors[159:162] == pytest.approx([1, 0.1, 0.1])
    assert factors[179:181] == pytest.approx([0.1, 0.01])


@pytest.mark.parametrize("epochs", [10, 20, 40, 100])
def test_shorter_runs_shrink_in_proportion(epochs):
    factors = [warmup_multistep(e, epochs, **PUBLISHED) for e in range(epochs)]
    assert factors[round(0.8 * epochs) - 1] == pytest.approx(1)
    assert factors[round(0.8 * epochs)] == pytest.approx(0.1)
    assert factors[round(0.9 * epochs)] == pytest.approx(0.01)
    assert factors[0] == pytest.approx(min(1, 1 / (0.025 * epochs)))


def test_a_warm_up_from_a_third():
    factors = [warmup_multistep(e, 200, warmup=0.025, milestones=[0.6], gamma=0.01, start=1 / 3) for e in range(121)]
    assert factors[:6] == pytest.approx([7 / 15, 9 / 15, 11 / 15, 13 / 15, 1, 1])  # 1/3 + 2/3 * 1/5 = 7/15
    assert factors[120] == pytest.approx(0.01)


@pytest.mark.parametrize(
    "change", [{"milestones": [160, 180]}, {"warmup": 5}, {"gamma": 0.0}, {"start": -0.1}], ids=lambda c: str(c)
)
def test_epochs_in_the_place_of_fractions_are_refused(change):
    with pytest.raises(ValueError, match="fractions of the epochs"):
        warmup_multistep(0, 200, **(PUBLISHED | change))


def test_cosine():
    assert cosine(0, 10) == 1
    assert cosine(5, 10) == pytest.approx(0.5)
    assert cosine(10, 10) == pytest.approx(0)
