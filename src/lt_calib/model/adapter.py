"""A few trained parameters inside a frozen transformer."""

import torch
from torch import Tensor, nn

from lt_calib.errors import InputError


class Parallel(nn.Module):
    """A block's MLP with a narrow one beside it, MLP(x) + s W_up relu(W_down x); W_up begins at 0.

    Args:
        mlp: The block's, (..., D) -> (..., D).
        width: Of the narrow one, >= 1.
        scale: s.
    """

    def __init__(self, mlp: nn.Module, width: int, scale: float) -> None:
        super().__init__()
        features = next(m.in_features for m in mlp.modules() if isinstance(m, nn.Linear))
        self.mlp = mlp
        self.down = nn.Linear(features, width)
        self.up = nn.Linear(width, features)
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Compute both."""
        return self.mlp(x) + self.scale * self.up(torch.relu(self.down(x)))


class AdaptFormer(nn.Module):
    """A transformer of which only the :class:`Parallel` MLPs are trained, one beside each block's.

    Args:
        backbone: Images to features, with ``num_features``; its blocks have an ``mlp``, as timm's and open_clip's.
        width: Of each, >= 1; 2 D width + D + width parameters a block of D features.
        scale: s.

    Shape:
        As the backbone's.

    Raises:
        InputError: the width is below 1, or the backbone has no such blocks.

    Reference:
        Chen et al., "AdaptFormer: Adapting Vision Transformers for Scalable Visual Recognition", NeurIPS 2022, equation
        3; on a long tail: Shi et al., "Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts", ICML 2024.
    """

    def __init__(self, backbone: nn.Module, *, width: int = 64, scale: float = 0.1) -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"stage1.adapter.width={width} must be >= 1")
        blocks = [m for m in backbone.modules() if isinstance(getattr(m, "mlp", None), nn.Module)]
        if not blocks:
            raise InputError(
                f"stage1=adapter is for transformers, whose blocks have an mlp; {type(backbone).__name__} has none: "
                "take model=timm model.name=vit_small_patch16_224, say, or stage1=finetune"
            )
        self.backbone = backbone.requires_grad_(False)
        self.num_features = backbone.num_features
        for block in blocks:
            block.mlp = Parallel(block.mlp, width, scale)  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> "AdaptFormer":
        """Stay in evaluation mode: nothing that is trained here has another one."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features."""
        return self.backbone(images)
