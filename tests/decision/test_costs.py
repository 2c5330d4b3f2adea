import numpy as np
import pytest
import torch
from torch import nn

from lt_calib.decision.cheapest import cheapest_of
from lt_calib.decision.costs import expected_costs, read_costs, saving
from lt_calib.errors import InputError
from lt_calib.predictor import Predictor

NAMES = ["benign", "malignant"]
TABLE = "true,malignant,benign\nbenign,1,0\nmalignant,0,20\n"


def test_by_hand(tmp_path):
    (tmp_path / "costs.csv").write_text(TABLE)
    costs = read_costs(tmp_path / "costs.csv", NAMES)
    assert costs.tolist() == [[0, 1], [20, 0]]
    probs = torch.tensor([[0.9, 0.1], [0.97, 0.03]])
    expected = torch.tensor([[0.1 * 20, 0.9 * 1], [0.03 * 20, 0.97 * 1]], dtype=torch.float64)
    torch.testing.assert_close(expected_costs(probs, costs), expected, rtol=1e-6, atol=1e-6)
    assert expected_costs(probs, costs).argmin(1).tolist() == [1, 0]
    # most probable: benign twice, which misses the malignant one; by cost: malignant, benign
    assert saving(probs, torch.tensor([1, 0]), costs) == (10.0, 0.0)
    assert saving(probs, torch.tensor([0, 0]), costs) == (0.0, 0.5)


def test_equal_costs_of_mistakes_take_the_most_probable_class():
    probs = torch.softmax(torch.randn(50, 5, generator=torch.Generator().manual_seed(0)), 1)
    assert expected_costs(probs, 1 - torch.eye(5).double()).argmin(1).equal(probs.argmax(1))


def test_expected_costs_are_what_decisions_cost_where_the_probabilities_are_right():
    generator = torch.Generator().manual_seed(0)
    probs = torch.softmax(2 * torch.randn(20000, 3, generator=generator), 1)
    targets = torch.multinomial(probs, 1, generator=generator)[:, 0]
    costs = torch.tensor([[0.0, 1, 5], [2, 0, 1], [30, 3, 0]], dtype=torch.float64)
    plain, least = saving(probs, targets, costs)
    assert least == pytest.approx(float(expected_costs(probs, costs).min(1).values.mean()), abs=0.03)
    assert least < 0.8 * plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TABLE.replace("benign,1,0", "benign,1"), "the line of 'benign' has 1 costs for 2 classes"),
        (TABLE.replace("20", "much"), "'malignant' taken for 'benign' costs 'much'"),
        (TABLE.replace("20", "inf"), "'malignant' taken for 'benign' costs 'inf'"),
        (TABLE.replace("true,malignant", "true,other"), "its head must name each .* 'other'"),
        (TABLE + "benign,1,0\n", "its lines must name each of the 2 classes"),
        ("", "its head must name each"),
    ],
)
def test_bad_tables(tmp_path, text, said):
    (tmp_path / "costs.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_costs(tmp_path / "costs.csv", NAMES)
    with pytest.raises(InputError, match="cannot be read"):
        read_costs(tmp_path / "none.csv", NAMES)


def test_the_cells_of_an_image_and_what_is_saved_on_the_test_set(tmp_path):
    (tmp_path / "costs.csv").write_text(TABLE)
    logits = np.log([[0.9, 0.1], [0.97, 0.03]]).astype(np.float32)
    np.savez(tmp_path / "predictions.npz", stage1_test_logits=logits, test_targets=np.array([1, 0]))
    predictor = Predictor(nn.Identity(), nn.Identity(), None, [0.0], [1.0], (2,))
    predictor.class_names = NAMES
    cheapest = cheapest_of(tmp_path, predictor, tmp_path / "costs.csv")
    assert cheapest.tested == (10.0, 0.0)
    assert cheapest.cells(torch.tensor([0.9, 0.1])) == ["malignant", pytest.approx(0.9)]
    assert cheapest.cells(torch.tensor([0.97, 0.03])) == ["benign", pytest.approx(0.6)]
    assert all(len(line) < 80 for said in cheapest.said() for line in said.splitlines())
