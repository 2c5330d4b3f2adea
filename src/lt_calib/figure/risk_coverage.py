"""Risk-coverage curves."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from lt_calib.figure.style import COLOURS, style
from lt_calib.metric.aurc import area_under_risk_coverage, risk_coverage


def risk_coverage_curves(models: Mapping[str, tuple[Tensor, Tensor]], title: str) -> Figure:
    """Draw the error of the most confident images over their share; the lower, the better errors are told apart.

    Args:
        models: Name -> (probs (N, K), targets (N,)).
        title: Above.
    """
    with style():
        figure = Figure(figsize=(4.4, 3.2))
        axis = figure.subplots()
        handles, labels = [], []
        for i, (name, (probs, targets)) in enumerate(models.items()):
            curve = risk_coverage(probs, targets)
            area = 100 * float(area_under_risk_coverage(probs, targets))
            (line,) = axis.plot(
                100 * curve.coverage.numpy(),
                100 * curve.risk.numpy(),
                color=COLOURS[i % len(COLOURS)],
                linestyle=("-", "--", "-.", ":")[i % 4],
            )
            handles.append(line)
            labels.append(f"{name} (AURC {area:.2f} %)")
        axis.set(xlabel="coverage: the most confident images (%)", ylabel="risk: wrong of them (%)", title=title)
        axis.set(xlim=(0, 100), ylim=(0, None))
        axis.legend(handles, labels, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
