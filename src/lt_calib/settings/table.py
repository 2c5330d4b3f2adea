"""What each setting matters for: the one table that every question about settings asks.

"Is this the same run, the same stage 1, the same row?" is a set of words of this table.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

# A key that ends with a dot stands for all below it; the longest one that fits holds.
# folder    shown in the folder's name where the command line sets it
# stage1    decides stage 1's weights          results   decides what the run scores beyond them
# seed      one of several runs of one method  given     names a file of stage 1's
# machine   where it runs                      posthoc   what is fitted to the finished stages
# measure   what is computed of the same predictions, or how
# allowed   what is accepted, of which no number depends
# label     what tables call it                recorded  has a field of its own in results.json
# length    how long is trained                recipe    how stage 1 is optimized: a published number stays comparable
MATTERS = {
    "": "folder results",
    "experiment": "label",
    "name": "label",
    "allow_double_correction": "folder allowed",
    "seed": "stage1 seed recorded",
    "resume": "",
    "cross_fit": "folder results",
    "figures": "",
    "predictions": "",
    "objective": "",
    "logger": "",
    "logger.": "",
    "cache": "",
    "cache.": "",
    "dataset": "",
    "dataset.": "folder stage1",
    "dataset.name": "stage1 recorded",
    "dataset.if": "stage1 recorded",
    "dataset.root": "",
    "dataset.resident_below": "machine",  # images that workers read anew have draws of their own
    "dataset.num_workers": "",
    "dataset.remember_in": "",
    "dataset.val_per_class": "folder stage1 recorded",
    "dataset.val_fraction": "folder stage1 recorded",
    "dataset.batch_size": "folder stage1 recipe",
    "dataset.eval_batch_size": "folder measure",
    "dataset.groups": "folder measure recorded",
    "dataset.recipe.": "folder",
    "transform.": "folder stage1",
    "resample.": "folder stage1",
    "augment.": "folder stage1",
    "model.": "folder stage1 recorded",
    "features.": "folder stage1",
    "stage1.": "folder stage1",
    "stage1.ckpt_path": "folder given",
    "stage1.max_epochs": "folder stage1 length recorded",
    "stage1.lr": "folder stage1 recipe",
    "stage1.weight_decay": "folder stage1 recipe",
    "stage1.optimizer.": "folder stage1 recipe",
    "stage1.schedule.": "folder stage1 recipe",
    "stage1.schedule_per": "folder stage1 recipe",
    "stage2.max_epochs": "folder results length recorded",
    "posthoc": "folder posthoc",
    "posthoc.": "folder posthoc",
    "conformal": "folder measure",
    "conformal.": "folder measure",
    "metric": "folder measure",
    "metric.": "folder measure",
    "trainer": "folder machine",
    "trainer.": "folder machine",
    "trainer.eval_every": "folder measure",
}
SAME_RUN = ("stage1", "results", "label", "seed", "given", "machine", "posthoc")
SAME_ROW = ("stage1", "results", "label", "allowed")
SAME_JOB = ("stage1", "results", "label", "seed", "given", "posthoc")
# Settings that came to parts which were there, at the values that are what was done before: a run without them, an
# older one's, is the same run.
LATER = {
    "loss.normalizer": "weights", "augment.two_means": False, "then.two_means": False,
    "features.standardize": "one", "features.views": 0, "features.size": None,
    "cross_fit": 0, "dataset.val_fraction": 0,
}  # fmt: skip
OF_FEATURES = {"resample.space": "features"}  # resamples stage 2's data alone


def matters_for(key: str) -> frozenset[str]:
    """Return the words of one key of the flat configuration, ``"stage1.lr"``."""
    if key in MATTERS:
        return frozenset(MATTERS[key].split())
    fitting = [name for name in MATTERS if name.endswith(".") and key.startswith(name)]
    return frozenset(MATTERS[max(fitting, key=len, default="")].split())


def settings_for(config: Mapping[str, Any], words: Collection[str], without: Collection[str] = ()) -> dict[str, Any]:
    """Take the settings that matter for one of ``words`` and for none of ``without``.

    Args:
        config: Composed and resolved, as plain nested dicts.
        words: Of the table.
        without: Of the table.

    Returns:
        Flat, in canonical form: equal values are equal.
    """
    flat = {key: canonical(value) for key, value in flatten(config).items()}
    flat = {key: value for key, value in flat.items() if (".".join(key.split(".")[-2:]), value) not in LATER.items()}
    if any(flat.get(key) == value for key, value in OF_FEATURES.items()) and "results" not in words:
        flat = {key: value for key, value in flat.items() if not key.startswith("resample.")}
    return {k: v for k, v in flat.items() if matters_for(k) & set(words) and not matters_for(k) & set(without)}


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any], words: Collection[str] = SAME_RUN) -> list[str]:
    """Name the settings that differ between two configurations and matter for one of ``words``."""
    a, b = settings_for(old, words), settings_for(new, words)
    return [key for key in sorted(a.keys() | b.keys()) if not equal(a.get(key), b.get(key))]


def equal(one: Any, other: Any) -> bool:
    """Compare settings as their hash does: ``true`` is not 1, which it is to Python."""
    return json.dumps(canonical(one), sort_keys=True) == json.dumps(canonical(other), sort_keys=True)


def settings_hash(config: Mapping[str, Any]) -> str:
    """Hash what all seeds of one method share, wherever they run, whatever of them is measured, calibrated or not."""
    return hash_of(settings_for(config, SAME_ROW, without=("seed",)))


def hash_of(settings: Any, digits: int = 12) -> str:
    """Hash plain values."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:digits]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested dicts into ``{"a.b.c": value}``; an empty one is no key."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def canonical(value: Any) -> Any:
    """Write equal values alike: 0, 0.0 and -0.0 are one setting, and what is inside lists and dicts alike."""
    if isinstance(value, Mapping):
        return {key: canonical(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
