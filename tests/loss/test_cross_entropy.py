import torch
import torch.nn.functional as F

from lt_calib.loss.cross_entropy import CrossEntropy


def test_is_torchs():
    logits, targets = torch.randn(16, 5), torch.randint(5, (16,))
    torch.testing.assert_close(CrossEntropy([9, 5, 3, 2, 1])(logits, targets), F.cross_entropy(logits, targets))
