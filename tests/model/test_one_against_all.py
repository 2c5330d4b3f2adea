import math
from typing import Any

import pytest
import torch

from lt_calib.loss.sigmoid_focal import SigmoidFocal
from lt_calib.model.classifier import Linear
from lt_calib.model.one_against_all import OneAgainstAll
from tests.conftest import TINY, built


@pytest.mark.parametrize(("kind", "wanted"), [(Linear, 17.33), (OneAgainstAll, 4.51)])
def test_the_loss_at_the_start(kind, wanted):
    """At features 0, K = 100: 100 (1/2)^2 log 2 = 17.33; with s = 1/100, 0.99^2 log 100 + 99 0.01^2 0.01005 = 4.51."""
    classifier = kind(64, 100)
    if kind is Linear:
        torch.nn.init.zeros_(classifier.bias)
    logits = classifier(torch.zeros(4, 64))
    assert float(SigmoidFocal([5] * 100)(logits, torch.arange(4)).detach()) == pytest.approx(wanted, abs=0.005)
    if kind is OneAgainstAll:
        torch.testing.assert_close(torch.sigmoid(logits), torch.full((4, 100), 0.01))
        with pytest.raises(ValueError, match="num_classes 1"):
            OneAgainstAll(64, 1)


@pytest.mark.parametrize("factor", [1, 0.1])
def test_its_biases_alone_do_not_decay(factor):
    module = built("+experiment=sigmoid_focal", *TINY, f"stage1.backbone_lr_factor={factor}").stages[0].module
    classifier: Any = module.classifier
    optimizer = module.build_optimizer()
    *decaying, free = optimizer.param_groups
    assert [id(p) for p in free["params"]] == [id(classifier.bias)]
    assert (free["weight_decay"], free["lr"]) == (0, module.lr)
    assert {group["weight_decay"] for group in decaying} == {5e-4}
    groups = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(groups) == sorted(id(p) for p in module.parameters())
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    before = classifier.weight.detach().clone()
    optimizer.step()
    torch.testing.assert_close(classifier.weight.detach(), before * (1 - module.lr * 5e-4))
    torch.testing.assert_close(classifier.bias.detach(), torch.full((10,), -math.log(9)))


def test_without_it_there_is_one_group_in_the_order_of_the_modules():
    """A stage that was killed goes on: its optimizer's state is by place."""
    module = built("+experiment=ce", *TINY).stages[0].module
    (group,) = module.build_optimizer().param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in module.parameters()]
