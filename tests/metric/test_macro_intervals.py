"""Intervals of means over classes."""

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from lt_calib.measure.macro_intervals import OF, macro_intervals


def sample(n: int, draws: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    logits = 1.5 * torch.randn(n, 3, generator=draws) + torch.tensor([1.0, 0.0, -1.0])
    return torch.softmax(logits, 1), torch.multinomial(torch.softmax(logits, 1), 1, generator=draws)[:, 0]


def test_a_resample_is_measured_as_the_images_that_it_draws_would_be():
    """The slow twin: each resample's images repeated, by scikit-learn."""
    draws = torch.Generator().manual_seed(0)
    probs, targets = sample(60, draws)
    counts = torch.randint(0, 4, (5, 60), generator=draws).float()
    for row in counts:
        rows = torch.arange(60).repeat_interleave(row.long())
        y, p = targets[rows], probs[rows]
        each = {
            "acc_balanced": recall_score(y, p.argmax(1), average=None),  # type: ignore[arg-type]
            "precision_macro": precision_score(y, p.argmax(1), average=None, zero_division=0),  # type: ignore[arg-type]
            "f1_macro": f1_score(y, p.argmax(1), average=None),  # type: ignore[arg-type]
            "auroc_macro": [roc_auc_score(y == c, p[:, c]) for c in range(3)],
            "ap_macro": [average_precision_score(y == c, p[:, c]) for c in range(3)],
        }
        for name, wanted in each.items():
            found = OF[name](row[None], probs, targets)[0].double()
            # Repeated images are ties: scikit-learn counts them together, here one comes before the other.
            within = 0.05 if name == "ap_macro" else 1e-6
            torch.testing.assert_close(found, torch.tensor(wanted).double(), atol=within, rtol=0)


def test_a_class_without_an_image_is_left_out():
    probs, targets = torch.eye(3)[[0, 1, 0, 1]], torch.tensor([0, 1, 1, 0])
    found = macro_intervals(probs, targets, ["acc_balanced", "f1_macro", "nll"])
    assert set(found) == {"acc_balanced", "f1_macro"}
    assert all(0 <= low <= high <= 1 for low, high in found.values())


@pytest.mark.slow
def test_coverage_in_simulation():
    """Of 300 test sets of 300 images, 95 +- 4 % of the intervals hold the truth."""
    draws = torch.Generator().manual_seed(0)
    probs, targets = sample(200_000, draws)
    one = torch.ones(1, len(targets))
    truth = {name: float(of(one, probs, targets).double().nanmean()) for name, of in OF.items()}
    inside = dict.fromkeys(OF, 0)
    for _ in range(300):
        for name, (low, high) in macro_intervals(*sample(300, draws), OF, 200).items():
            inside[name] += low <= truth[name] <= high
    assert all(abs(count / 300 - 0.95) <= 0.04 for count in inside.values()), inside
