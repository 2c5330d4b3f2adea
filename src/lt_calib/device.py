"""What a device can compute."""

import torch


def widest(device: torch.device) -> torch.dtype:
    """Return the most precise floating-point type of a device: Apple's have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
