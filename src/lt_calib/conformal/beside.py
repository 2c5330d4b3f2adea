"""Columns of a table of predictions that stand beside the probabilities: sets, and whether to accept."""

from collections import deque
from pathlib import Path
from textwrap import fill

from torch import Tensor, nn

from lt_calib.conformal.base import SetRule
from lt_calib.conformal.of_run import FITS, doubts, fit_sets, read_run
from lt_calib.conformal.risk import Accepted
from lt_calib.errors import InputError
from lt_calib.job.results import read_results
from lt_calib.predictor import Predictor

COLUMNS = 79


class Beside:
    """Further cells of each image, of its logits before the calibrator, which the classifier leaves here.

    Args:
        classifier: Whose logits they are.
        class_names: K names.
        rule: Of the sets; None makes none.
        accepted: Above which confidence a prediction is accepted; None says nothing of it.
        warnings: What speaks against the sets.
    """

    def __init__(
        self,
        classifier: nn.Module,
        class_names: list[str],
        rule: SetRule | None,
        accepted: Accepted | None,
        warnings: list[str],
    ) -> None:
        self.class_names, self.rule, self.accepted, self.warnings = class_names, rule, accepted, warnings
        self.logits: deque[Tensor] = deque()
        self.sizes: list[int] = []
        self.taken: list[bool] = []
        classifier.register_forward_hook(lambda module, given, logits: self.logits.extend(logits.detach().cpu()))

    @property
    def names(self) -> list[str]:
        """Name the columns."""
        return ["set", "set_size"] * bool(self.rule) + ["accept"] * bool(self.accepted)

    def cells(self, probs: Tensor) -> list[str | int]:
        """Make the next image's cells; images come in the order in which they were predicted."""
        logits, found = self.logits.popleft()[None], []
        if self.rule is not None:
            classes = self.rule.sets(logits)[0].nonzero()[:, 0].tolist()
            self.sizes.append(len(classes))
            found += [" ".join(self.class_names[c] for c in classes), len(classes)]
        if self.accepted is not None:
            self.taken.append(bool(self.accepted.takes(logits)[0]))
            found.append("yes" if self.taken[-1] else "no")
        return found

    def said(self) -> list[str]:
        """Say in lines what the columns hold."""
        lines = [fill(f"warning: {said}", COLUMNS) for said in self.warnings]
        if self.sizes:
            lines.append(f"In short: the sets have {sum(self.sizes) / len(self.sizes):.1f} classes on average.")
        if self.accepted is not None and self.taken:
            lines.append(
                fill(f"In short: {sum(self.taken)} of {len(self.taken)} are accepted; {self.accepted}", COLUMNS)
            )
        return lines


def beside_of(
    folder: Path, predictor: Predictor, alpha: float | None, method: str, trust: bool = False
) -> Beside | None:
    """Fit the sets that are asked for, and take the threshold that the run keeps; None where there is neither.

    Args:
        folder: The run's.
        predictor: Made of it; of its last stage.
        alpha: Share of true classes that sets may miss; None makes no sets.
        method: Kind of sets.
        trust: Whether parts from outside the package may be built to find a prior.

    Raises:
        InputError: no such kind, or nothing was held out.
    """
    rule, warnings = None, []
    if alpha is not None:
        if method not in FITS:
            raise InputError(f"--sets-by {method} is no kind of sets: there are {', '.join(FITS)}")
        results, predictions = read_run(folder)
        stage = max(predictions)
        rule = fit_sets(folder, results, predictions[stage]["val"], stage, method, alpha, trust=trust)
        warnings = doubts(results, predictions)
        if rule.fell_back:
            named = ", ".join(predictor.class_names[c] for c in rule.fell_back)
            warnings.append(f"of too few held-out images for a threshold of their own, and sharing one: {named}")
    else:
        results = read_results(folder)
    kept = results.get("accepted")
    accepted = None
    if kept is not None:
        stage = "stage2" if "stage2" in kept else "stage1"
        accepted = Accepted(kept["risk"], kept["delta"], kept[stage]["threshold"])
    if rule is None and accepted is None:
        return None
    return Beside(predictor.classifier, predictor.class_names, rule, accepted, warnings)
