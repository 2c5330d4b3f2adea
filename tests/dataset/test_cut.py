import pytest

from lt_calib.dataset.long_tail import class_counts, wanted_counts


def test_profiles_by_hand():
    assert class_counts(100, 5, 16, "exp") == [100, 50, 25, 12, 6]  # halved: 16^(1/4) = 2
    assert class_counts(100, 5, 16, "step") == [100, 100, 100, 6, 6]
    assert class_counts(100, 4, 16, "pareto") == [100, 25, 11, 6]  # (c + 1)^-2: log 16 / log 4 = 2
    with pytest.raises(ValueError, match=r"profile=linear must be one of exp, step, pareto"):
        class_counts(100, 4, 16, "linear")


def test_natural_counts_are_kept_or_cut_as_the_profile_allows():
    assert wanted_counts([5, 400, 20, 90], None) == [5, 400, 20, 90]
    # Largest first 400, 90, 20, 5, shares 1, 5^(-1/3), 5^(-2/3), 1/5: the last class allows n_max = 25.
    assert wanted_counts([5, 400, 20, 90], 5) == [5, 25, 8, 14]
    assert wanted_counts([400, 90, 20, 5], 100) == [
        400,
        86,
        18,
        4,
    ]  # 20 / 100^(-2/3) = 430 and 90 / 100^(-1/3) = 417: 400 holds
    assert wanted_counts([400, 90, 20, 5], 1) == [5, 5, 5, 5]


def test_classes_of_about_one_size_are_cut_in_label_order():
    assert wanted_counts([110, 100, 120], 100) == class_counts(100, 3, 100) == [100, 10, 1]


def test_counts_of_ones_own():
    assert wanted_counts([400, 90, 20, 5], None, counts=[50, 50, 20, 1]) == [50, 50, 20, 1]
    for counts in ([50, 50, 20], [50, 50, 20, 6], [50, 50, 20, 0]):
        with pytest.raises(ValueError, match=r"dataset.class_counts=.* must be 4 numbers"):
            wanted_counts([400, 90, 20, 5], None, counts=counts)
