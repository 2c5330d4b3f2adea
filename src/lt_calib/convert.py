"""Write what version 0.1.0 left as this version does: ``python -m lt_calib.convert FOLDER...``.

Results (results.json, the files of a campaign, grid.json) and the config.yaml of runs, so that they are read, reported,
predicted with and calibrated. What is of this version already stays as it is.
"""

import argparse
import json
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lt_calib.closed_pipe import outlive_reader
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.job.record import RESULTS_SCHEMA
from lt_calib.job.results import write_json
from lt_calib.settings.renamed import renamed
from lt_calib.settings.schema import composed, plain
from lt_calib.settings.table import SAME_JOB, canonical, flatten, matters_for, settings_hash

OTHER_RECIPE = ("stage1.sam_rho", "stage1.ema_decay")
RECIPE = re.compile(
    r"lr (?P<lr>\S+), (?P<nesterov>Nesterov )?momentum (?P<momentum>\S+), weight decay (?P<weight_decay>\S+), "
    r"batch (?P<batch_size>\d+), (?P<schedule>.*)"
)


def convert_results(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Convert the content of a run's results.json, or of its copy in a campaign."""
    found = dict(content)
    found["dataset"] = content["dataset"] | {"image_shape": [3, 32, 32]}  # all that there was
    path = folder / "config.yaml"
    if path.exists():
        config: Any = OmegaConf.to_container(OmegaConf.load(path))
        data = config["dataset"]
        found["transform"] = {"name": "CropFlip", "mean": data["mean"], "std": data["std"]}
        found["settings"] = settings_hash(config if "transform" in config else convert_config(config))
    if "network" in content:
        found["network"] = {part: _part(text) for part, text in content["network"].items()}
    if "recipe" in content:
        found["recipe"] = _recipe(content["recipe"])
    if "changed" in content:
        found["changed"] = renamed(content["changed"])
        others = {k.removeprefix("stage1."): v for k, v in found["changed"].items() if k in OTHER_RECIPE and v}
        found["recipe"] = found.get("recipe", {}) | others
    if "campaign" in content:
        about = content["campaign"]
        settings = {k: v for k, v in renamed(about["settings"]).items() if matters_for(k) & set(SAME_JOB)}
        found["campaign"] = about | {"settings": settings}
        with suppress(HydraException):  # of an experiment that is not here, the hash stays
            now = plain(composed(*about["overrides"]))
            flat = {k: canonical(v) for k, v in flatten(now).items()}
            if all(flat.get(k, v) == v for k, v in settings.items()):
                found["settings"] = settings_hash(now)
    return found | {"schema": RESULTS_SCHEMA}


def _part(text: str) -> dict[str, Any]:
    name, _, settings = text.removesuffix(")").partition("(")
    pairs = (pair.split("=", 1) for pair in settings.split(", ") if pair)
    return {"name": name, **{k: canonical(yaml.safe_load(v)) for k, v in pairs}}


def _recipe(text: str) -> dict[str, Any]:
    found = RECIPE.fullmatch(text)
    assert found is not None, f"no recipe of version 0.1.0: {text}"
    schedule = dict(re.findall(r"(\w+) (\[.*?\]|[^,]+)", found["schedule"]))
    return {
        **{name: canonical(float(found[name])) for name in ("lr", "weight_decay", "batch_size")},
        "optimizer": {
            "name": "SGD", "momentum": canonical(float(found["momentum"])), "nesterov": bool(found["nesterov"]),
        },
        "schedule": {"name": "warmup_multistep", **{k: canonical(yaml.safe_load(v)) for k, v in schedule.items()}},
    }  # fmt: skip


def convert_config(config: dict[str, Any]) -> dict[str, Any]:
    """Convert the settings of a run."""
    nested = OmegaConf.create()
    for key, value in renamed(flatten(config)).items():
        if not key.startswith("dataset.recipe."):  # whose keys are numbers
            OmegaConf.update(nested, key, value, force_add=True)
    found: Any = OmegaConf.to_container(OmegaConf.merge(OmegaConf.create(config), nested))
    for stage in (found[name] for name in ("stage1", "stage2") if "_target_" in found[name]):
        for old in ("momentum", "nesterov"):
            stage.pop(old, None)
        stage["optimizer"] = {"_target_": "torch.optim.SGD", "_partial_": True, "nesterov": False} | stage["optimizer"]
        stage["schedule_per"] = "epoch"
        if stage["schedule"]["_target_"].endswith(".cosine"):
            stage["schedule"]["warmup"] = 0.0
    found["stage1"] |= {"backbone_lr_factor": 1.0, "freeze": []}
    data = found["dataset"]
    data.setdefault("size", None)
    keys = ("mean", "std", "padding", "flip")
    found.setdefault(
        "transform", {"_target_": "lt_calib.transform.crop_flip.CropFlip"} | {k: data[k] for k in keys if k in data}
    )
    found["trainer"].pop("_partial_", None)
    (found["stage2"].get("classifier") or {}).pop("normalise", None)
    (found["resample"] or {}).pop("neighbours", None)
    return found


def convert(folder: Path) -> list[Path]:
    """Convert every file below a folder; return those that were written.

    Raises:
        InputError: the folder is not there.
    """
    if not folder.exists():
        raise InputError(f"{folder} is not there; name folders of runs, or of results")
    written = []
    for path in sorted(folder.rglob("*.json")):
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            print(f"not converted: {path} is no JSON: {error}", file=sys.stderr)
            continue
        if not isinstance(content, dict) or content.get("schema") != 1 or not {"stage1", "points"} & content.keys():
            continue
        is_run = "stage1" in content
        write_json(path, convert_results(content, path.parent) if is_run else content | {"schema": RESULTS_SCHEMA})
        written.append(path)
    for path in sorted(folder.rglob("config.yaml")):
        config: Any = OmegaConf.to_container(OmegaConf.load(path))
        if isinstance(config, dict) and "_target_" in config.get("stage1", {}) and "transform" not in config:
            text = OmegaConf.to_yaml(OmegaConf.create(convert_config(config)))
            write_atomically(path, lambda stream, text=text: stream.write(text.encode()))
            written.append(path)
    return written


def main() -> None:
    """Run the command."""
    outlive_reader()
    parser = argparse.ArgumentParser(prog="python -m lt_calib.convert", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="searched for runs and results")
    try:
        for folder in parser.parse_args().folders:
            print(f"{folder}: {len(convert(folder))} files written")
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
