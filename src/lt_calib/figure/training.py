"""Training curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lt_calib.figure.style import BLUE, GREEN, GREY, RED, style

VALIDATED = (("val_acc", GREEN, "accuracy"), ("val_ece", RED, "ECE"))


def training_curves(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw loss and learning rate of every epoch, stage beside stage.

    Below are the validation part's accuracy and ECE, those of them that the rows have.

    Args:
        rows: Of history.csv: ``{"stage", "epoch", "lr", "loss", "val_acc", "val_ece", ...}``.
        title: Above all.
    """
    stages = sorted({row["stage"] for row in rows})
    shown = [about for about in VALIDATED if any(row.get(about[0]) is not None for row in rows)]
    validated = bool(shown)
    with style():
        figure = Figure(figsize=(3.6 * max(1, len(stages)), 4.4 if validated else 2.6))
        axes = figure.subplots(2 if validated else 1, max(1, len(stages)), squeeze=False)
        for column, stage in enumerate(stages):
            mine = [row for row in rows if row["stage"] == stage]
            epochs = [row["epoch"] for row in mine]
            above = axes[0, column]
            marker = "." if len(epochs) <= 50 else ""  # more of them would hide the line
            above.plot(epochs, [row["loss"] for row in mine], color=BLUE, marker=marker, label="training loss")
            above.set_title(f"stage {stage}", fontsize=9)
            above.xaxis.set_major_locator(MaxNLocator(integer=True))
            rate = above.twinx()
            rate.plot(epochs, [row["lr"] for row in mine], color=GREY, linestyle=":", label="learning rate")
            rate.set_ylim(0, 1.05 * max([row["lr"] for row in rows], default=1.0) or 1.0)
            last = column == len(stages) - 1  # one right axis for all stages
            rate.spines["right"].set_visible(last)
            rate.tick_params(right=last, labelright=last)
            if column == 0:
                above.set_ylabel("loss (nats)")
                handles = above.get_lines() + rate.get_lines()
                labels = [str(h.get_label()) for h in handles]
                # Below all: within the axes it would lie on one line or the other, as the schedule is.
                figure.legend(handles, labels, fontsize=7, ncol=2, loc="upper center", bbox_to_anchor=(0.5, -0.02))
            if last:
                rate.set_ylabel("learning rate")
            if validated:
                below = axes[1, column]
                seen = [row for row in mine if all(row.get(key) is not None for key, *_ in shown)]
                for key, colour, label in shown:
                    values = [100 * row[key] for row in seen]
                    below.plot([row["epoch"] for row in seen], values, color=colour, marker=".", label=label)
                if not seen:
                    below.text(0.5, 0.5, "not validated in so few epochs", ha="center", transform=below.transAxes)
                below.set(xlim=above.get_xlim(), ylim=(0, 100))
                below.xaxis.set_major_locator(MaxNLocator(integer=True))
                if column == 0:
                    below.set_ylabel("validation part (%)")
                    below.legend(fontsize=7)
            axes[-1, column].set_xlabel("epoch")
        figure.suptitle(title, fontsize=10, y=1.04)
        figure.subplots_adjust(wspace=0.45)
    return figure
