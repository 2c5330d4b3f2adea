"""A finished run as a file for other programs: ONNX, or torch.export's."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError
from lt_calib.files.checkpoint import write_atomically
from lt_calib.predictor import Predictor
from lt_calib.prior.reweigh import reweighed


class AtPrior(nn.Module):
    """A predictor whose second input is the prior: (images (B, C, H, W), prior (K,) float32, > 0) -> probs (B, K).

    The prior need not sum to 1; that of the run's own predictions (:meth:`Predictor.own_prior`) changes nothing.
    """

    own: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor
        self.register_buffer("own", predictor.own_prior().prior)

    def forward(self, images: Tensor, prior: Tensor) -> Tensor:
        """Compute the probabilities under the prior."""
        return reweighed(self.predictor(images), prior, self.own)


def described(predictor: Predictor, with_prior: bool = False) -> dict[str, str]:
    """Say what an exported model takes and returns, each value as JSON.

    - ``class_names``: of the K columns of ``probs``; ``groups``: name -> classes.
    - ``input``: name, ``shape`` (C, H, W of an image, or D of features), ``layout``, ``dtype``; of images ``range``
      and ``channels``.
    - ``normalization``: ``mean`` and ``std`` of each channel, which the model itself subtracts and divides by.
    - ``transform``: by which the run brought its images to that size in evaluation.
    - ``calibrator``: its class, which is part of the model; null where ``probs`` are the network's softmax.
    - ``prior``, with one: the second input's name, and ``own``, with which ``probs`` are the run's own.
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
    if with_prior:
        own = predictor.own_prior().prior.tolist()
        about["prior"] = {"name": "prior", "shape": [len(own)], "dtype": "float32", "own": own}
    return {key: json.dumps(value) for key, value in about.items()}


def export(predictor: Predictor, path: Path, with_prior: bool = False) -> None:
    """Write the model, calibrator included, for other programs: images (B, C, H, W) in [0, 1] -> probs (B, K).

    What :func:`described` says is in the ONNX file's metadata, and in the .pt2 file's extra file ``metadata.json``.

    Args:
        predictor: A finished run.
        path: Ends with ``.pt2`` (torch.export) or ``.onnx`` (needs the extra ``export``, and a recent torch: 2.14 is).
        with_prior: Whether the model takes class frequencies as its second input, see :class:`AtPrior`.

    Raises:
        InputError: another ending, what ONNX needs is not installed, or the file cannot be written.
    """
    model: nn.Module = AtPrior(predictor).eval() if with_prior else predictor
    prior = [torch.ones(len(predictor.class_names))] * with_prior
    example = (torch.rand(2, *predictor.image_shape), *prior)
    batch = torch.export.Dim("batch", max=65_536)  # torch 2.6 wants an end
    shapes = ({0: batch}, *[None] * with_prior)
    if path.suffix == ".pt2":
        program = torch.export.export(model, example, dynamic_shapes=shapes)
        extra = {"metadata.json": json.dumps({k: json.loads(v) for k, v in described(predictor, with_prior).items()})}
        write_atomically(path, lambda stream: torch.export.save(program, stream, extra_files=extra))
    elif path.suffix == ".onnx":
        try:
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise InputError("ONNX export needs its packages: pip install 'lt_calib[export]'") from error
        name = "images" if len(predictor.image_shape) == 3 else "features"
        onnx = torch.onnx.export(
            model, example, input_names=[name, *["prior"] * with_prior], output_names=["probs"],
            dynamic_shapes=shapes, dynamo=True, verbose=False,
        )  # fmt: skip
        assert onnx is not None
        onnx.model.metadata_props.update(described(predictor, with_prior))
        write_atomically(path, lambda stream: stream.write(onnx.model_proto.SerializeToString()))
    else:
        raise InputError(f"--export {path} must end with .pt2 (torch.export) or .onnx")
