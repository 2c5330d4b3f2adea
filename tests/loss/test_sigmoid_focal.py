import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from lt_calib.loss.sigmoid_focal import SigmoidFocal


def test_is_torchvisions_summed_over_the_classes():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    wanted = sigmoid_focal_loss(logits, F.one_hot(targets, 3).float(), alpha=-1, gamma=2).sum(1).mean()
    torch.testing.assert_close(SigmoidFocal([5, 3, 1])(logits, targets), wanted)


def test_gamma_zero_is_binary_cross_entropy():
    logits, targets = torch.randn(12, 3), torch.arange(12) % 3
    wanted = F.binary_cross_entropy_with_logits(logits, F.one_hot(targets, 3).float(), reduction="none").sum(1).mean()
    torch.testing.assert_close(SigmoidFocal([5, 3, 1], gamma=0)(logits, targets), wanted)
