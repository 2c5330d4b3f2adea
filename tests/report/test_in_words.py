from lt_calib.report.in_words import in_words
from lt_calib.report.rows import summarise
from tests.report.test_tables import run, several


def test_the_most_accurate_and_the_lowest_ece_are_named(tmp_path):
    one, other = run(tmp_path, "mislas", 3.0), run(tmp_path, "ce", 1.0, noise=1)
    one["stage1"]["test"] |= {"acc": 0.8, "ece": 0.05}
    other["stage1"]["test"] |= {"acc": 0.7, "ece": 0.01}
    said = in_words(summarise([one, other]))
    assert said.startswith("MiSLAS, stage 1 is right most often, 80.00 %")
    assert "ECE of 5.00 %, above the 1.7 %" in said
    assert "Cross-entropy, stage 1 has the lowest ECE, 1.00 %, no more than the 1.7 %" in said
    assert "one seed" in said


def test_beyond_noise_is_said_where_it_is(tmp_path):
    good, bad = several(tmp_path, "good", 3.0), several(tmp_path, "bad", 1.0, noise=1)
    assert "(beyond noise)" in in_words(summarise([*good, *bad]))


def test_what_was_not_measured_is_not_told(tmp_path):
    one = run(tmp_path, "ce", 2.0)
    del one["stage1"]["test"]["ece"]
    assert in_words(summarise([one])) == ""
