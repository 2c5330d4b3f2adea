"""The store of features: what a frozen network has computed of an image is kept under the image's content."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from lt_calib import terminal
from lt_calib.errors import InputError
from lt_calib.files.checkpoint import remove_remains, write_atomically
from lt_calib.files.lock import system_lock
from lt_calib.model.frozen import Frozen
from lt_calib.settings.table import hash_of

log = logging.getLogger(__name__)

PIECE = 2048  # images a file: what is computed before a kill is kept
AT_ONCE = 64  # images a forward pass


class FeatureStore:
    """Features by the content of the images that the network saw, in float16, so that no image is computed twice.

    Seeds, methods, imbalance factors and splits share them wherever they share images. A folder per network, weights,
    size and precision; in it pieces, each whole or not there.

    Args:
        root: Of the cache; None keeps nothing on disk.
        network: Frozen.
        device: On which it is run.
        precision: ``"bf16-mixed"`` or ``"32-true"``.
    """

    def __init__(self, root: Path | None, network: Frozen, device: torch.device, precision: str) -> None:
        self.network = network
        self.device = device
        self.precision = precision
        self.facts: Mapping[str, Any] = {**network.facts, "precision": precision, "device": device.type}
        self.folder = root / "features" / hash_of(self.facts, 16) if root is not None else None

    def rows(self, batches: Iterable[list[Tensor]], total: int, what: str) -> Tensor:
        """Look up or compute the features of images.

        Args:
            batches: Lists whose first tensor is images (B, 3, H, W) float in [0, 1].
            total: Images N.
            what: They are, for the progress bar.

        Returns:
            (N, D) float32, rounded to float16.

        Raises:
            InputError: a feature is not finite, or out of float16's range.
        """
        with self._alone():
            known = self._read()
            order: list[bytes] = []
            fresh: dict[bytes, np.ndarray] = {}
            computed = 0
            bar = track(range(total), f"features of {what}", total, disable=not terminal.is_there())
            steps = iter(bar)
            for images, *_ in batches:
                keys = [_content(image) for image in images]
                wanted = {key: i for i, key in enumerate(keys) if key not in known and key not in fresh}
                for part in torch.tensor(list(wanted.values()), dtype=torch.int64).split(AT_ONCE):
                    found = self._compute(images[part])
                    fresh |= dict(zip([keys[i] for i in part.tolist()], found, strict=True))
                    computed += len(part)
                    if len(fresh) >= PIECE:
                        known |= self._write(fresh)
                        fresh = {}
                order += keys
                for _ in keys:
                    next(steps, None)
            known |= self._write(fresh)
        log.info("Features of %s: %d images, %d of them computed, %d known already.",
                 what, len(order), computed, len(order) - computed)  # fmt: skip
        return torch.from_numpy(np.stack([known[key] for key in order])).float()

    @torch.inference_mode()
    def _compute(self, images: Tensor) -> np.ndarray:
        self.network.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            features = self.network(images.to(self.device)).float().cpu().numpy()
        with np.errstate(over="ignore"):
            kept = features.astype(np.float16)
        if not np.isfinite(kept).all():
            raise InputError(
                f"features of {self.network.facts['network']} are not finite in float16, the largest is "
                f"{float(np.abs(features).max()):g}: another network is wanted"
            )
        return kept

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time compute what several want."""
        if self.folder is None:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = system_lock(self.folder / ".lock")
            lock.acquire()
        except (OSError, NotImplementedError) as error:
            log.warning("The store of features at %s cannot be written (%s): nothing is kept.", self.folder, error)
            self.folder = None
            yield
            return
        try:
            remove_remains(self.folder)
            yield
        finally:
            lock.release()

    def _read(self) -> dict[bytes, np.ndarray]:
        known: dict[bytes, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.npz")) if self.folder is not None else ():
            try:
                with np.load(path) as piece:
                    known |= dict(zip(map(bytes, piece["content"]), piece["features"], strict=True))
            except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
                log.warning("%s is damaged (%s): its features are computed again.", path, error)
                path.unlink(missing_ok=True)
        return known

    def _write(self, fresh: Mapping[bytes, np.ndarray]) -> Mapping[bytes, np.ndarray]:
        if fresh and self.folder is not None:
            content = np.frombuffer(b"".join(fresh), np.uint8).reshape(len(fresh), -1)
            features = np.stack(list(fresh.values()))
            text = json.dumps(self.facts, indent=2)
            write_atomically(self.folder / "network.json", lambda stream: stream.write(text.encode()))
            path = self.folder / f"{hashlib.sha256(content.tobytes()).hexdigest()[:16]}.npz"
            write_atomically(path, lambda stream: np.savez(stream, content=content, features=features))
        return fresh


def _content(image: Tensor) -> bytes:
    total = hashlib.blake2b(str(tuple(image.shape)).encode(), digest_size=16)
    total.update(image.contiguous().cpu().numpy().data)
    return total.digest()
