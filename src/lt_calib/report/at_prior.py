"""Runs under another prior than the test set's, by weights; their own predictions, and those told the prior."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill, indent
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from torch import Tensor

from lt_calib.errors import InputError
from lt_calib.job.build_prior import Own, run_prior
from lt_calib.job.calibrators import CALIBRATORS, load_calibrator
from lt_calib.job.results import write_rows
from lt_calib.measure.binning import N_BINS
from lt_calib.measure.cross_fit import log_probs
from lt_calib.measure.weighted import effective_size, weighted_metrics
from lt_calib.prior.named import prior_of
from lt_calib.prior.reweigh import image_weights, shifted
from lt_calib.report.group import Run, plain
from lt_calib.report.read import logits_of, not_counted, reading

FACTORS = (2, 5, 10, 25, 50)  # of the test-agnostic protocol
CURVE = [*(f"backward{f}" for f in reversed(FACTORS)), "uniform", *(f"forward{f}" for f in FACTORS)]
COLUMNS = 79
WIDE = 30  # letters of a run's name


class Kept(NamedTuple):
    """A run's last stage on the test set: logarithms of its probabilities, labels, and the prior they are for."""

    name: str
    logits: Tensor
    targets: Tensor
    own: Own
    counts: list[int]
    names: list[str]
    n_bins: int


def kept_of(run: Run) -> Kept | None:
    """Read what a run's last stage predicts of its test images, calibrated where it has a calibrator; None without.

    Raises:
        InputError: a file of the run is damaged.
    """
    stage = "stage2" if run["stage2"] is not None else "stage1"
    found, path = logits_of(run, stage, "test"), run["folder"] / "config.yaml"
    if found is None or not path.is_file():
        not_counted(f"{run['folder'] / run['file']}: there are no test predictions of its last stage beside it")
        return None
    data, calibrator, logits = run["dataset"], None, found[0]
    with reading(path):
        cfg: Any = OmegaConf.load(path)
    if run.get("calibrated"):
        path = run["folder"] / CALIBRATORS
        calibrator = load_calibrator(path, stage, data["class_counts"], run["calibrated"][stage])
        logits = log_probs(calibrator, logits)
    own = run_prior(run["folder"], cfg, run, stage, calibrator)
    names = data.get("class_names") or [str(c) for c in range(logits.shape[1])]
    name = f"{plain(run['name'])}, seed {run['seed']}"
    return Kept(name, logits, found[1], own, data["class_counts"], names, run.get("n_bins", N_BINS))


def at_prior(kept: Kept, asked: str) -> tuple[dict[str, float], dict[str, float], float]:
    """Measure under a prior: a run's own predictions, those told the prior, and the effective number of test images.

    Raises:
        InputError: no such prior, or a class has no test image.
    """
    q = prior_of(asked, kept.counts, kept.names)
    weights = image_weights(kept.targets, q)
    both = (kept.logits, shifted(kept.logits, q, kept.own.prior))
    own, told = (weighted_metrics(z, kept.targets, weights, kept.n_bins) for z in both)
    return own, told, effective_size(weights)


def print_at_prior(runs: Sequence[Run], asked: str, out: Path | None) -> None:
    """Print the table under a prior and the curve from backward to forward; with ``out`` write both, and draw it.

    Raises:
        InputError: no such prior, no run with test predictions, or a class has no test image.
    """
    found = [kept for run in runs if (kept := kept_of(run)) is not None]
    if not found:
        raise InputError("no finished run with a test part was found, of which the predictions were kept")
    print(f"{'at ' + plain(asked):{WIDE}}  {'':8}{'acc':>7}{'bal.':>7}{'ECE':>7}{'NLL':>8}{'Brier':>8}")
    lines, gains = [], []
    for kept in found:
        own, told, size = at_prior(kept, asked)
        for name, what, m in ((kept.name, "own", own), ("", "told", told)):
            percent = "".join(f"{100 * m[key]:7.2f}" for key in ("acc", "acc_balanced", "ece"))
            print(f"{name[:WIDE]:{WIDE}}  {what:8}{percent}{m['nll']:8.3f}{m['brier']:8.3f}")
            lines.append({"run": kept.name, "prior": asked, "predictions": what, **m, "effective_size": size})
        about = f"{len(kept.targets)} test images, weighed, count as {size:.0f}; the run's own are for {kept.own}"
        print(indent(fill(about, COLUMNS - 2), "  "))
        gains.append((told["acc"], own["acc"], told["nll"] - own["nll"], kept.name))
    print("percent; NLL in nats; own: as the run predicts; told: re-weighed to the prior")
    curves = {}
    for kept in found:
        curve = [at_prior(kept, name) for name in CURVE]
        label = kept.name if kept.name not in curves else f"{kept.name} ({len(curves)})"
        curves[label] = [own for own, _, _ in curve], [told for _, told, _ in curve]
        print(f"\n{kept.name[:WIDE]:{WIDE}}  {'acc':>6}{'told':>7}{'ECE':>9}{'told':>7}{'NLL':>9}{'told':>8}")
        for name, (own, told, size) in zip(CURVE, curve, strict=True):
            pairs = "".join(f"{100 * own[m]:9.2f}{100 * told[m]:7.2f}" for m in ("acc", "ece"))
            print(f"  {name:{WIDE - 3}}{pairs}{own['nll']:9.3f}{told['nll']:8.3f}")
            lines += [{"run": label, "prior": name, "predictions": what, **m, "effective_size": size}
                      for what, m in (("own", own), ("told", told))]  # fmt: skip
    if out is not None:
        write_at_prior(out, lines, curves)
    acc, before, nll, name = max(gains)
    gain = f"{'better' if nll < 0 else 'no better'} for it (NLL {nll:+.3f})"
    short = (
        f"In short: where images come as {plain(asked)}, {name} is right in {100 * acc:.1f} % of them when told so, "
        f"and in {100 * before:.1f} % by itself; its probabilities are {gain}."
    )
    print("\n" + fill(short, COLUMNS))


def write_at_prior(out: Path, lines: list[dict[str, Any]], curves: dict[str, Any]) -> None:
    """Write at_prior.csv and figures/by_prior.png, .svg into a folder."""
    from lt_calib.figure.by_prior import by_prior
    from lt_calib.figure.style import save

    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "at_prior.csv", lines)
    title = "Test images weighed to a long tail: backward 50 to forward 50"
    paths = save(by_prior(curves, CURVE, title), out / "figures" / "by_prior")
    print(f"\nwritten: {', '.join(plain(path) for path in (out / 'at_prior.csv', *paths))}")
