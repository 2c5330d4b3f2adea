"""Stage 1 on a frozen network, or on a table of features: trained, resumed, given back, predicted with, refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lt_calib.errors import InputError
from lt_calib.export import export
from lt_calib.predictor import load_run
from lt_calib.run import run
from tests.conftest import built, compose_config

TINY = [
    "stage1.max_epochs=2",
    "figures=false",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "metric=[acc,ece,nll]",
]
TABLE = [*TINY, "dataset=digits_features_lt", "cache=off"]
NETWORK = '''
import torch
from torch import nn
from lt_calib.model.frozen import Input


class Blocks(nn.Module):
    """The image shrunk to 8 x 8, and rectified sums of it with fixed weights."""

    num_features = 24
    input = Input(8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))

    def __init__(self, drawn: bool = False, shift: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.sin(torch.arange(192 * 24.0)).view(192, 24) / 14 + shift)
        if drawn:
            nn.init.normal_(self.weight)

    def forward(self, images):
        return torch.relu(images.flatten(1) @ self.weight)
'''


@pytest.fixture
def network(tmp_path, monkeypatch) -> list[str]:
    """The words of a command that freezes a network of one's own."""
    (tmp_path / "blocks_of_mine.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("blocks_of_mine", None)
    return [*TINY, "dataset=digits_lt", f"cache.root={tmp_path / 'cache'}"]


OWN = "model.backbone={_target_: blocks_of_mine.Blocks}"


def words(network: list[str], *more: str) -> list[str]:
    return [*network, OWN, *more]


@pytest.mark.parametrize("experiment", ["frozen_awabs", "frozen_crt", "frozen_ncm"])
def test_a_table_is_trained_on_and_predicted_with(tmp_path, experiment):
    results = run(compose_config(*TABLE, f"+experiment={experiment}", "dataset.recipe.stage2_epochs=2"), tmp_path)
    assert results["dataset"]["image_shape"] == [64]
    kept = np.load(tmp_path / "predictions.npz")
    predictor = load_run(tmp_path)
    rows = built(*TABLE, f"+experiment={experiment}").data.raw("test")
    probs = predictor.predict_proba(rows.numpy().astype(np.float64))
    torch.testing.assert_close(probs, torch.softmax(torch.from_numpy(kept["stage2_test_logits"]), 1), atol=1e-6, rtol=0)
    assert results["stage2"]["test"]["acc"] > 0.5
    with pytest.raises(ValueError, match=r"must be \(N, 64\)"):
        predictor.predict_proba(rows[:, :5])
    rows[3, 0] = torch.nan
    with pytest.raises(ValueError, match="row 3"):
        predictor.predict_proba(rows)


def test_a_network_is_run_once_and_belongs_to_the_run(network, tmp_path):
    command = words(network, "+experiment=frozen_awabs", "dataset.recipe.stage2_epochs=1")
    results = run(compose_config(*command), tmp_path / "run")
    assert results["frozen"]["network"] == "Blocks"
    assert results["dataset"]["image_shape"] == [3, 32, 32]
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=r"blocks_of_mine\.Blocks, which is code outside"):
        load_run(folder)
    images = built(*command).data.data.raw("test").permute(0, 3, 1, 2)  # type: ignore[attr-defined]
    probs = load_run(folder, trust=True).predict_proba(images)
    kept = torch.from_numpy(np.load(folder / "predictions.npz")["stage2_test_logits"])
    torch.testing.assert_close(probs, torch.softmax(kept, 1), atol=2e-3, rtol=0)  # the run's features are of float16
    assert not any("weight" in key for key in torch.load(folder / "stage2.ckpt", weights_only=True)["backbone"])
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        text.replace("_target_: blocks_of_mine.Blocks", "_target_: blocks_of_mine.Blocks\n    shift: 0.1")
    )
    with pytest.raises(InputError, match="weights of Blocks are others than this run was trained on"):
        load_run(folder, trust=True)


def test_features_are_shared_by_seeds_and_factors(network, tmp_path, caplog):
    caplog.set_level("INFO")
    run(compose_config(*words(network, "+experiment=frozen_ce")), tmp_path / "a")
    assert "503 of them computed" in caplog.text
    caplog.clear()
    run(compose_config(*words(network, "+experiment=frozen_ce", "seed=1", "dataset.if=20")), tmp_path / "b")
    assert "computed" in caplog.text
    assert all(", 0 of them computed" in line for line in caplog.messages if "Features of" in line)


def test_files_that_are_read_too_small_for_the_network_are_told_of(network, tmp_path, caplog):
    for c in "ab":
        (tmp_path / "images" / c).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (20, 20), (40 * i, 90, 0)).save(tmp_path / "images" / c / f"{i}.png")
    command = [word for word in words(network, "+experiment=frozen_ce") if word != "dataset=digits_lt"]
    folder = ["dataset=folder", f"dataset.root={tmp_path / 'images'}", "dataset.batch_size=8"]
    built(*command, *folder, "dataset.size=6")
    assert "read at 6 pixels and enlarged to 8" in caplog.text
    caplog.clear()
    assert built(*command, *folder, "dataset.size=8").data.raw("train").shape == (8, 24)
    assert "enlarged" not in caplog.text


def test_the_exported_model_takes_features(tmp_path):
    run(compose_config(*TABLE, "+experiment=frozen_ce"), tmp_path)
    predictor = load_run(tmp_path)
    export(predictor, tmp_path / "m.pt2")
    rows = built(*TABLE, "+experiment=frozen_ce").data.raw("test")[:7]
    torch.testing.assert_close(torch.export.load(tmp_path / "m.pt2").module()(rows), predictor.predict_proba(rows))


def test_resampled_features_are_standardized_once(tmp_path):
    """Of a table, whose rows are no features of the backbone's yet."""
    more = [
        "+experiment=frozen_crt",
        "resample=over_sampling",
        "resample.space=features",
        "dataset.recipe.stage2_epochs=2",
    ]
    pytest.importorskip("imblearn")
    results = run(compose_config(*TABLE, *more, "dataset.val_per_class=5"), tmp_path)
    assert results["stage2"]["test"]["acc"] > 0.5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["+experiment=frozen_ce", "augment=cutmix"], "augment CutMix is of images"),
        (["+experiment=frozen_ce", "model=resnet8"], "are features already: take model=none"),
        (["+experiment=frozen_ce", "features.views=2"], r"features\.views=2"),
        (["+experiment=frozen_ce", "features.standardize=two"], r"features\.standardize=two must be one of"),
        (["+experiment=ce", "model=none"], "set stage1=frozen"),
    ],
)
def test_what_does_not_fit_a_table_is_refused(more, said):
    with pytest.raises(InputError, match=said):
        built(*TABLE, *more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["+experiment=frozen_ce"], "are images, and model=none: choose a network"),
        (["+experiment=frozen_ce", "model=resnet8"], "whose weights are drawn at random"),
        (
            ["+experiment=ce", "model=resnet8", "features.size=64"],
            r"features\.size is read where the network is frozen",
        ),
        (["+experiment=frozen_ce", OWN, "transform.mean=[0.5,0.5,0.5]"], "the network normalizes images itself"),
        (["+experiment=frozen_ce", OWN, "+model.backbone.drawn=true"], "whose weights are drawn at random"),
        (["+experiment=frozen_ce", OWN, "features.size=9"], "takes no images of 9 pixels"),
    ],
)
def test_what_does_not_fit_a_frozen_network_is_refused(network, more, said):
    with pytest.raises(InputError, match=said):
        built(*network, *more)


def test_mixup_mixes_features(tmp_path):
    results = run(compose_config(*TABLE, "+experiment=frozen_balanced_softmax", "augment=mixup"), tmp_path)
    assert results["stage1"]["test"]["acc"] > 0.5
    assert json.loads((Path(tmp_path) / "results.json").read_text())["network"]["features"]["standardize"] == "one"


def test_written_features_give_the_same_numbers(network, tmp_path, capsys):
    """``lt_calib.features`` writes what ``dataset=features`` reads, and a run on the file is the run on the images."""
    from lt_calib.features import write_features

    of_network = words(network)
    images = [*of_network, "+experiment=frozen_balanced_softmax"]
    own = run(compose_config(*images), tmp_path / "images")
    write_features(of_network, tmp_path / "digits.npz")
    assert "24 features of 503 of train, 500 of test" in capsys.readouterr().out
    table = [word for word in network if not word.startswith("dataset=")]
    file = [
        "dataset=features",
        f"dataset.file={tmp_path / 'digits.npz'}",
        "dataset.groups=[3,7]",
    ]
    given = run(compose_config(*table, *file, "+experiment=frozen_balanced_softmax"), tmp_path / "table")
    assert given["dataset"]["class_counts"] == own["dataset"]["class_counts"]
    assert given["stage1"]["test"] == own["stage1"]["test"]
    with pytest.raises(InputError, match=r"must end with \.npz"):
        write_features(of_network, tmp_path / "digits.csv")


def test_predict_takes_a_file_of_features(tmp_path):
    from lt_calib.predict import predict_into

    run(compose_config(*TABLE, "+experiment=frozen_ce"), tmp_path)
    rows = built(*TABLE, "+experiment=frozen_ce").data.raw("test")[:3].numpy()
    np.save(tmp_path / "new.npy", rows)
    np.savez(tmp_path / "new.npz", features=rows)
    predictor, written = load_run(tmp_path), []
    for name in ("new.npy", "new.npz"):
        predict_into(tmp_path / "out.csv", predictor, tmp_path / name)
        written.append((tmp_path / "out.csv").read_text().splitlines())
    assert written[0] == written[1]
    label = int(predictor.predict_proba(rows)[1].argmax())
    assert written[0][2].startswith(f"row 1,{label},{label},0.")
    np.savez(tmp_path / "other.npz", rows=rows)
    with pytest.raises(InputError, match="has rows; wanted is an array features"):
        predict_into(tmp_path / "out.csv", predictor, tmp_path / "other.npz")


def test_the_page_on_features_says_what_runs():
    text = (Path(__file__).parents[1] / "docs" / "features.md").read_text()
    (example,) = text.split("```python\n")[1:]
    found: dict[str, object] = {}
    exec(example.split("```")[0], found)
    assert found["probs"].shape == (5, 3)  # type: ignore[attr-defined]
