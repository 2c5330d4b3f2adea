from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from lt_calib import LongTailedClassifier, fit_features
from lt_calib.errors import InputError

RNG = np.random.default_rng(0)
CENTERS = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])


def drawn(counts, rng=RNG):
    y = np.repeat(np.arange(3), counts)
    return CENTERS[y] + rng.normal(size=(len(y), 2)), np.array(["gull", "tern", "auk"])[y]


def test_it_is_calibrated_for_a_balanced_world():
    x, y = drawn((600, 60, 20))
    test_x, test_y = drawn((400, 400, 400))
    model = fit_features(x, y, "balanced_softmax")
    probs = model.predict_proba(test_x)
    assert model.classes_.tolist() == ["auk", "gull", "tern"]
    np.testing.assert_allclose(probs.sum(1), 1)
    # Of three Gaussians with unit variance and equal priors the posterior is known.
    squares = ((test_x[:, None] - CENTERS[[2, 0, 1]]) ** 2).sum(2)
    exact = np.exp(-squares / 2) / np.exp(-squares / 2).sum(1, keepdims=True)
    assert np.abs(probs - exact).mean() < 0.05
    best = np.mean(model.classes_[exact.argmax(1)] == test_y)
    assert np.mean(model.predict(test_x) == test_y) > best - 0.03
    plain = fit_features(x, y, "ce").predict_proba(test_x)
    assert np.abs(plain - exact).mean() > 2 * np.abs(probs - exact).mean()


def test_the_same_seed_gives_the_same_numbers():
    x, y = drawn((40, 10, 5))
    one, same, other = (fit_features(x, y, seed=seed).predict_proba(x) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_settings_are_those_of_the_command_line():
    x, y = drawn((40, 10, 5))
    with pytest.raises(InputError, match=r"stage1\.max_epoch"):
        fit_features(x, y, settings=("+stage1.max_epoch=3",))
    untrained = fit_features(x, y, "balanced_softmax", settings=("stage1.lr=1e-9",)).predict_proba(x)
    np.testing.assert_allclose(untrained, 1 / 3, atol=1e-4)


@pytest.mark.slow
def test_scikit_learns_own_checks():
    model = LongTailedClassifier("balanced_softmax")
    checks: Any = estimator_checks_generator(model)
    for estimator, check in checks:
        check(estimator)
