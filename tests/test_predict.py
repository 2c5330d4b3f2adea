import csv
import json
import os
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lt_calib.calibrate import calibrate_folder
from lt_calib.errors import InputError
from lt_calib.export import export
from lt_calib.files.checkpoint import stage1_of
from lt_calib.job.results import read_predictions
from lt_calib.model.resnet_cifar import ResNetCIFAR
from lt_calib.predict import main
from lt_calib.predicted import read_resized
from lt_calib.predictor import load_run
from lt_calib.run import run
from lt_calib.transform.resized_crop import ResizedCrop
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


@pytest.fixture(scope="module")
def predictor(trained):
    return load_run(trained)


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

    source: Any = digits()
    return source.test_images.permute(0, 3, 1, 2)


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


@pytest.mark.parametrize(
    "experiment",
    ["ncm", "ldam", *(pytest.param(x, marks=pytest.mark.slow) for x in ("ce", "tau_norm", "logit_adjustment", "bbn"))],
)
def test_a_run_of_any_kind_of_classifier_is_loaded(composed, tmp_path, experiment):
    settings = TINY if experiment != "bbn" else [*TINY_FULL, "dataset.if=100"]  # its backbone is its own, and slow
    run(composed(*settings, f"+experiment={experiment}"), tmp_path)
    probs = load_run(tmp_path).predict_proba(digit_pictures())
    stages = read_predictions(tmp_path / "predictions.npz")
    logits, _ = stages[max(stages)]["test"]
    torch.testing.assert_close(probs, torch.softmax(logits, dim=1), atol=1e-4, rtol=0)


def test_images_of_any_size_are_stretched_to_the_networks(tmp_path):
    rgb = np.zeros((50, 70, 3), dtype=np.uint8)
    rgb[..., 0] = 200
    Image.fromarray(rgb).save(tmp_path / "image.png")
    assert read_resized(tmp_path / "image.png", (3, 28, 14)).shape == (3, 28, 14)
    assert read_resized(tmp_path / "image.png", (3, 32, 32))[:, 5, 5].tolist() == [200, 0, 0]
    grey = read_resized(tmp_path / "image.png", (1, 28, 28))
    assert (grey.shape, grey.dtype, grey.unique().tolist()) == ((1, 28, 28), torch.uint8, [60])  # 0.299 x 200


DTYPES = [
    *(np.dtype(name) for name in ("bool", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")),
    *(np.dtype(name) for name in ("complex64", "complex128", "longdouble", "object", "U1", ">u2")),
    *(torch.bool, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64),
    *(torch.complex64, torch.float8_e4m3fn),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_dtype_that_does_not_say_what_white_is_is_refused(predictor, dtype):
    zeros = torch.zeros(2, 3, 32, 32)
    images = zeros.to(dtype) if isinstance(dtype, torch.dtype) else zeros.numpy().astype(dtype)
    name = dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=rf"images of dtype {name} do not say .* 65535 for 16 bits"):
        predictor.predict_proba(images)


def test_probabilities_depend_on_the_values_and_not_on_how_they_are_kept(predictor):
    images = digit_pictures()[:4] // 255 * 255  # 0 and 255 alone are exact in every dtype
    wanted = predictor.predict_proba(images)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        torch.testing.assert_close(predictor.predict_proba((images / 255).to(dtype)), wanted)
    array = images.numpy()
    read_only = array.copy()
    read_only.flags.writeable = False
    floats = array / 255
    given = (
        read_only,
        array.copy()[..., ::-1][..., ::-1],
        np.asfortranarray(array),
        floats.astype(">f4"),
        floats.tolist(),
    )
    for same in given:
        torch.testing.assert_close(predictor.predict_proba(same), wanted)
    torch.testing.assert_close(predictor.predict_proba(array[:, ::-1]), predictor.predict_proba(images.flip(1)))
    for empty in (images[:0], array[:0], floats[:0]):
        assert predictor.predict_proba(empty).shape == (0, 10)
    ml_dtypes = pytest.importorskip("ml_dtypes")  # JAX's bfloat16
    torch.testing.assert_close(predictor.predict_proba(floats.astype(ml_dtypes.bfloat16)), wanted)


@pytest.mark.parametrize("bad", [-0.01, 1.01, 255, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_out_of_range_are_refused(predictor, bad, dtype):
    images = np.full((2, 3, 32, 32), 0.5, dtype=dtype)
    images[1, 2, 3, 4] = bad
    for given in (images, torch.from_numpy(images)):
        with pytest.raises(
            ValueError, match=rf"images of dtype {dtype} must lie in \[0, 1\], not normalized, and these"
        ):
            predictor.predict_proba(given)


def predict(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["predict", *map(str, arguments)])
    main()


def test_what_cannot_be_read_costs_itself_alone(trained, predictor, tmp_path, monkeypatch, capsys):
    images = tmp_path / "images"
    (images / "a folder.png").mkdir(parents=True)
    names = ["plain.png", "a folder.png/with, comma.png", 'a "quote".png', "two\nlines.png", "ü.png", "=1+1.png"]
    no_utf8 = os.fsdecode(b"caf\xe9.png")
    for name, image in zip([*names, no_utf8], digit_pictures().permute(0, 2, 3, 1).numpy(), strict=False):
        Image.fromarray(image).save(images / name)
    (images / "turned.jpg").write_bytes(turned_with_a_text_for_a_number())
    good = sorted([*names, no_utf8, "turned.jpg"])
    whole = (images / "plain.png").read_bytes()
    bad = {"notes.txt": b"no image", "cut.png": whole[:60], "empty.png": b"", "bomb.pgm": b"P5 60000 60000 255\n"}
    for name, content in bad.items():
        (images / name).write_bytes(content)
    os.mkfifo(images / "pipe.png")
    (images / "broken.png").symlink_to("gone.png")
    (images / os.fsdecode(b"bad\xff\x1b.png")).touch()
    (images / ".hidden.png").write_bytes(whole)
    (images / "__MACOSX").mkdir()
    (images / "__MACOSX" / "._plain.png").write_bytes(b"")
    out = tmp_path / "predictions.csv"
    predict(monkeypatch, trained, images, "--out", out)
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    shown = [f"{images}/{name}".encode(errors="backslashreplace").decode() for name in good]
    assert [row["file"] for row in rows] == shown
    assert f"{images}/caf\\udce9.png" in shown
    read = torch.stack([read_resized(images / name, (3, 32, 32)) for name in good])
    probs = predictor.predict_proba(read)
    assert [int(row["class"]) for row in rows] == probs.argmax(1).tolist()
    assert [float(row["confidence"]) for row in rows] == pytest.approx(probs.max(1).values.tolist(), abs=1e-6)
    assert {row["group"] for row in rows} <= {"head", "medium", "tail"}
    printed = capsys.readouterr().out
    assert "8 images, 7 files skipped, 2 hidden ones passed over; calibrated" in printed
    for name in (*bad, "pipe.png", "broken.png", r"bad\udcff\x1b.png"):
        assert f"skipped: {images}/{name} cannot be read: " in printed


def test_the_most_probable_classes_and_all_of_them(trained, predictor, tmp_path, monkeypatch, capsys):
    out, images = tmp_path / "predictions.csv", tmp_path / "images"
    images.mkdir()
    for i, image in enumerate(digit_pictures()[:3].permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).resize([(32, 32), (64, 48), (20, 20)][i]).save(images / f"{i}.png")
    predict(monkeypatch, trained, images, "--out", out, "--top-k", 3, "--probabilities")
    assert "2 images resized: from 20 x 20 to 64 x 48 pixels, to 32 x 32" in capsys.readouterr().out
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    probs = predictor.predict_proba(torch.stack([read_resized(images / f"{i}.png", (3, 32, 32)) for i in range(3)]))
    for found, p in zip(rows, probs, strict=True):
        assert [float(found[f"probability_{name}"]) for name in predictor.class_names] == pytest.approx(
            p.tolist(), abs=1e-6
        )
        most = p.argsort(descending=True)[:3].tolist()
        assert [int(found[f"top{i}_class"]) for i in (1, 2, 3)] == most
        assert [found[f"top{i}_class_name"] for i in (1, 2, 3)] == [predictor.class_names[c] for c in most]
        assert [float(found[f"top{i}_probability"]) for i in (1, 2, 3)] == pytest.approx(p[most].tolist(), abs=1e-6)
        assert found["class"] == found["top1_class"]
        assert found["confidence"] == found["top1_probability"]
    predict(monkeypatch, trained, images / "0.png", "--out", out)
    assert out.read_text().splitlines()[0] == "file,class,class_name,confidence,group"
    assert "resized" not in capsys.readouterr().out
    for k in (-1, 11):
        with pytest.raises(SystemExit, match=f"--top-k {k} must be 0 to 10"):
            predict(monkeypatch, trained, images, "--out", out, "--top-k", k)


@pytest.mark.parametrize(
    ("transform", "sizes", "wanted"),
    [
        (
            ResizedCrop([0.5], [0.5], size=28),
            [(32, 32), (28, 28)],
            [(28, 28)],
        ),  # kept at 32, of which the middle is seen
        (ResizedCrop([0.5], [0.5]), [(32, 32), (28, 28)], [(32, 32)]),
        (None, [(28, 28), (28, 14)], [(28, 14)]),
    ],
)
def test_what_is_resized_is_told(transform, sizes, wanted, tmp_path):
    resized = []
    for size in sizes:
        Image.new("RGB", size, (200, 0, 0)).save(tmp_path / "image.png")
        image = read_resized(tmp_path / "image.png", (3, 28, 28), transform, resized)
        assert image.flatten(1).unique(dim=1).T.tolist() == [[200, 0, 0]]
    assert resized == wanted


def turned_with_a_text_for_a_number() -> bytes:
    """A JPEG that lies on its side by its EXIF, which has a text where the resolution belongs."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x1a\x01\x02\0\x03\0\0\x0072\0\0\0\0\0\0"
    stream = BytesIO()
    Image.new("RGB", (64, 32), (9, 8, 7)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_where_no_image_could_be_read_the_command_fails_and_leaves_the_old_table(trained, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no image")
    (tmp_path / "text" / ".hidden.png").touch()
    out = tmp_path / "predictions.csv"
    out.write_text("of yesterday")
    for name, why in (
        ("empty", "no image could be read (0 files skipped)"),
        ("text", "no image could be read (1 files skipped, 1 hidden ones passed over)"),
        ("text/notes.txt", "no image could be read (1 files skipped)"),
        ("gone", "no image could be read (1 files skipped)"),
    ):
        with pytest.raises(SystemExit, match=re.escape(why)):
            predict(monkeypatch, trained, tmp_path / name, "--out", out)
    assert out.read_text() == "of yesterday"


def test_a_run_knows_the_stage_1_that_it_was_given(composed, tmp_path, monkeypatch):
    for seed in (0, 1):
        run(composed(*TINY, "+experiment=ce", f"seed={seed}"), tmp_path / f"seed{seed}")
    (tmp_path / "given").mkdir()
    shutil.copy(tmp_path / "seed0" / "stage1.ckpt", tmp_path / "given" / "mine.ckpt")
    monkeypatch.chdir(tmp_path / "given")
    folder = tmp_path / "run"
    run(composed(*TINY, "+experiment=ce", "stage1.ckpt_path=mine.ckpt"), folder)
    images = digit_pictures()[:5]
    wanted = load_run(tmp_path / "seed0").predict_proba(images)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.copy(tmp_path / "seed1" / "stage1.ckpt", "mine.ckpt")  # of the same name, where the command is given
    torch.testing.assert_close(load_run(folder).predict_proba(images), wanted, atol=0, rtol=0)
    shutil.copy("mine.ckpt", tmp_path / "given" / "mine.ckpt")
    with pytest.raises(
        InputError, match=r"mine\.ckpt is another file than the stage 1 .* copy that to .*run/stage1\.ckpt"
    ):
        load_run(folder)
    (tmp_path / "given" / "mine.ckpt").unlink()
    with pytest.raises(InputError, match=r"mine\.ckpt, the stage 1 .*, is not there: copy that to .*run/stage1\.ckpt"):
        load_run(folder)
    shutil.copy("mine.ckpt", folder / "stage1.ckpt")
    with pytest.raises(InputError, match=r"run/stage1\.ckpt is another file"):
        load_run(folder)
    shutil.copy(tmp_path / "seed0" / "stage1.ckpt", folder / "stage1.ckpt")
    torch.testing.assert_close(load_run(folder).predict_proba(images), wanted, atol=0, rtol=0)


def test_a_relative_stage_1_of_an_old_run_is_not_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.ckpt").touch()
    with pytest.raises(InputError, match=r"mine\.ckpt, .*, lies relative to a folder that the run does not name: copy"):
        stage1_of(tmp_path / "run", "mine.ckpt", None)


def test_exports_agree(trained, tmp_path):
    predictor, images = load_run(trained), torch.rand(5, 3, 32, 32)
    wanted = predictor.predict_proba(images)
    export(predictor, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(loaded(images), wanted, atol=1e-5, rtol=0)
    extra = {"metadata.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    about = json.loads(extra["metadata.json"])
    normalized = (images - torch.tensor(about["normalization"]["mean"])[:, None, None]) / torch.tensor(
        about["normalization"]["std"]
    )[:, None, None]
    logits = predictor.classifier(predictor.backbone(normalized))
    assert about["calibrator"] == "Temperature"
    assert predictor.calibrator is not None
    torch.testing.assert_close(predictor.calibrator(logits), wanted, atol=1e-5, rtol=0)
    assert [2, *about["input"]["shape"]] == [2, 3, 32, 32]
    with pytest.raises(InputError, match="must end with"):
        export(predictor, tmp_path / "model.bin")


@pytest.mark.skipif(RECENT < (2, 14), reason="torch 2.6's ONNX exporter fails on the network")
@pytest.mark.parametrize(
    "posthoc",
    [
        "isotonic",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("none", "temperature", "vector", "class_temperature")),
    ],
)
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
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert about["class_names"] == results["dataset"]["class_names"]
    assert about["groups"] == results["dataset"]["groups"]
    assert about["input"]["name"] == session.get_inputs()[0].name
    assert about["input"]["shape"] == session.get_inputs()[0].shape[1:] == results["dataset"]["image_shape"]
    assert (about["input"]["layout"], about["input"]["range"], about["input"]["channels"]) == ("NCHW", [0, 1], "RGB")
    assert about["output"]["name"] == session.get_outputs()[0].name
    for what in ("mean", "std"):
        assert about["normalization"][what] == pytest.approx(results["transform"][what])
    assert about["transform"] == results["transform"]["name"]
    assert about["calibrator"] == {
        "none": None, "temperature": "Temperature", "vector": "Vector", "class_temperature": "ClassTemperature",
        "isotonic": "Isotonic",
    }[posthoc]  # fmt: skip


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
