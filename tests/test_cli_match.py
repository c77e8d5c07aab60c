"""`satgen match` and `satgen weights`, run as users run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from matchers import weights
from satgen.dataset import Dataset
from satgen.geometry import warp
from tests.datasets import make, satgen
from tests.limits import PATIENCE_S

torch.set_num_threads(1)

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
QUICK = ("--features", "sift", "--matcher", "nearest", "--device", "cpu")


@pytest.fixture(scope="module")
def frames(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of three frames that are large enough to have keypoints."""
    folder = tmp_path_factory.mktemp("frames") / "craft"
    return make(craft_path, folder, width=256, height=256, start=3000, stop=3002)


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Path, Path]:
    """A textured image, and the same moved by whole pixels: 7 to the right and 4 down."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 255, (240, 320, 3)).astype(np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 3.0)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    moved = np.roll(texture, (4, 7), axis=(0, 1))
    paths = tmp_path / "a.png", tmp_path / "b.jpg"
    Image.fromarray(texture).save(paths[0])
    Image.fromarray(moved).save(paths[1], quality=97)
    return paths


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def answered(*words: object) -> Any:
    """The JSON answer of satgen, run in this process, which is quicker."""
    from click.testing import CliRunner

    from satgen.cli import main

    result = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_two_photographs(photographs: tuple[Path, Path], tmp_path: Path) -> None:
    out, npz = tmp_path / "new" / "matches.png", tmp_path / "new" / "matches.npz"
    done = satgen("match", *photographs, *QUICK, "--out", out, "--npz", npz, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    with np.load(npz) as arrays:
        keypoints0, keypoints1 = arrays["keypoints0"], arrays["keypoints1"]
        matches, scores, stop_layer = arrays["matches"], arrays["scores"], arrays["stop_layer"]
        assert set(arrays) == {"keypoints0", "keypoints1", "matches", "scores", "stop_layer"}
    assert answer["keypoints"] == [len(keypoints0), len(keypoints1)]
    assert answer["matches"] == len(matches) == len(scores) > 50
    assert answer["truth"] is None
    assert stop_layer == 0
    assert keypoints0.shape[1] == matches.shape[1] == 2
    moved = keypoints1[matches[:, 1]] - keypoints0[matches[:, 0]]
    assert np.median(np.abs(moved - (7, 4)), axis=0).max() < 0.1
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width > 2 * 320


def test_lightglue_says_what_its_adaptation_did(
    photographs: tuple[Path, Path], tmp_path: Path
) -> None:
    npz = tmp_path / "m.npz"
    words: tuple[object, ...] = ("match", *photographs, "--max-keypoints", 200, "--device", "cpu")
    words += ("--features", "aliked", "--weights", "official")
    answer = answered(*words, "--npz", npz)
    with np.load(npz) as arrays:
        assert arrays["stop_layer"] == answer["stop_layer"]
    assert 1 <= answer["stop_layer"] <= answer["num_layers"] == 9
    assert len(answer["alive"]) == answer["stop_layer"]
    assert answer["alive"][0] == answer["keypoints"]
    last = answer["alive"][-1]
    pruned = [n - left for n, left in zip(answer["keypoints"], last, strict=True)]
    assert pruned == answer["pruned"]
    full = answered(*words, "--no-adaptive")
    assert (full["stop_layer"], full["pruned"]) == (9, [0, 0])


def test_frames_of_a_dataset_are_judged_by_its_truth(frames: Path, tmp_path: Path) -> None:
    paths = [frames / "rgb" / f"{index:06d}.png" for index in (3000, 3002)]
    npz, out = tmp_path / "m.npz", tmp_path / "m.png"
    before = listing(frames)
    done = satgen("match", *paths, *QUICK, "--npz", npz, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    truth = json.loads(done.stdout)["truth"]
    assert truth["indices"] == [3000, 3002]
    assert (
        truth["correct"] + truth["wrong"] + truth["not_known"] == json.loads(done.stdout)["matches"]
    )
    data = Dataset(frames)
    with np.load(npz) as arrays:
        a = arrays["keypoints0"][arrays["matches"][:, 0]]
        b = arrays["keypoints1"][arrays["matches"][:, 1]]
        seen = data.parts(3000)[tuple(np.rint(arrays["keypoints0"]).astype(int).T[::-1])]
    assert (seen > 0).all()  # the silhouette is the mask
    there = warp(
        data.camera.K, data.depth(3000), data.pose(3000), data.depth(3002), data.pose(3002), a
    )
    near = np.linalg.norm(there.uv - b, axis=1) < 3.0
    assert truth["correct"] <= near.sum()
    assert truth["correct"] >= (near & there.visible).sum() - truth["not_known"]
    assert truth["precision"] == pytest.approx(
        truth["correct"] / max(1, truth["correct"] + truth["wrong"])
    )
    text = satgen("match", *paths, *QUICK)
    assert f"{truth['correct']} correct, {truth['wrong']} wrong" in text.stdout
    assert listing(frames) == before


def test_match_and_bench_say_the_same_of_a_pair(frames: Path, tmp_path: Path) -> None:
    from bench.config import BenchConfig
    from bench.plan import plan
    from bench.run import run
    from matchers.truth.pairs import Pair, pairs_csv

    # SIFT gives some points twice, so that a match may be correct and not the true partner's row
    paths = [frames / "rgb" / f"{index:06d}.png" for index in (3000, 3002)]
    truth = answered("match", *paths, *QUICK, "--max-keypoints", 128)["truth"]
    (tmp_path / "pairs.csv").write_bytes(pairs_csv([Pair("craft", 3000, 3002)]))
    config = BenchConfig(
        matchers=("nearest",), features=("sift",), max_keypoints=128, repeats=1, threads=1,
        device="cpu",
    )  # fmt: skip
    planned = plan(config, [frames], pairs_file=tmp_path / "pairs.csv")
    rows = run(planned, tmp_path / "run").set_index("combination")
    for name in ("precision", "recall", "f1"):
        assert truth[name] == rows.loc["sift-nearest", name]
    assert truth["possible"] == rows.loc["sift-nearest", "num_true_matches"] > 5


def test_the_silhouette_can_be_left_out(frames: Path, tmp_path: Path) -> None:
    path = frames / "rgb" / "003000.png"
    copy = Path(shutil.copy(path, tmp_path / "x.png"))  # no longer a frame: no mask, no truth
    masked, bare, elsewhere = (
        answered("match", *pair, *QUICK, *more)
        for pair, more in (((path, path), ()), ((path, path), ("--no-mask",)), ((copy, copy), ()))
    )
    assert bare["keypoints"] == elsewhere["keypoints"]
    assert masked["keypoints"][0] <= bare["keypoints"][0]
    assert elsewhere["truth"] is None
    assert masked["truth"]["wrong"] == 0


def test_an_image_with_nothing_to_see(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "black.png")
    black = tmp_path / "black.png"
    done = satgen("match", black, black, *QUICK, "--out", tmp_path / "m.png", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["keypoints"], answer["matches"], answer["mean_score"]) == ([0, 0], 0, None)
    assert (tmp_path / "m.png").is_file()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("nowhere.png", "a.png"), "nowhere.png"),
        (("a.png", "text.png"), "text.png"),
        (("a.png", "folder"), "folder"),
        (("a.png",), "IMAGE_B"),
        (("a.png", "a.png", "--features", "orb"), "orb"),
        (("a.png", "a.png", "--matcher", "loftr"), "loftr"),
        (("a.png", "a.png", "--matcher", "lightglue", "--features", "aliked-t16"), "aliked-t16"),
        (
            (
                "a.png",
                "a.png",
                "--matcher",
                "superglue",
                "--features",
                "sift",
                "--weights",
                "no.pth",
            ),
            "no.pth",
        ),
        (("a.png", "a.png", "--features", "superpoint"), "superpoint"),
        (("a.png", "a.png", *QUICK, "--weights", "official"), "nearest"),
        (("a.png", "a.png", *QUICK, "--depth-confidence", "0.9"), "depth-confidence"),
        (("a.png", "a.png", "--no-adaptive", "--width-confidence", "0.9"), "--no-adaptive"),
        (("a.png", "a.png", "--width-confidence", "2"), "width-confidence"),
        (("a.png", "a.png", "--max-keypoints", "0"), "max-keypoints"),
        (("a.png", "a.png", "--device", "abacus"), "abacus"),
        (("a.png", "a.png", *QUICK, "--out", "m.xyz"), "m.xyz"),
        (("a.png", "a.png", *QUICK, "--out", "m.psd"), "m.psd: must end in"),
        (("a.png", "a.png", *QUICK, "--out", "folder"), "folder"),
        (("a.png", "a.png", *QUICK, "--npz", "m.zip"), "m.zip"),
        (("a.png", "a.png", *QUICK, "--out", "./folder/../a.png"), "a.png"),
        (("a.png", "a.png", *QUICK, "--npz", "m.npz", "--out", "link.png"), "link.png"),
    ],
)
def test_bad_requests_end_with_status_2_and_one_line(
    words: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from satgen.cli import main

    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), (90, 90, 90)).save("a.png")
    Path("link.png").symlink_to("a.png")
    Path("text.png").write_text("no image")
    Path("folder").mkdir()
    before = listing(tmp_path)
    result = CliRunner().invoke(main, ["match", *words])
    assert result.exit_code == 2, result.output
    assert named in result.output
    assert "Traceback" not in result.output
    assert "Usage:" in result.output or result.output.count("\n") == 1
    assert listing(tmp_path) == before


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "file").write_text("in the way")
    image = tmp_path / "a.png"
    before = listing(tmp_path)
    done = satgen("match", image, image, *QUICK, "--out", tmp_path / "file" / "m.png")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "m.png" in done.stderr
    assert listing(tmp_path) == before


def test_weights_are_listed() -> None:
    done = satgen("weights", "--json")
    answer = json.loads(done.stdout)
    assert answer["cache"] == str(weights.cache_folder())
    rows = {(row["kind"], row["name"]): row for row in answer["weights"]}
    for w in weights.OFFICIAL:
        row = rows["official", w.name]
        assert row["sha256"] == w.sha256
        assert row["licence"] in ("Apache-2.0", "BSD-3-Clause")
        assert row["state"] in ("present", "absent")
    text = satgen("weights").stdout
    assert all(w.name in text and w.licence in text and w.source in text for w in weights.OFFICIAL)
    one = json.loads(satgen("weights", "lightglue-aliked", "--json").stdout)["weights"]
    assert {row["name"] for row in one} == {"lightglue-aliked"}


def test_weights_fetch_from_files_put_there_and_say_so_offline(tmp_path: Path) -> None:
    cache = tmp_path / "weights"
    cache.mkdir()
    shutil.copy(weights.official("aliked-t16"), cache)
    env = {"SATGEN_CACHE": str(tmp_path), **OFFLINE}
    done = satgen("weights", "--fetch", "aliked-t16", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert [row["state"] for row in json.loads(done.stdout)["weights"]] == ["present"]
    done = satgen("weights", "--fetch", env=env)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "satgen weights --fetch" in done.stderr
    assert str(cache) in done.stderr
    assert satgen("weights", "--fetch", "yolo").returncode == 2


def test_matching_offline_without_weights_is_one_line(
    photographs: tuple[Path, Path], tmp_path: Path
) -> None:
    env = {"SATGEN_CACHE": str(tmp_path / "cache"), **OFFLINE}
    out = tmp_path / "m.png"
    done = satgen("match", *photographs, "--features", "aliked", "--out", out, env=env)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "satgen weights --fetch" in done.stderr
    assert not out.exists()
    done = satgen("match", *photographs, "--out", out, "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["features"] == "sift" and out.stat().st_size > 0


def test_doctor_knows_the_weights(tmp_path: Path) -> None:
    env = {"SATGEN_CACHE": str(tmp_path)}
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "aliked-t16.pth").write_bytes(b"half")
    found = json.loads(satgen("doctor", "--json", env=env).stdout)["weights"]
    assert found["official aliked-t16"] == "damaged"
    assert found["official lightglue-aliked"] == "absent"
    assert "satgen weights --fetch" in satgen("doctor", env=env).stdout


LARGE = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "satgen", *sys.argv[1:]], timeout=900)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(done.returncode)
"""
"""Runs satgen, and prints the largest size in memory that it had: MiB."""


@pytest.mark.parametrize("features", ["sift", "aliked-t16"])
def test_an_image_of_20_megapixels_takes_less_than_3_gigabytes(
    tmp_path: Path, features: str
) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (114, 171, 3)).astype(np.uint8)
    large = cv2.resize(coarse, (5472, 3648), interpolation=cv2.INTER_CUBIC)
    paths = tmp_path / "large.jpg", tmp_path / "small.jpg"
    for path, image in zip(paths, (large, large[:512, :512]), strict=True):
        Image.fromarray(image).save(path)
    words = ["match", *paths, *QUICK[2:], "--features", features, "--max-keypoints", 4096]
    done = subprocess.run(
        [sys.executable, "-c", LARGE, *map(str, words), "--out", str(tmp_path / "picture.png")],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert (
        "keypoints" in first and float(last) < 2500.0
    )  # of two such images, the second is 60 more
