import pytest
import torch

from lt_calib.errors import InputError
from lt_calib.prior.named import prior_of

COUNTS, NAMES = [10, 40, 20], ["owl", "cat", "emu"]


def test_names_by_hand():
    """Cat 40, emu 20, owl 10: forward4 gives them 4 : 2 : 1."""
    found = {name: (7 * prior_of(name, COUNTS, NAMES)).tolist() for name in ("train", "forward4", "backward4")}
    assert found["train"] == pytest.approx([1, 4, 2])
    assert found["forward4"] == pytest.approx([1, 4, 2])
    assert found["backward4"] == pytest.approx([4, 1, 2])
    assert prior_of("uniform", COUNTS, NAMES).tolist() == prior_of("forward1", COUNTS, NAMES).tolist() == [1 / 3] * 3
    assert prior_of([2, 1, 1], COUNTS, NAMES).tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert prior_of("forward50", [5, 5, 5], NAMES).argmax() == 0


@pytest.mark.parametrize(
    "text", ["class,count\nemu,1\nowl,1\ncat,2\n", "1,0.50\n2,.25\n0,25e-2\n", "cat, 2\nemu,1\nowl,1"]
)
def test_a_file_of_names_or_numbers_in_any_order(tmp_path, text):
    (tmp_path / "c.csv").write_text(text)
    assert prior_of(str(tmp_path / "c.csv"), COUNTS, NAMES).tolist() == pytest.approx([0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("owl,1\ncat,0\nemu,1", "'cat' has 0"),
        ("owl,1\ncat,-3\nemu,1", "'cat' has -3"),
        ("owl,nan\ncat,1\nemu,1", "'owl' has nan"),
        ("owl,inf\ncat,1\nemu,1", "'owl' has inf"),
        ("owl,1\ncat,1", "'emu' is missing"),
        ("owl,1\ncat,1\nemu,1\ndog,1", "'dog' is no class"),
        ("owl,1\ncat,1\nemu,1\nowl,1", "'owl' is there twice"),
        ("0,1\n1,1\n3,1", "'3' is no class"),
        ("owl,1\ncat,many\nemu,1", "'cat,many' must be class,count"),
        ("owl,1,2\n", "must be class,count"),
        ("", "'owl' is missing"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, text, said):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        prior_of(str(tmp_path / "c.csv"), COUNTS, NAMES)


@pytest.mark.parametrize("asked", ["forward", "forward0.5", "sideways50", "nowhere.csv", [1, 2], [1, 0, 1], ""])
def test_other_priors_are_refused(asked):
    with pytest.raises(InputError):
        prior_of(asked, COUNTS, NAMES)


def test_a_tensor_is_a_prior():
    assert prior_of(torch.tensor([2.0, 1.0, 1.0]), COUNTS, NAMES).tolist() == [0.5, 0.25, 0.25]
