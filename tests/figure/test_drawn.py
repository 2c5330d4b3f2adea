"""What is drawn, not that a file exists."""

import itertools
import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text

from lt_calib.figure.accuracy_ece import accuracy_against_ece
from lt_calib.figure.by_frequency import accuracy_by_frequency
from lt_calib.figure.class_counts import class_count_bars
from lt_calib.figure.confusion import class_confusion, confusion, group_confusion
from lt_calib.figure.grid_map import grid_map
from lt_calib.figure.groups import group_bars
from lt_calib.figure.of_run import saved
from lt_calib.figure.pictures import picture_sheet
from lt_calib.figure.reliability import group_reliability, reliability, reliability_curves
from lt_calib.figure.risk_coverage import risk_coverage_curves
from lt_calib.figure.smoothing import smoothing_curves
from lt_calib.figure.style import GROUP_COLOURS, save, style
from lt_calib.figure.training import training_curves
from lt_calib.figure.true_class import true_class_histograms
from lt_calib.metric.ece import bin_sums

Model = tuple[torch.Tensor, torch.Tensor]
GROUPS = {"head": [0, 1], "medium": [2], "tail": [3, 4]}


@pytest.fixture
def model() -> Model:
    draws = torch.Generator().manual_seed(0)
    targets = torch.arange(500) % 5
    logits = torch.eye(5)[targets] * 2 + torch.randn(500, 5, generator=draws)
    return torch.softmax(logits, dim=1), targets


def test_group_diagrams_bars_are_the_groups_accuracies(model: Model):
    probs, targets = model
    figure: Any = group_reliability(probs, targets, {**GROUPS, "tail": []}, "t")
    said = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert len(said) == 2
    assert all(re.fullmatch(r"ECE \d+\.\d\d %", text) for text in said)  # and no floor
    for i, classes in enumerate(GROUPS.values()):
        bars = [bar for bar in figure.axes[i].patches if to_hex(bar.get_facecolor()) == "#80b9d9"]
        if i == 2:
            assert not bars  # a group without a picture
            continue
        rows = torch.isin(targets, torch.tensor(classes))
        bins = bin_sums(probs[rows], targets[rows])
        wanted = (bins.correct / bins.count.clamp(min=1)).tolist()
        assert [bar.get_height() for bar in bars] == pytest.approx(wanted)


def test_an_empty_first_group_leaves_the_legend(model: Model):
    figure: Any = group_reliability(*model, {"head": [], "medium": [0, 1], "tail": [2, 3, 4]}, "t")
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "accuracy",
        "gap to confidence",
        "calibrated",
        "95 % interval",
    }


def test_ticks_of_neighbors_do_not_run_together(model: Model):
    for figure in (group_reliability(*model, GROUPS, "t"), true_class_histograms({"a": model}, GROUPS, "t")):
        figure.draw_without_rendering()
        for row in {axis.get_subplotspec().rowspan.start for axis in figure.axes}:  # type: ignore[union-attr]
            axes = [axis for axis in figure.axes if axis.get_subplotspec().rowspan.start == row]  # type: ignore[union-attr]
            labels = [label for axis in axes for label in axis.get_xticklabels() if label.get_text()]
            boxes = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in labels))
            assert all(right[0] > left[1] + 2 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("name", ["cost $a_{$ b", "_mine $x$"])
def test_names_are_plain_text_in_every_figure(model: Model, name):
    models = {name: model, "other": model}
    table = {"acc": [0.5] * 5, "confidence": [0.75] * 5}
    counts = [5000, 500, 200, 50, 10]
    rows = [{"stage": 1, "epoch": e, "lr": 0.1, "loss": 1.0} for e in (1, 2)]
    figures: list[Any] = [
        accuracy_against_ece({name: [(0.5, 0.1)], "other": [(0.6, 0.1)]}, name),
        reliability_curves(models, name),
        risk_coverage_curves(models, name),
        true_class_histograms(models, GROUPS, name),
        group_confusion(models, GROUPS, name),
        reliability(*model, name),
        group_reliability(*model, GROUPS, name),
        accuracy_by_frequency({name: table}, counts, name),
        class_count_bars(counts, GROUPS, name),
        training_curves(rows, name),
        picture_sheet(torch.rand(2, 4, 4, 3), torch.eye(2), (name, "dog"), name),
        grid_map([{"settings": {"lr": name}, "test": {"acc": 0.5}}], 0, name),
        group_bars({"stage1": {"acc_head": 0.5}}, name),
        smoothing_curves(counts, 0.4, 0.1),
    ]
    for figure in figures:
        with style():  # as save does
            figure.draw_without_rendering()
        texts = figure.findobj(Text)
        assert not any(text.get_parse_math() for text in texts if text.get_text())
        assert not any("mathdefault" in text.get_text() for text in texts)
    for figure in figures[:3]:  # with the names in a legend, also where one begins with an underscore
        assert [text.get_text().startswith(name) for text in figure.axes[0].get_legend().get_texts()] == [True, False]


def test_one_figure_that_fails_costs_itself(model: Model, tmp_path, caplog):
    good = partial(risk_coverage_curves, {"a": model}, "t")
    caplog.set_level("WARNING", "lt_calib")
    paths = saved({"bad": lambda: 1 / 0, "good": good}, tmp_path)  # type: ignore[dict-item,return-value]
    assert [path.name for path in paths] == ["good.png"]
    assert "bad is not drawn: ZeroDivisionError" in caplog.text

    def full() -> Any:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        saved({"full": full}, tmp_path)


def test_what_curves_leave_out_is_said(model: Model):
    figure: Any = reliability_curves({"a": model}, "t", 100)
    assert "100 bins; those of fewer than 20 images are not drawn" in figure.axes[0].get_xlabel()


def test_curves_of_two_models_are_their_gaps(model: Model):
    probs, targets = model
    figure: Any = reliability_curves({"a": model, "b": (probs.flip(1), targets)}, "t")
    line = figure.axes[0].get_lines()[1]
    bins = bin_sums(probs, targets)
    kept = bins.count >= 20
    assert line.get_ydata() == pytest.approx((100 * bins.gap[kept]).tolist())
    assert line.get_xdata() == pytest.approx((bins.confidence[kept] / bins.count[kept]).tolist())
    assert len(figure.axes[0].get_lines()) == 3


def test_histograms_of_the_true_class(model: Model):
    figure: Any = true_class_histograms({"stage1": model}, GROUPS, "t")
    probs, targets = model
    rows = targets < 2
    own = probs[rows, targets[rows]].numpy()
    wanted = 100 * np.histogram(own, 20, (0, 1))[0] / len(own)
    values, edges, _ = figure.axes[0].patches[0].get_data()
    assert values == pytest.approx(wanted)
    assert edges == pytest.approx(np.linspace(0, 1, 21))
    assert values.sum() == pytest.approx(100)


def test_points_by_frequency():
    table = {"acc": [0.5, None, 0.25], "confidence": [0.75, None, 0.5]}
    figure: Any = accuracy_by_frequency({"stage1": table}, [100, 10, 1], "t")
    accuracy, confidence = (c.get_offsets().data.tolist() for c in figure.axes[0].collections[1:])
    assert accuracy == [[100, 50], [1, 25]]
    assert confidence == [[100, 75], [1, 50]]


def test_class_counts_and_their_groups():
    figure: Any = class_count_bars([100, 50, 20, 5, 1], GROUPS, "t")
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [100, 50, 20, 5, 1]
    assert to_hex(bars[4].get_facecolor()) == GROUP_COLOURS["tail"].lower()
    resampled: Any = class_count_bars([100, 50, 20, 5, 1], GROUPS, "t", [100] * 5)
    outline = resampled.axes[0].patches[-1]
    assert outline.get_data().values.tolist() == [100] * 5
    assert [bar.get_height() for bar in resampled.axes[0].patches[:5]] == [100, 50, 20, 5, 1]
    assert "after resampling: 500 images" in {t.get_text() for t in resampled.axes[0].get_legend().get_texts()}


@pytest.mark.parametrize(
    "names",
    [
        ("airplane", "automobile", "bird", "cat", "deer"),
        tuple("abcde"),
        tuple(f"a long name of class {i}" for i in range(40)),
    ],
)
def test_class_names_do_not_run_together(names):
    groups = {"head": list(range(len(names))), "medium": [], "tail": []}
    figure: Any = class_count_bars([10] * len(names), groups, "t", None, names)
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    assert [label.get_text()[:17] for label in labels] == [name[:17] for name in names]
    boxes = [label.get_window_extent() for label in labels]
    turned = labels[0].get_rotation() == 45
    assert turned or all(right.x0 > left.x1 for left, right in itertools.pairwise(boxes))
    assert figure.axes[0].get_xlabel() == ""


def test_a_hundred_names_are_numbers():
    figure: Any = class_count_bars([9] * 100, {"head": list(range(100))}, "t", None, [str(c) for c in range(100)])
    assert figure.axes[0].get_xlabel() == "class"


def test_few_classes_are_named_by_frequency_and_equal_counts_share_a_place():
    table = {"acc": [0.5, 0.75, None], "confidence": [0.75, 0.75, None]}
    figure: Any = accuracy_by_frequency({"stage1": table}, [100, 100, 1], "t", ["cat", "dog", "absent"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["cat, dog"]
    many = {key: [0.5] * 13 for key in ("acc", "confidence")}
    figure = accuracy_by_frequency({"stage1": many}, [*range(1, 14)], "t", list("abcdefghijklm"))
    assert not figure.axes[0].texts


def test_training_has_one_right_axis_and_says_where_nothing_was_validated():
    rows = [
        {"stage": s, "epoch": e, "lr": 0.1 / s, "loss": 1.0, "val_acc": 0.5 if s == 1 else None}
        for s in (1, 2)
        for e in (1, 2)
    ]
    figure: Any = training_curves(rows, "t")
    figure.draw_without_rendering()
    rates = [axis for axis in figure.axes if axis.get_lines() and axis.get_lines()[0].get_label() == "learning rate"]
    assert [axis.get_ylabel() for axis in rates] == ["", "learning rate"]
    assert [axis.spines["right"].get_visible() for axis in rates] == [False, True]
    assert rates[0].get_ylim() == rates[1].get_ylim()
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["not validated in so few epochs"]


def test_smoothing_curves_end_at_their_factors():
    figure: Any = smoothing_curves([5, 100, 40], 0.4, 0.1, "linear")
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert set(lines) == {"concave", "linear (used)", "convex"}
    for line in lines.values():
        assert list(line.get_xdata()) == [5, 40, 100]
        assert line.get_ydata()[[0, -1]] == pytest.approx([0.1, 0.4])
    assert lines["concave"].get_ydata()[1] > lines["linear (used)"].get_ydata()[1] > lines["convex"].get_ydata()[1]


def test_training_curves():
    rows = [
        {"stage": s, "epoch": e, "lr": 0.1, "loss": 1 / e, "val_acc": 0.5 if e == 2 else None, "val_ece": 0.1}
        for s in (1, 2)
        for e in (1, 2, 3)
    ]
    figure: Any = training_curves(rows, "t")
    assert figure.axes[0].get_lines()[0].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
    below = next(axis for axis in figure.axes if axis.get_ylabel().startswith("validation"))
    assert [list(line.get_ydata()) for line in below.get_lines()] == [[50], [10]]


def test_risk_coverage_ends_at_the_error(model: Model):
    figure: Any = risk_coverage_curves({"a": model}, "t")
    line = figure.axes[0].get_lines()[0]
    error = 100 * float((model[0].argmax(1) != model[1]).double().mean())
    assert (line.get_xdata()[-1], line.get_ydata()[-1]) == pytest.approx((100, error))


def test_confusion_of_groups():
    probs = torch.eye(5)[torch.tensor([0, 1, 3, 2, 4, 4])]
    targets = torch.tensor([0, 0, 0, 2, 3, 4])
    shares, right = confusion(probs, targets, GROUPS)
    torch.testing.assert_close(shares, torch.tensor([[2 / 3, 0, 1 / 3], [0, 1, 0], [0, 0, 1]]).double())
    assert right.tolist() == pytest.approx([1 / 3, 1, 1 / 2])
    texts = [t.get_text() for t in group_confusion({"a": (probs, targets)}, GROUPS, "t").axes[0].texts]
    assert texts[0] == "66.7\n(33.3 right)"


def test_a_sheet_shows_the_pictures_and_their_mixed_labels():
    images = torch.rand(3, 8, 8, 3)
    targets = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    figure: Any = picture_sheet(images, targets, ("cat", "dog"), "t")
    assert np.allclose(figure.axes[1].images[0].get_array(), images[1])
    assert [axis.texts[0].get_text() for axis in figure.axes[:3]] == ["cat", "dog 0.75\ncat 0.25", "dog"]


def test_accuracy_against_ece(tmp_path):
    figure: Any = accuracy_against_ece({"a": [(0.5, 0.1), (0.6, 0.2)], "b": [(0.7, 0.05)]}, "t")
    assert figure.axes[0].collections[0].get_offsets().data.tolist() == [[50, 10], [60, 20]]
    assert [path.suffix for path in save(figure, tmp_path / "figure")] == [".png", ".svg"]


def test_by_predicted_group_the_images_are_those_that_are_predicted_so(model: Model):
    probs, targets = model
    figure: Any = group_reliability(probs, targets, GROUPS, "t", by_predicted=True)
    for axis, (name, classes) in zip(figure.axes, GROUPS.items(), strict=False):
        number = int(torch.isin(probs.argmax(1), torch.tensor(classes)).sum())
        assert axis.get_title() == f"{name}: {len(classes)} classes, {number} predicted"


def test_a_confusion_of_classes_has_their_names_and_shares(model: Model):
    probs, targets = model
    names = ["a", "b", "c", "d", "a name that is far too long"]
    figure: Any = class_confusion({"stage1": model}, names, "t")
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c", "d", "a name that i..."]
    drawn = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axis.texts}
    right = (probs.argmax(1) == targets)[targets == 0].double().mean()
    assert drawn[0, 0] == f"{100 * float(right):.0f}"
