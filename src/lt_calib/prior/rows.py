"""Predictions of files at another prior than the run's own."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import fill

import torch
from torch import Tensor

from lt_calib.job.results import read_predictions, write_rows
from lt_calib.predictor import Predictor
from lt_calib.prior.estimate import Estimate, doubts_of_bbse, doubts_of_em, estimate_bbse, estimate_em
from lt_calib.prior.named import prior_of
from lt_calib.prior.reweigh import reweighed

COLUMNS = 79
MOST_SHOWN = 10  # classes in the table
Rows = Iterable[tuple[str, Tensor]]


def at_prior(
    found: Rows, predictor: Predictor, asked: str, run: Path | None, table: Path
) -> tuple[Iterator[tuple[str, Tensor]], str]:
    """Re-weigh rows to a prior; say from what to what, and of an estimate all that it says.

    Args:
        found: Name and probabilities (K,) of each image; an estimate reads all of them first.
        predictor: Whose they are.
        asked: ``"estimate"``, or what :func:`lt_calib.prior.named.prior_of` takes.
        run: The run's folder; its held-out part says how far an estimate can be trusted.
        table: Where an estimate is written, a line for each class.

    Raises:
        InputError: no such prior, or the run's own is not known.
    """
    own, names = predictor.own_prior(), predictor.class_names
    if asked != "estimate":
        q = prior_of(asked, predictor.class_counts, names)
        rows = ((name, reweighed(p[None], q, own.prior)[0]) for name, p in found)
        said = f"In short: probabilities are re-weighed to the prior {asked}; the run's own are for {own}."
        return rows, fill(said, COLUMNS)
    kept = list(found)
    if not kept:
        return iter(kept), ""
    probs = torch.stack([p for _, p in kept])
    q, lines = estimated(probs, own.prior, *held_out(predictor, run), names, table)
    adjusted = reweighed(probs, q, own.prior)
    changed = int((adjusted.argmax(1) != probs.argmax(1)).sum())
    top = int(q.argmax())
    lines += [
        f"probabilities re-weighed to the EM estimate; the run's own are for {own}",
        f"In short: {100 * float(q[top]):.0f} % of the {len(probs)} images look like {names[top]}, the most frequent "
        f"class; with the classes' frequencies in mind {changed} of them are named otherwise.",
    ]
    text = "\n".join(line if len(line) <= COLUMNS else fill(line, COLUMNS, break_long_words=False) for line in lines)
    return iter([(name, p) for (name, _), p in zip(kept, adjusted, strict=True)]), text


def held_out(predictor: Predictor, run: Path | None) -> tuple[Tensor | None, Tensor | None]:
    """Return probabilities (M, K) and labels (M,) of the held-out part; None where there is none."""
    path = run / "predictions.npz" if run is not None else None
    stages = read_predictions(path) if path is not None and path.is_file() else {}
    splits = stages[max(stages)] if stages else {}
    if "val" not in splits:
        return None, None
    logits, targets = splits["val"]
    calibrator = predictor.calibrator
    return (torch.softmax(logits, dim=1) if calibrator is None else calibrator(logits)), targets


def estimated(
    probs: Tensor, own: Tensor, val: Tensor | None, labels: Tensor | None, names: list[str], table: Path
) -> tuple[Tensor, list[str]]:
    """Estimate the prior of images without labels, and say it in lines of at most 80 letters.

    No class is taken to be rarer than half an image: N images cannot tell a rarer one from none.

    Args:
        probs: (N, K) float, for the prior ``own``.
        own: r (K,) float64.
        val: (M, K) float, of the held-out part; None where there is none, and then no BBSE.
        labels: (M,) int64, its labels.
        names: Of the classes.
        table: Where a line for each class goes, as a CSV.

    Returns:
        q (K,) float64 of EM, and the lines.
    """
    k, by_em = probs.shape[1], estimate_em(probs, own)
    doubts = [f"EM: {said}" for said in doubts_of_em(probs, own, val, labels)]
    by_bbse = None
    if val is not None and labels is not None:
        by_bbse = estimate_bbse(probs.argmax(1), val.argmax(1), labels, k)
        doubts += [f"BBSE: {said}" for said in doubts_of_bbse(val.argmax(1), labels, k)]
        apart = [names[c] for c in range(k) if by_em.low[c] > by_bbse.high[c] or by_bbse.low[c] > by_em.high[c]]
        if apart:
            doubts.append(f"the two disagree on {len(apart)} of the {k} classes ({', '.join(apart[:5])})")
    both = {"em": by_em} | ({"bbse": by_bbse} if by_bbse else {})
    columns = {f"{name}{'' if end == 'prior' else '_' + end}": getattr(found, end).tolist()
               for name, found in both.items() for end in found._fields}  # fmt: skip
    write_rows(table, [{"class": names[c], **{name: f"{q[c]:.6f}" for name, q in columns.items()}} for c in range(k)])
    order = by_em.prior.argsort(descending=True)[:MOST_SHOWN].tolist()
    lines = [f"{'estimated, %':20}{'EM':>8}{'95 % interval':>18}{'BBSE':>10}{'95 % interval':>18}"]
    for c in order:
        lines.append(f"{names[c][:19]:20}{_cells(by_em, c)}  {_cells(by_bbse, c) if by_bbse else '       -'}")
    if k > MOST_SHOWN:
        lines.append(f"and {k - MOST_SHOWN} classes that are rarer")
    lines.append(f"written: {table}")
    lines += [f"warning: {said}" for said in doubts]
    q = by_em.prior.clamp(min=1 / (2 * len(probs)))
    return q / q.sum(), lines


def _cells(found: Estimate, c: int) -> str:
    q, low, high = (100 * float(x[c]) for x in found)
    return f"{q:8.1f}{f'{low:.1f} to {high:.1f}':>18}"
