from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

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
    long = {"batch_size": 64, "max_epochs": 100, "settings": ("stage1.lr=0.02",)}
    model = fit_features(x, y, "balanced_softmax", **long)
    probs = model.predict_proba(test_x)
    assert model.classes_.tolist() == ["auk", "gull", "tern"]
    np.testing.assert_allclose(probs.sum(1), 1)
    # Its optimum is that of logistic regression, less the log prior.
    plain = LogisticRegression(C=1e6).fit(x, y)
    scores = plain.decision_function(test_x) - np.log([20, 600, 60])
    balanced = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.abs(probs - balanced).mean() < 0.04  # what SGD and its weight decay leave
    assert np.abs(plain.predict_proba(test_x) - balanced).mean() > 0.1
    assert np.mean(model.predict(test_x) == test_y) > 0.8


def test_the_same_seed_gives_the_same_numbers():
    x, y = drawn((40, 10, 5))
    one, same, other = (fit_features(x, y, seed=seed, max_epochs=5).predict_proba(x) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_settings_are_those_of_the_command_line():
    x, y = drawn((40, 10, 5))
    with pytest.raises(InputError, match=r"stage1\.max_epoch"):
        fit_features(x, y, settings=("+stage1.max_epoch=3",))
    untrained = fit_features(x, y, "balanced_softmax", settings=("stage1.lr=1e-8",)).predict_proba(x)
    np.testing.assert_allclose(untrained, 1 / 3, atol=1e-3)


def test_it_is_calibrated_on_rows_that_are_held_out_in_turn():
    x, y = drawn((90, 40, 12))
    settings = ("stage2.loss.eps_head=0.5", "stage2.loss.eps_tail=0.5")  # not sure enough
    plain = fit_features(x, y, max_epochs=5, settings=settings)
    fitted = fit_features(x, y, max_epochs=5, settings=(*settings, "cross_fit=2", "posthoc=temperature"))
    assert plain.predictor_ is not None
    assert fitted.predictor_ is not None
    assert plain.predictor_.calibrator is None
    temperature: Any = fitted.predictor_.calibrator
    assert 0 < float(temperature.temperature) < 0.9
    before, after = (model.predict_proba(x).max(1).mean() for model in (plain, fitted))
    assert after > before + 0.05
    for alone in ("cross_fit=3", "+grid.eps_head=[0.1]"):
        with pytest.raises(InputError, match="GridSearchCV"):
            fit_features(x, y, settings=(alone,))
    with pytest.raises(InputError, match="none are held out"):
        fit_features(x, y, settings=("posthoc=temperature",))


@pytest.mark.slow
@parametrize_with_checks([LongTailedClassifier("balanced_softmax")])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
