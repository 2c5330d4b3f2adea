import subprocess

import pytest

from lt_calib.dataset import imagenet_lt, inaturalist18, places_lt
from lt_calib.dataset.benchmark import blob_id, recognized


def test_the_id_of_a_blob_is_gits(tmp_path):
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    (tmp_path / "list.txt").write_text("train/n01440764/n01440764_190.JPEG 0\n")
    git = subprocess.run(["git", "hash-object", "list.txt"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert blob_id((tmp_path / "list.txt").read_bytes()) == git.stdout.strip()


def test_a_list_is_recognized_by_its_content(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("a.jpg 0\n")
    known = {blob_id(b"a.jpg 0\n")[:12]: "the list of a"}
    assert recognized(path, known) == "mine.txt is the list of a"
    path.write_text("a.jpg 0")
    assert "no list known here" in recognized(path, known)


@pytest.mark.parametrize("about", [imagenet_lt.ABOUT, places_lt.ABOUT, inaturalist18.ABOUT])
def test_ids_are_of_git(about):
    assert all(len(known) in (12, 40) and set(known) <= set("0123456789abcdef") for known in about.lists)
    assert len(set(about.lists.values())) == len(about.lists)
