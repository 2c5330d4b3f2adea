"""Post-hoc calibration of a finished run, on its held-out validation part.

``python -m lt_calib.calibrate RUN_FOLDER posthoc=temperature``
"""

import sys
from pathlib import Path
from textwrap import fill
from typing import Any

from hydra.errors import CompactHydraException, HydraException
from omegaconf import OmegaConf

from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.files.folder import check_writable
from lt_calib.job.build_posthoc import posthoc_of
from lt_calib.job.calibrators import CALIBRATORS, add_calibrated
from lt_calib.job.results import read_predictions, read_results, write_json
from lt_calib.prior.named import prior_of
from lt_calib.report.of_run import write_page
from lt_calib.settings.check import check_keys, make, refuse_untrusted
from lt_calib.settings.schema import composed

USAGE = (
    "usage: python -m lt_calib.calibrate RUN posthoc=select|temperature|count_temperature|class_temperature|"
    "bias_corrected|vector|matrix|dirichlet|isotonic|none [--prior uniform|train|forward50|COUNTS.csv] [--trust], "
    "python -m lt_calib.calibrate RUN --risk 0.05, or python -m lt_calib.calibrate RUN --reliability"
)


def calibrate_folder(
    folder: Path, overrides: list[str], trust: bool = False, asked: str | None = None
) -> dict[str, Any]:
    """Calibrate a finished run from its saved logits; results.json gets ``calibrated``.

    Args:
        folder: A run's.
        overrides: ``posthoc=...`` and ``posthoc.KEY=...``; ``hydra.searchpath=[...]`` for one of one's own.
        trust: Whether metrics from outside the package, which the run's settings name, may be built.
        asked: The prior that the validation part is weighed to, see :func:`lt_calib.prior.named.prior_of`.

    Raises:
        InputError: the folder holds no finished run, or none with a validation part, or cannot be written to.
    """
    other = [o for o in overrides if not o.lstrip("+").startswith(("posthoc", "hydra.searchpath"))]
    if other or not overrides:
        raise InputError(f"{' '.join(other) or 'no posthoc= given'}: only posthoc can be set here. {USAGE}")
    files = [folder / name for name in ("results.json", "predictions.npz", "config.yaml")]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise InputError(f"{folder} holds no finished run: {', '.join(missing)} is missing. {USAGE}")
    cfg = composed(*overrides)
    check_keys(cfg)
    results = read_results(folder)
    old: Any = OmegaConf.load(files[2])
    refuse_untrusted(old.metric, str(files[2]), trust)
    predictions = read_predictions(files[1])
    metrics = {name: make(old, f"metric.{name}") for name in old.metric}
    check_writable(folder, "results.json", CALIBRATORS, cure="copy the run to one that can")
    if old.figures:
        check_writable(folder / "figures")
    data, prior = results["dataset"], None
    posthoc = posthoc_of(cfg, data["class_counts"]) if "_target_" in cfg.posthoc else None
    if asked is not None:
        names = data.get("class_names") or [str(c) for c in range(len(data["class_counts"]))]
        prior = prior_of(asked, data["class_counts"], names)
    results, _ = add_calibrated(folder, results, posthoc, predictions, metrics, old.figures, prior)
    if results.get("predictions") == "float16":  # in the run itself they are float32
        results["calibrated"] = {k: v | {"logits": "float16"} for k, v in (results["calibrated"] or {}).items()} or None
    if old.figures:
        write_page(folder, results)
    write_json(folder / "results.json", results)
    return results


def accept(folder: Path, given: list[str]) -> None:
    """Find and print the confidence above which a run's predictions are accepted, see ``lt_calib.conformal.accept``."""
    from lt_calib.conformal.accept import accept_run, lines_of

    try:
        (risk,) = map(float, given)
    except ValueError as error:
        raise InputError(f"--risk {' '.join(given)} must be one number alone, 0.05 for 5 %") from error
    check_writable(folder, "results.json", cure="copy the run to one that can")
    print("\n".join(lines_of(*accept_run(folder, risk))))


def main() -> None:
    """Run the command."""
    outlive_reader()
    from lt_calib.job.screen import print_table

    arguments = [a for a in sys.argv[1:] if a != "--trust"]
    asked = None
    if "--prior" in arguments[:-1]:
        at = arguments.index("--prior")
        asked = arguments[at + 1]
        del arguments[at : at + 2]
    folder, *overrides = arguments or ["--help"]
    if folder in ("-h", "--help"):
        sys.exit(USAGE)
    try:
        if overrides[:1] == ["--risk"]:
            accept(Path(folder), overrides[1:])
            return
        if overrides == ["--reliability"]:
            from lt_calib.job.reliability import reliability_table

            check_writable(Path(folder), "reliability.csv", cure="copy the run to one that can")
            print("\n".join(reliability_table(Path(folder), read_results(Path(folder)))))
            return
        results = calibrate_folder(Path(folder), overrides, "--trust" in sys.argv, asked)
        print_table(results)
        sizes = {about.get("effective_size") for about in (results["calibrated"] or {}).values()}
        for size in sizes - {None}:
            to = asked or "uniform"
            said = f"In short: weighed to the prior {to}, the held-out images count as {size:.0f} that are not."
            print(fill(said, 79, break_long_words=False))
    except (ValueError, HydraException, CompactHydraException) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
