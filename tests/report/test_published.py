from lt_calib.report.published import Published, once, published, published_rows


def one(source: str, acc: float | None, ece: float | None = None, note: str = "") -> Published:
    return Published(source, acc, ece, None, None, None, note)


def test_equal_numbers_of_several_sources_are_one():
    known = [one("a", 47.0, 4.83), one("b", 47.0), one("c", 47.0, 4.9, "rounded"), one("d", 47.0, 4.83, "twice")]
    assert once(known) == (one("a, b, d", 47.0, 4.83, "twice"), one("c", 47.0, 4.9, "rounded"))
    assert once([one("a", 47.0), one("b", 47.0, 4.83)]) == (one("a, b", 47.0, 4.83),)
    assert once([one("a", 47.0, 4.8), one("b", 47.1, 4.8)]) == (one("a", 47.0, 4.8), one("b", 47.1, 4.8))


def test_what_is_looked_up_is_told_once():
    key = ("mislas", "cifar100_lt", 100.0, "stage2")
    assert len(published_rows()[key]) == 4
    (known,) = published("mislas", "cifar100_lt", 100, "stage2")
    assert known[:3] == ("4.7, 4.1, 4.8, MiSLAS README", 47.0, 4.83)
