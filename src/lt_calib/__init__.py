"""Calibrated long-tailed recognition: classifiers that are right on rare classes and honest about how sure they are.

The names below are loaded on first use, so that the import costs nothing.
"""

from lt_calib.exports import lazily

__version__ = "0.2.0.dev0"

__getattr__, __all__ = lazily(
    {
        "AWABS": "lt_calib.loss.awabs",
        "BalancedSoftmax": "lt_calib.loss.balanced_softmax",
        "DynamicBalancedSoftmax": "lt_calib.loss.dynamic_balanced_softmax",
        "LabelAwareSmoothing": "lt_calib.loss.label_aware_smoothing",
        "accuracy": "lt_calib.metric.acc",
        "expected_calibration_error": "lt_calib.metric.ece",
        "ece_floor": "lt_calib.metric.ece_floor:calibration_error_floor",
        "negative_log_likelihood": "lt_calib.metric.nll",
        "Temperature": "lt_calib.posthoc.temperature",
        "Vector": "lt_calib.posthoc.vector",
        "LongTailedDataModule": "lt_calib.dataset.datamodule",
        "RepresentationModule": "lt_calib.stage.representation",
        "ClassifierModule": "lt_calib.stage.classifier",
        "BatchAugment": "lt_calib.training.batch_augment",
        "select_indices": "lt_calib.dataset.long_tail",
        "load_run": "lt_calib.predictor",
        "Predictor": "lt_calib.predictor",
        "LongTailedClassifier": "lt_calib.estimator",
        "fit_features": "lt_calib.estimator",
    },
    __name__,
)
