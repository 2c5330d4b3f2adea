from lt_calib.report.names import display
from tests.conftest import CONF


def test_headers_and_words():
    assert display("mislas") == "MiSLAS"  # up to the colon
    assert display("ce") == "Cross-entropy"  # the sentence
    assert display("remix_drw") == "Remix with deferred re-weighting"  # without the reference
    assert display("cutmix_awabs") == "CutMix AWABS"  # too long a sentence: the words as it writes them
    assert (display("crt"), display("frozen_crt")) == ("cRT", "Frozen cRT")
    assert display("mine_of_no_file") == "mine_of_no_file"


def test_no_two_experiments_have_one_name():
    keys = [path.stem for path in (CONF / "experiment").glob("*.yaml")]
    assert len({display(key) for key in keys}) == len(keys) > 50
