"""The smoothing factor of each class, in its three forms."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from lt_calib.figure.style import BLUE, GREEN, ORANGE, style
from lt_calib.loss.smoothing import smoothing_factor

FORMS = {"concave": (BLUE, "-"), "linear": (GREEN, "--"), "convex": (ORANGE, "-.")}


def smoothing_curves(class_counts: Sequence[int], eps_head: float, eps_tail: float, used: str | None = None) -> Figure:
    """Draw eps_c over the training images of class c, concave, linear and convex.

    Args:
        class_counts: (K,) training images a class.
        eps_head: Of the largest class.
        eps_tail: Of the smallest class.
        used: The form that a run used, drawn thick.
    """
    order = sorted(range(len(class_counts)), key=lambda c: class_counts[c])
    counts = [class_counts[c] for c in order]
    with style():
        figure = Figure(figsize=(4.2, 2.8))
        axis = figure.subplots()
        for form, (colour, line) in FORMS.items():
            eps = smoothing_factor(class_counts, eps_head, eps_tail, form)[order].numpy()
            label = f"{form} (used)" if form == used else form
            axis.plot(counts, eps, line, color=colour, marker=".", linewidth=2.4 if form == used else 1.2, label=label)
        axis.set(xlabel="training images of the class", ylabel="smoothing factor ε of the class")
        axis.set_title(f"ε = {eps_head:g} (head), {eps_tail:g} (tail)")
        axis.legend(fontsize=8)
    return figure
