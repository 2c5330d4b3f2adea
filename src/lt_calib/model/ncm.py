"""Nearest class mean (NCM)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_calib.measure.weighted import effective_size
from lt_calib.model.classifier import Features
from lt_calib.posthoc.temperature import best_temperature
from lt_calib.prior.reweigh import image_weights, uniform_over


class NearestClassMean(nn.Module):
    """Logits -|f - m_c|^2 / T with the means m_c of each class's training features; without training.

    Normalized, every f is (f - m) / |f - m| first, with the mean m of all training features (``cl2n`` in the authors'
    code).

    Args:
        classifier: Stage 1's; only its shape is used.
        num_classes: K.
        normalize: Whether features are centred and of length 1.
        temperature: T > 0; None takes the one that minimizes the NLL on the validation part. Where there is none, on
            the training features, each against means without itself, that of its own class being
            (n_c m_c - f) / (n_c - 1), and each class weighing the same; classes of one image are left out of that.

    Shape:
        features (B, D) float32 -> logits (B, K) float32.

    Raises:
        ValueError: a class has no training picture, or temperature is not > 0.

    Reference:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, section 4.
    """

    balances = True  # its predictions are for a uniform prior, about
    settles = ("temperature",)  # what of it is told in results.json
    centre: Tensor
    means: Tensor
    temperature: Tensor

    def __init__(
        self,
        classifier: nn.Linear,
        *,
        num_classes: int,
        temperature: float | None = None,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if temperature is not None and not temperature > 0:
            raise ValueError(f"temperature {temperature} must be > 0, or null to fit it on the validation part")
        self.asked = temperature
        self.normalize = normalize
        self.register_buffer("centre", torch.zeros(classifier.in_features))
        self.register_buffer("means", torch.zeros(num_classes, classifier.in_features))
        self.register_buffer("temperature", torch.tensor(1.0 if temperature is None else float(temperature)))

    def prepare(self, classifier: nn.Module, features: Features) -> None:
        """Take the means of the training features, and fit the temperature where it is to be fitted."""
        inputs, targets = features("train")  # type: ignore[misc]
        self.centre.copy_(inputs.mean(0))
        inputs = self.prepared(inputs)
        counts = torch.bincount(targets, minlength=len(self.means))
        if not bool((counts > 0).all()):
            raise ValueError(f"class {int(counts.argmin())} has no training image: take a smaller dataset.if")
        self.means.copy_(torch.zeros_like(self.means).index_add(0, targets, inputs) / counts[:, None])
        val = features("val") if self.asked is None else None
        if val is not None:
            logits, targets = self(val[0]).double().clone(), val[1].clone()
            share = image_weights(targets, uniform_over(targets, len(self.means)))
            self.temperature.fill_(float(best_temperature(logits, targets, share)))
        elif self.asked is None and int(counts.max()) > 1:
            self.temperature.fill_(float(best_temperature(*self._left_out(inputs, targets, counts))))

    def _left_out(self, inputs: Tensor, targets: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute logits, targets and weights of prepared features, each against means that it is left out of."""
        others = (counts[targets] > 1).nonzero()[:, 0]
        targets, n = targets[others], counts[targets[others]].double()
        logits = self._logits(inputs[others]).double()
        own = logits.gather(1, targets[:, None])[:, 0] * (n / (n - 1)).square()  # |f - m| grows by n / (n - 1)
        weights = 1 / n
        weights *= effective_size(weights) / weights.sum()
        return logits.scatter(1, targets[:, None], own[:, None]), targets, weights

    def prepared(self, features: Tensor) -> Tensor:
        """Centre features and take them to length 1, if so asked."""
        return F.normalize(features - self.centre) if self.normalize else features

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits."""
        return self._logits(self.prepared(features)) / self.temperature

    def _logits(self, features: Tensor) -> Tensor:
        squares = features.square().sum(1, keepdim=True) - 2 * features @ self.means.T + self.means.square().sum(1)
        return -squares
