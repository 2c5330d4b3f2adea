"""Both stages on features, as an estimator in scikit-learn's style: NumPy in, NumPy out."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from lt_calib.dataset.data import Data
from lt_calib.dataset.datamodule import LongTailedDataModule
from lt_calib.dataset.source import Source
from lt_calib.errors import InputError
from lt_calib.job.build import settle
from lt_calib.job.build_cross_fit import build_cross_fit
from lt_calib.job.build_lengths import fill_lengths
from lt_calib.job.build_posthoc import build_posthoc
from lt_calib.job.build_stages import build_stage1, build_stage2
from lt_calib.job.cross_fit import fit_folds, held_out
from lt_calib.job.fit import begin, train
from lt_calib.job.parts import Job, Stage
from lt_calib.logger.none import NoLogger
from lt_calib.predictor import Predictor
from lt_calib.prior.reweigh import image_weights, uniform_over
from lt_calib.settings.check import make
from lt_calib.settings.schema import composed, plain


class LongTailedClassifier(ClassifierMixin, BaseEstimator):
    """A calibrated classifier of features with a long tail: ``+experiment=frozen_METHOD`` without files.

    Its probabilities are those of a balanced world, in which every class is as likely as another.

    Args:
        method: ``"awabs"``, ``"balanced_softmax"``, ``"ce"``, ``"las"``, ``"crt"``, ``"lws"``, ``"ncm"``,
            ``"tau_norm"`` or ``"logit_adjustment"``.
        seed: Of the batches, >= 0.
        batch_size: Rows a step; None takes a 32nd of all, but 8 to 128.
        max_epochs: Of each stage; None takes as many as make 1500 steps, but 20 to 60.
        settings: Others, as on the command line: ``("stage2.loss.eps_head=0.2", "stage1.max_epochs=40")``; with
            ``("cross_fit=5", "posthoc=temperature")`` it is calibrated on rows that are held out in turn.

    Attributes:
        classes_: (K,) labels, in the order of the columns of :meth:`predict_proba`.
        n_features_in_: D.

    Shape:
        ``fit`` takes X (N, D) and y (N,) of any labels; ``predict_proba`` gives (N, K) float64, rows sum to 1.
    """

    def __init__(
        self,
        method: str = "awabs",
        seed: int = 0,
        batch_size: int | None = None,
        max_epochs: int | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        self.method = method
        self.seed = seed
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.settings = settings

    def fit(self, X: ArrayLike, y: ArrayLike) -> "LongTailedClassifier":  # noqa: N803
        """Train both stages on rows X and labels y.

        Raises:
            ValueError: rows or labels are not as needed.
            InputError: a setting is not.
        """
        given: Any = validate_data(self, X, y, dtype=np.float64)  # type: ignore[arg-type]
        rows, labels = given
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        self.predictor_: Predictor | None = None
        if len(self.classes_) > 1:
            with tempfile.TemporaryDirectory() as folder:
                self.predictor_ = self._trained(rows, targets, Path(folder))
        return self

    def _trained(self, rows: NDArray[Any], targets: NDArray[Any], folder: Path) -> Predictor:
        epochs = self.max_epochs or "null"
        given = {
            "+experiment": f"frozen_{self.method}",
            "dataset": "features",
            "trainer.accelerator": "cpu",
            "seed": self.seed,
            "dataset.batch_size": self.batch_size or "null",
            "stage1.max_epochs": epochs,
            "dataset.recipe.stage2_epochs": epochs,
        }
        cfg = settle(composed(*(f"{key}={value}" for key, value in given.items()), *self.settings), folder)
        if cfg.grid is not None or (cfg.cross_fit and "_target_" not in cfg.posthoc):
            raise InputError(
                "settings: a grid is searched by scikit-learn's GridSearchCV, and cross_fit=5 is for a calibrator: "
                "add posthoc=temperature"
            )
        x, y = torch.tensor(rows, dtype=torch.float32), torch.tensor(targets)
        names = tuple(str(c) for c in self.classes_)
        data: Any = LongTailedDataModule(  # its test set is never looked at
            lambda root: Source(x, y, x[:1], y[:1], names), imbalance_factor=None, groups="by_count",
            batch_size=cfg.dataset.batch_size,
        )  # fmt: skip
        data.setup()
        fill_lengths(cfg, data)
        trainer = make(cfg, "trainer")

        def parts(data: Data) -> tuple[list[Stage], None]:
            stage1 = build_stage1(cfg, plain(cfg), data, folder, trainer.precision)
            return [stage1, build_stage2(cfg, stage1, folder)] if "_target_" in cfg.stage2 else [stage1], None

        stages, _ = parts(data)
        logger = NoLogger(config={}, folder=folder, group="", tags=[])
        job = Job({}, folder, "", data, stages, trainer, {}, logger, {}, None, {})
        calibrator = None
        if "_target_" in cfg.posthoc:
            calibrator = build_posthoc(cfg, data, cfg.cross_fit > 0).make(data.num_classes)
            job.cross_fit = build_cross_fit(cfg, data, 1, parts)
            job.folds = fit_folds(job)
            logits, labels = held_out(job, stages[-1].name)
            calibrator.fit(logits, labels, image_weights(labels, uniform_over(labels, data.num_classes)))
        for stage in stages:
            begin(job, stage)
            train(trainer, stage, stage.module)
        last = stages[-1].module
        whole = Predictor(last.backbone, last.classifier, calibrator, [0.0], [1.0], (x.shape[1],))
        return whole.eval().requires_grad_(False)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Compute the probabilities (N, K) of rows X (N, D)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, reset=False)  # type: ignore[arg-type]
        if self.predictor_ is None:
            return np.ones((len(rows), 1))
        probs = self.predictor_.predict_proba(rows).double()
        return (probs / probs.sum(1, keepdim=True)).numpy()

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the most probable label of each row."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]


def fit_features(X: ArrayLike, y: ArrayLike, method: str = "awabs", **settings: Any) -> LongTailedClassifier:  # noqa: N803
    """Train a calibrated classifier on features: ``fit_features(X, y).predict_proba(X_test)``.

    Args:
        X: (N, D) rows, of any network's embeddings.
        y: (N,) labels.
        method: See :class:`LongTailedClassifier`.
        **settings: Its other arguments.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["gull", "auk"], [60, 12])
        >>> X = rng.normal(size=(72, 4)) + 4 * (y == "auk")[:, None]
        >>> model = fit_features(X, y, max_epochs=2)
        >>> model.classes_.tolist(), model.predict_proba(X[:3]).shape
        (['auk', 'gull'], (3, 2))
    """
    return LongTailedClassifier(method, **settings).fit(X, y)
