import random

import numpy as np
import pytest
import torch

from lt_calib.dataset.long_tail import class_counts, factor_shown, groups, select_indices, split_indices

TOTALS = [
    (10, 5000, {200: 11203, 100: 12406, 50: 13996, 10: 20431}),
    (100, 500, {200: 9502, 100: 10847, 50: 12608, 10: 19573}),
]


@pytest.mark.parametrize(("k", "n_max", "totals"), TOTALS)
def test_published_totals(k, n_max, totals):
    for factor, total in totals.items():
        counts = class_counts(n_max, k, factor)
        assert sum(counts) == total
        assert counts[0] == n_max
        assert counts == sorted(counts, reverse=True)


def test_cifar10_if100_by_hand():
    assert class_counts(5000, 10, 100) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_limits():
    assert class_counts(7, 3, 1) == [7, 7, 7]
    assert class_counts(8, 1, 5) == [8]
    assert class_counts(4, 2, 4) == [4, 1]


@pytest.mark.parametrize("factor", [0.5, 0.0, -1, float("nan"), float("inf")])
def test_factor_out_of_range(factor):
    with pytest.raises(ValueError, match=r"imbalance factor .* >= 1"):
        class_counts(100, 10, factor)


@pytest.mark.parametrize(("n_max", "factor", "empty", "largest", "least"), [
    (124, 1000, 7, 124, 1000),
    (49, 49, 9, 48, 50),  # int(49 * 49^-1) = int(0.999...) = 0
    (48, 49, 9, 48, 50),
    (99, 99.5, 9, 99, 100),
])  # fmt: skip
def test_a_factor_that_leaves_a_class_empty_says_how_many_images_it_needs(n_max, factor, empty, largest, least):
    with pytest.raises(
        ValueError, match=rf"class {empty} without an image.*n_max = {n_max},.*<= {largest}, or n_max >= {least}$"
    ):
        class_counts(n_max, 10, factor)
    assert min(class_counts(least, 10, factor)) == min(class_counts(n_max, 10, largest)) == 1
    with pytest.raises(ValueError, match="without an image"):
        class_counts(least - 1, 10, factor)


def legacy(targets, counts):
    """The draw of the field's code, from its description: one RandomState(0), classes in order."""
    rng, chosen = np.random.RandomState(0), []
    for c, n in enumerate(counts):
        idx = np.where(np.array(targets) == c)[0]
        rng.shuffle(idx)
        chosen.extend(idx[:n])
    return np.array(chosen)


def test_select_indices_is_the_legacy_draw():
    targets = np.random.RandomState(3).randint(5, size=400).tolist()
    counts = class_counts(min(np.bincount(targets)), 5, 8)
    assert np.array_equal(select_indices(targets, counts), legacy(targets, counts))


def test_larger_factors_are_subsets():
    targets = np.repeat(np.arange(10), 500)
    few, many = (set(select_indices(targets, class_counts(500, 10, f)).tolist()) for f in (100, 10))
    assert few < many


def test_global_states_are_left_alone():
    np.random.seed(1)
    torch.manual_seed(1)
    random.seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone(), random.getstate()  # type: ignore[index]
    select_indices(np.repeat(np.arange(3), 20), [20, 10, 5])
    assert np.array_equal(np.random.get_state()[1], before[0])  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]


def test_validation_part_is_balanced_disjoint_and_the_same_at_every_factor():
    targets = np.repeat(np.arange(10), 50)
    parts = [split_indices(targets, class_counts(50, 10, f), val_per_class=8) for f in (1, 10, 50)]
    for train, val in parts:
        assert np.array_equal(np.bincount(targets[val]), np.full(10, 8))
        assert not set(train.tolist()) & set(val.tolist())
        assert np.array_equal(val, parts[0][1])
    counts = np.bincount(targets[parts[1][0]])
    wanted = np.minimum(class_counts(50, 10, 10), 42)
    assert np.array_equal(counts, wanted)
    assert counts[0] == 42
    assert counts[-1] == 5


def test_split_that_cannot_be():
    targets = [0] * 10 + [1] * 3
    with pytest.raises(ValueError, match="class 1 has 3 pictures, 5 were asked for"):
        split_indices(targets, [10, 5])
    with pytest.raises(ValueError, match=r"val_per_class 3 .* class 1"):
        split_indices(targets, [10, 2], val_per_class=3)


def test_groups():
    counts = class_counts(500, 100, 100)
    published = groups(counts, [36, 71])
    assert [len(v) for v in published.values()] == [36, 35, 29]
    assert published["medium"][0] == 36
    assert [len(v) for v in groups(counts, "thirty_forty_thirty").values()] == [30, 40, 30]
    by_count = groups([101, 100, 20, 19], "by_count")
    assert by_count == {"head": [0], "medium": [1, 2], "tail": [3]}
    assert groups([50, 50], "by_count") == {"head": [], "medium": [0, 1], "tail": []}
    for rule in ("thirds", [5, 3], [0, 101], [1]):
        with pytest.raises(ValueError, match="groups"):
            groups(counts, rule)


def test_validation_leaves_the_published_draw_and_takes_the_end_of_the_shuffle():
    targets, v = np.repeat(np.arange(10), 50), 8
    counts = class_counts(50, 10, 10)
    train, val = split_indices(targets, counts, val_per_class=v)
    draws = np.random.RandomState(0)
    for c, n in enumerate(counts):
        indices = np.flatnonzero(targets == c)
        draws.shuffle(indices)
        assert np.array_equal(train[targets[train] == c], indices[: min(n, 50 - v)])
        assert np.array_equal(val[targets[val] == c], indices[-v:])


@pytest.mark.parametrize(
    "rule", [[3.0, 7.0], [7, 3], [-1, 7], [3, 100], ["3", "7"], ["3"], [3], [3, 7, 9], [True, 7], 3, None, "halves"]
)
def test_what_are_no_groups_is_said_by_the_settings_name(rule):
    with pytest.raises(ValueError, match=r"dataset\.groups .* two boundaries \[a, b\], whole numbers .* <= 10"):
        groups([10] * 10, rule)


def test_boundaries_may_be_numpys_and_leave_a_group_empty():
    assert groups([10] * 4, np.array([0, 3]).tolist()) == groups([10] * 4, list(np.array([0, 3])))
    assert groups([10] * 4, [0, 3]) == {"head": [], "medium": [0, 1, 2], "tail": [3]}


def test_a_factor_is_shown_beside_the_one_asked_for_where_they_differ():
    assert factor_shown(10) == factor_shown(10, 10.0) == "10"
    assert factor_shown(10, 33 / 26) == "10 (is 1.3)"
    assert factor_shown(100, 96.0) == "100 (is 96)"
