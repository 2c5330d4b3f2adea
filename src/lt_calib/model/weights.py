"""Weights of a network from a file."""

from pathlib import Path

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError


def load_weights(network: nn.Module, path: str | Path, without: tuple[str, ...] = ()) -> None:
    """Load a file of tensors into a network; nothing of it is run when it is read.

    Args:
        network: Takes them.
        path: Of a ``.safetensors`` file, or of a state dict that torch has saved, alone or under ``"state_dict"`` or
            ``"model"``.
        without: First words of names that the network has not, its former classifier's say.

    Raises:
        InputError: the file is missing or holds no such weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"model.checkpoint={path} is not there: name a .safetensors or .pth file of weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            values: dict[str, Tensor] = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise InputError(f"{path} is read by safetensors: pip install safetensors") from error
    except Exception as error:
        raise InputError(
            f"model.checkpoint={path} holds no plain tensors: {str(error).splitlines()[0][:100]}"
        ) from error
    for key in ("state_dict", "model"):
        values = values[key] if isinstance(values.get(key), dict) else values  # type: ignore[assignment]
    values = {name: value for name, value in values.items() if not name.startswith(without)} if without else values
    wanted = network.state_dict()
    wrong = sorted(
        name for name in wanted.keys() | values.keys()
        if getattr(wanted.get(name), "shape", None) != getattr(values.get(name), "shape", None)
    )  # fmt: skip
    if wrong:
        raise InputError(
            f"model.checkpoint={path} holds other weights than {type(network).__name__} has: {len(wrong)} of "
            f"{len(wanted)} do not fit, {wrong[0]} the first"
        )
    network.load_state_dict(values)
