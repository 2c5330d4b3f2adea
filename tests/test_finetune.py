"""Stage 1 that goes on from a pretrained network: all of it, or a few parameters inside it."""

import numpy as np
import pytest
import timm
import torch

from lt_calib.errors import InputError
from lt_calib.predictor import load_run
from lt_calib.run import run
from tests.conftest import built, compose_config

SHORT = [
    "+experiment=balanced_softmax", "stage1=finetune", "transform.mean=[0,0,0]", "transform.std=[1,1,1]",
    "dataset=digits_lt", "dataset.if=100", "stage1.max_epochs=1",
    "dataset.batch_size=64", "figures=false", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "metric=[acc,nll]", "cache=off", "model=timm", "model.name=test_vit", "model.size=32",
]  # fmt: skip


@pytest.fixture
def weights(tmp_path):
    """A file of weights, drawn at random: whose they are matters to nothing here."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("test_vit", img_size=32, num_classes=0)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.mark.parametrize("stage1", ["finetune", "adapter"])
def test_it_goes_on_from_the_weights_and_is_whole_without_them(weights, tmp_path, stage1):
    command = [*SHORT, f"stage1={stage1}", "stage1.max_epochs=1", f"model.checkpoint={weights}"]
    results = run(compose_config(*command), tmp_path / "run")
    assert results["pretrained"]["size"] == 32
    assert results["pretrained"]["network"] == "Timm"
    before = torch.load(weights, weights_only=True)
    after = torch.load(tmp_path / "run" / "stage1.ckpt", weights_only=True)["backbone"]
    of_adapters = {name for name in after if ".up." in name or ".down." in name}
    moved = [
        max(
            float((after[name] - value).abs().max())
            for name in after
            if name.replace(".mlp.mlp.", ".mlp.").endswith(key)
        )
        for key, value in before.items()
    ]
    if stage1 == "adapter":
        assert max(moved) == 0
        assert max(float(after[name].abs().max()) for name in of_adapters if name.endswith("up.weight")) > 0
    else:
        assert not of_adapters
        assert 0 < max(moved) < 0.1
    weights.unlink()
    images = built("dataset=digits_lt", "cache=off").data.raw("test").permute(0, 3, 1, 2)
    kept = torch.from_numpy(np.load(tmp_path / "run" / "predictions.npz")["stage1_test_logits"])
    torch.testing.assert_close(
        load_run(tmp_path / "run").predict_proba(images), torch.softmax(kept, 1), atol=1e-5, rtol=0
    )


def test_weights_that_are_drawn_and_images_that_are_normalized_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match="whose weights are drawn at random"):
        run(compose_config(*SHORT, "model.pretrained=false"), tmp_path / "run")
    with pytest.raises(InputError, match="for a pretrained network"):
        run(
            compose_config(*SHORT, "stage1=adapter", "stage1.pretrained=false", f"model.checkpoint={weights}"), tmp_path
        )
    with pytest.raises(InputError, match="the network normalizes images itself"):
        run(compose_config(*SHORT, f"model.checkpoint={weights}", "transform.mean=[0.5,0.5,0.5]"), tmp_path / "run")
