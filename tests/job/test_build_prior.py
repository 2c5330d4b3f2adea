import pytest
import torch

from lt_calib.errors import InputError
from lt_calib.job.build_prior import own_prior
from tests.conftest import compose_config

COUNTS = [60, 30, 10]
PI = torch.tensor(COUNTS, dtype=torch.float64) / 100


def own(*overrides: str, stage: str = "stage1") -> torch.Tensor:
    return own_prior(compose_config("dataset=digits_lt", *overrides), {"class_counts": COUNTS}, stage).prior


@pytest.mark.parametrize(
    ("settings", "stage", "power"),
    [
        (["+experiment=ce"], "stage1", 1),  # p(y) = n / N
        (["+experiment=balanced_softmax"], "stage1", 0),
        (["+experiment=dynamic_balanced_softmax"], "stage1", 0),
        (["+experiment=class_balanced_sampling"], "stage1", 0),
        (["+experiment=square_root_sampling"], "stage1", 0.5),
        (["+experiment=reverse_sampling"], "stage1", -1),
        (["+experiment=weighted_ce"], "stage1", 0),  # weights n_K / n_c
        (["+experiment=balanced_softmax_awabs"], "stage2", 0),
        (["+experiment=crt"], "stage1", 1),
        (["+experiment=crt"], "stage2", 0),
        (["+experiment=tau_norm"], "stage2", 0),
        (["+experiment=logit_adjustment"], "stage2", 0),
        (["+experiment=logit_adjustment", "stage2.classifier.tau=0.25"], "stage2", 0.75),
    ],
)
def test_the_prior_is_a_power_of_the_training_set_s(settings, stage, power):
    wanted = PI.pow(power) / PI.pow(power).sum()
    torch.testing.assert_close(own(*settings, stage=stage), wanted, rtol=1e-4, atol=1e-6)


def test_a_changing_sampler_s_is_the_last_epoch_s():
    """Of 20 epochs the last draws 1/20 of n / N and 19/20 of equal classes."""
    found = own("+experiment=progressively_balanced", "stage1.max_epochs=20")
    torch.testing.assert_close(found, PI / 20 + 19 / 60, rtol=1e-6, atol=0)


def test_deferred_weights_are_those_of_the_last_epoch():
    weights = (1 - 0.9999) / (1 - torch.tensor(0.9999).double().pow(torch.tensor(COUNTS)))
    torch.testing.assert_close(own("+experiment=ldam_drw"), PI * weights / (PI * weights).sum(), rtol=1e-4, atol=1e-6)


def test_code_from_outside_is_not_built():
    cfg = compose_config("dataset=digits_lt", "+experiment=ce")
    cfg.stage1.loss._target_ = "torch.nn.CrossEntropyLoss"
    with pytest.raises(InputError, match="CrossEntropyLoss, which is code outside"):
        own_prior(cfg, {"class_counts": COUNTS}, "stage1")
