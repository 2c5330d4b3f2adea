import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from lt_calib.posthoc.isotonic import Isotonic


def sample(confident: float, n: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of which four fifths are right; the logit of the predicted class is ``confident`` higher."""
    draws = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, 3, generator=draws)
    predicted = logits.argmax(dim=1)
    logits[torch.arange(n), predicted] += confident
    wrong = torch.rand(n, generator=draws) < 0.2
    return logits, torch.where(wrong, (predicted + 1) % 3, predicted)


# 6: most predictions are surer than 0.998, the steps between them are all that tells right from wrong.
@pytest.mark.parametrize("confident", [0.0, 6.0])
def test_scikit_learns_curves_row_by_row(confident):
    logits, targets = sample(confident)
    probs = torch.softmax(logits.double(), dim=1).numpy()
    columns = []
    for c in range(3):
        curve = IsotonicRegression(y_min=1 / 800, y_max=1 - 1 / 800, out_of_bounds="clip")
        columns.append(curve.fit(probs[:, c], targets.numpy() == c).predict(probs[:, c]))
    wanted = np.stack(columns, axis=1)
    wanted /= wanted.sum(axis=1, keepdims=True)
    got = Isotonic(3, strength=0).fit(logits, targets)(logits).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


def test_what_lies_outside_of_the_pictures_it_was_fitted_on_takes_the_last_value():
    logits, targets = sample(0.0)
    fitted = Isotonic(3).fit(logits, targets)
    beyond = fitted(torch.tensor([[60.0, 0.0, 0.0]]))
    assert torch.equal(beyond, fitted(torch.tensor([[90.0, 0.0, 0.0]])))
    assert float(beyond.max()) < 1


def test_a_fresh_one_takes_the_knots_of_another():
    logits, targets = sample(6.0)
    fitted, fresh = Isotonic(3).fit(logits, targets), Isotonic(3)
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh(logits), fitted(logits))
    with pytest.raises(RuntimeError, match="size mismatch"):
        Isotonic(4).load_state_dict(fitted.state_dict())


def test_no_probability_is_zero():
    logits = 10 * torch.eye(3)[torch.arange(30) % 3]
    probs = Isotonic(3, strength=0).fit(logits, torch.arange(30) % 3)(logits)
    assert float(probs.min()) == pytest.approx((1 / 60) / (59 / 60 + 2 / 60), rel=1e-3)


def test_the_probability_itself_weighs_as_images_do():
    """N = 2, K = 2, strength 5: (2 curve + 10 p) / 12. p_0 = 0.8 of label 1 and 0.6 of label 0 make both curves 1/2."""
    fitted = Isotonic(2).fit(torch.tensor([[4.0, 1.0], [3.0, 2.0]]).log(), torch.tensor([1, 0]))
    for p in (0.8, 0.3, 0.999):
        found = (1 + 10 * torch.tensor([p, 1 - p])) / 12  # sums to 1
        torch.testing.assert_close(fitted(torch.tensor([[p, 1 - p]]).log())[0], found)


def test_a_class_without_an_image_keeps_its_probability():
    fitted = Isotonic(3).fit(torch.randn(20, 3), torch.zeros(20, dtype=torch.long))
    logits = torch.randn(5, 3)
    torch.testing.assert_close(fitted(logits), torch.softmax(logits, dim=1))
