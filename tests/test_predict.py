import csv
import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from lt_calib.calibrate import calibrate_folder
from lt_calib.errors import InputError
from lt_calib.job.results import read_predictions
from lt_calib.model.resnet_cifar import ResNetCIFAR
from lt_calib.predict import main, read_image
from lt_calib.predictor import export, load_run
from lt_calib.run import run
from tests.conftest import TINY, TINY_FULL, compose_config

VAL = "dataset.val_per_class=10"
RECENT = tuple(int(part) for part in torch.__version__.split(".")[:2])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A calibrated run of two stages."""
    folder = tmp_path_factory.mktemp("trained")
    overrides = [*TINY, "stage2.max_epochs=1", "+experiment=cutmix_awabs", VAL, "posthoc=temperature"]
    run(compose_config(*overrides), folder)
    return folder


class OwnBackbone(ResNetCIFAR):
    """Code outside the package."""


def test_a_backbone_of_ones_own_is_loaded_where_it_is_trusted(trained, tmp_path, monkeypatch, capsys):
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    own = f"{OwnBackbone.__module__}.OwnBackbone"
    path.write_text(path.read_text().replace("lt_calib.model.resnet_cifar.ResNetCIFAR", own))
    with pytest.raises(InputError, match=f"{own}, which is code outside lt_calib"):
        load_run(tmp_path / "run")
    images = digit_pictures()[:5]
    wanted = load_run(trained).predict_proba(images)
    torch.testing.assert_close(load_run(tmp_path / "run", trust=True).predict_proba(images), wanted)
    Image.fromarray(images[0].permute(1, 2, 0).numpy()).save(tmp_path / "0.png")
    command = ["predict", str(tmp_path / "run"), str(tmp_path / "0.png"), "--out", str(tmp_path / "predictions.csv")]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="--trust"):
        main()
    monkeypatch.setattr("sys.argv", [*command, "--trust"])
    main()
    assert "1 images, 0 files skipped" in capsys.readouterr().out


def digit_pictures() -> torch.Tensor:
    from lt_calib.dataset.digits import digits

    return digits().test_images.permute(0, 3, 1, 2)


def test_probabilities_are_the_runs_calibrated_ones(trained):
    predictor = load_run(trained)
    images = digit_pictures()
    probs = predictor.predict_proba(images)
    logits, _ = read_predictions(trained / "predictions.npz")["stage2"]["test"]
    temperature = json.loads((trained / "results.json").read_text())["calibrated"]["stage2"]["parameters"]
    torch.testing.assert_close(probs, torch.softmax(logits / temperature["temperature"], dim=1), atol=1e-4, rtol=0)
    torch.testing.assert_close(predictor.predict_proba(images.float() / 255), probs)
    assert predictor.groups["tail"] == [7, 8, 9]
    with pytest.raises(ValueError, match=r"must be \(N, 3, 32, 32\)"):
        predictor.predict_proba(images[:, :1])
    with pytest.raises(ValueError, match="not normalized"):
        predictor.predict_proba(torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize("experiment", ["ce", "ncm", "tau_norm", "logit_adjustment", "bbn", "ldam"])
def test_a_run_of_any_kind_of_classifier_is_loaded(composed, tmp_path, experiment):
    settings = TINY if experiment != "bbn" else [*TINY_FULL, "dataset.if=100"]  # its backbone is its own, and slow
    run(composed(*settings, f"+experiment={experiment}"), tmp_path)
    probs = load_run(tmp_path).predict_proba(digit_pictures())
    stages = read_predictions(tmp_path / "predictions.npz")
    logits, _ = stages[max(stages)]["test"]
    torch.testing.assert_close(probs, torch.softmax(logits, dim=1), atol=1e-4, rtol=0)


def test_pictures_of_any_size_and_mode(tmp_path):
    rgb = np.zeros((50, 70, 3), dtype=np.uint8)
    rgb[..., 0] = 200
    modes = {
        "RGB.png": Image.fromarray(rgb), "L.png": Image.fromarray(rgb[..., 0]),
        "P.gif": Image.fromarray(rgb).convert("P"),
        "1.png": Image.fromarray(rgb[..., 0] > 0), "CMYK.jpg": Image.fromarray(rgb).convert("CMYK"),
        "16.png": Image.fromarray(np.full((40, 40), 200 * 257, dtype=np.uint16)),
        "LA.png": Image.fromarray(rgb).convert("LA"),
    }  # fmt: skip
    for name, value in (("dark.png", 40), ("darker.tif", 300)):  # of 16 bits, however dark
        modes[name] = Image.fromarray(np.full((40, 40), value, dtype=np.uint16))
    modes["F.tif"] = Image.fromarray(np.full((40, 40), 200 / 255, dtype=np.float32))
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    modes["RGBA.png"] = clear
    read = partial(read_image, shape=(3, 32, 32))
    for name, picture in modes.items():
        picture.save(tmp_path / name)
        assert read(tmp_path / name).shape == (3, 32, 32)
        assert read(tmp_path / name).dtype == torch.uint8
    assert read(tmp_path / "RGB.png")[:, 5, 5].tolist() == [200, 0, 0]
    assert read(tmp_path / "16.png")[:, 5, 5].tolist() == [200, 200, 200]
    assert read(tmp_path / "dark.png").unique().tolist() == [0]
    assert read(tmp_path / "darker.tif").unique().tolist() == [1]
    assert read(tmp_path / "F.tif").unique().tolist() == [200]
    for pixels in (np.full((40, 40), 200, dtype=np.int32), np.full((40, 40), 200, dtype=np.float32)):
        Image.fromarray(pixels).save(tmp_path / "32.tif")
        with pytest.raises(ValueError, match=r"from 200 to 200, of which it is not known what white is"):
            read(tmp_path / "32.tif")
    assert read(tmp_path / "RGBA.png").unique().tolist() == [255]  # transparent is white
    assert read_image(tmp_path / "RGB.png", (3, 28, 14)).shape == (3, 28, 14)
    grey = read_image(tmp_path / "L.png", (1, 28, 28))
    assert grey.shape == (1, 28, 28)
    assert grey.unique().tolist() == [200]


def test_the_command_lists_and_skips_what_it_cannot_read(trained, tmp_path, monkeypatch, capsys):
    pictures = tmp_path / "images" / "deep"
    pictures.mkdir(parents=True)
    images = digit_pictures()[:3].permute(0, 2, 3, 1).numpy()
    for i, image in enumerate(images):
        Image.fromarray(image).save(pictures / f"{i}.png")
    (pictures / "notes.txt").write_text("no picture")
    (pictures / "broken.png").write_bytes((pictures / "0.png").read_bytes()[:60])
    out = tmp_path / "predictions.csv"
    monkeypatch.setattr("sys.argv", ["predict", str(trained), str(tmp_path / "images"), "--out", str(out)])
    main()
    rows = list(csv.DictReader(out.open()))
    probs = load_run(trained).predict_proba(digit_pictures()[:3])
    assert [int(row["class"]) for row in rows] == probs.argmax(1).tolist()
    assert [float(row["confidence"]) for row in rows] == pytest.approx(probs.max(1).values.tolist(), abs=1e-6)
    assert {row["group"] for row in rows} <= {"head", "medium", "tail"}
    printed = capsys.readouterr().out
    assert "3 images, 2 files skipped; calibrated" in printed
    assert "notes.txt" in printed
    assert "broken.png" in printed


def test_exports_agree(trained, tmp_path):
    predictor, images = load_run(trained), torch.rand(5, 3, 32, 32)
    wanted = predictor.predict_proba(images)
    export(predictor, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(loaded(images), wanted, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="must end with"):
        export(predictor, tmp_path / "model.bin")


@pytest.mark.skipif(RECENT < (2, 14), reason="torch 2.6's ONNX exporter fails on the network")
@pytest.mark.parametrize("posthoc", ["none", "temperature", "vector", "class_temperature", "isotonic"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_agrees_with_every_calibrator(trained, tmp_path, posthoc):
    onnxruntime = pytest.importorskip("onnxruntime")
    shutil.copytree(trained, tmp_path / "run")
    calibrate_folder(tmp_path / "run", [f"posthoc={posthoc}"])
    predictor, images = load_run(tmp_path / "run"), torch.rand(5, 3, 32, 32)
    export(predictor, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (probs,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(probs, predictor.predict_proba(images).numpy(), atol=1e-4)


def test_folders_that_hold_no_run(trained, tmp_path):
    with pytest.raises(InputError, match=r"no finished run: config\.yaml, results\.json, stage1\.ckpt is missing"):
        load_run(tmp_path)
    shutil.copytree(trained, tmp_path / "evil")
    text = (tmp_path / "evil" / "config.yaml").read_text()
    evil = text.replace("lt_calib.model.resnet_cifar.ResNetCIFAR", "os.getcwd")
    assert evil != text
    (tmp_path / "evil" / "config.yaml").write_text(evil)
    with pytest.raises(InputError, match=r"os\.getcwd, which is code outside lt_calib.* --trust"):
        load_run(tmp_path / "evil")
    evil = text.replace("lt_calib.model.resnet_cifar.ResNetCIFAR", "lt_calib.run.os.getcwd")
    (tmp_path / "evil" / "config.yaml").write_text(evil)
    for trust in (False, True):
        with pytest.raises(InputError, match="no part that a file may build"):
            load_run(tmp_path / "evil", trust)
