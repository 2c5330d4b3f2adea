"""A finished run as a file for other programs: ONNX, or torch.export's."""

import json
from pathlib import Path
from typing import Any

import torch

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.predictor import Predictor


def described(predictor: Predictor) -> dict[str, str]:
    """Say what an exported model takes and returns, each value as JSON.

    - ``class_names``: of the K columns of ``probs``; ``groups``: name -> classes.
    - ``input``: name, ``shape`` (C, H, W of an image, or D of features), ``layout``, ``dtype``; of images ``range``
      and ``channels``.
    - ``normalization``: ``mean`` and ``std`` of each channel, which the model itself subtracts and divides by.
    - ``transform``: by which the run brought its images to that size in evaluation.
    - ``calibrator``: its class, which is part of the model; null where ``probs`` are the network's softmax.
    """
    shape = list(predictor.image_shape)
    seen: dict[str, Any] = {"name": "features", "shape": shape, "layout": "ND", "dtype": "float32"}
    if len(shape) == 3:
        colors = {1: "grey", 3: "RGB"}.get(shape[0], str(shape[0]))
        seen |= {"name": "images", "layout": "NCHW", "range": [0, 1], "channels": colors}
    about: dict[str, Any] = {
        "class_names": predictor.class_names,
        "groups": predictor.groups,
        "input": seen,
        "normalization": {
            "included": True,
            "mean": predictor.mean.flatten().tolist(),
            "std": predictor.std.flatten().tolist(),
        },
        "transform": type(predictor.transform).__name__,
        "output": {"name": "probs", "layout": "NK", "dtype": "float32", "range": [0, 1]},
        "calibrator": None if predictor.calibrator is None else type(predictor.calibrator).__name__,
    }
    return {key: json.dumps(value) for key, value in about.items()}


def export(predictor: Predictor, path: Path) -> None:
    """Write the model, calibrator included, for other programs: images (B, C, H, W) in [0, 1] -> probs (B, K).

    What :func:`described` says is in the ONNX file's metadata, and in the .pt2 file's extra file ``metadata.json``.

    Args:
        predictor: A finished run.
        path: Ends with ``.pt2`` (torch.export) or ``.onnx`` (needs the extra ``export``, and a recent torch: 2.14 is).

    Raises:
        InputError: another ending, what ONNX needs is not installed, or the file cannot be written.
    """
    example = (torch.rand(2, *predictor.image_shape),)
    batch = torch.export.Dim("batch", max=65_536)  # torch 2.6 wants an end
    if path.suffix == ".pt2":
        program = torch.export.export(predictor, example, dynamic_shapes=({0: batch},))
        extra = {"metadata.json": json.dumps({k: json.loads(v) for k, v in described(predictor).items()})}
        write_atomically(path, lambda stream: torch.export.save(program, stream, extra_files=extra))
    elif path.suffix == ".onnx":
        try:
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise InputError("ONNX export needs its packages: pip install 'lt_calib[export]'") from error
        name = "images" if len(predictor.image_shape) == 3 else "features"
        onnx = torch.onnx.export(
            predictor, example, input_names=[name], output_names=["probs"], dynamic_shapes=({0: batch},),
            dynamo=True, verbose=False,
        )  # fmt: skip
        assert onnx is not None
        onnx.model.metadata_props.update(described(predictor))
        write_atomically(path, lambda stream: stream.write(onnx.model_proto.SerializeToString()))
    else:
        raise InputError(f"--export {path} must end with .pt2 (torch.export) or .onnx")
