"""Photographs: what is trained on and measured, and that homographies tell what is correct."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from bench.config import BenchConfig
from bench.photographs import CHANGES, Change, correct_matches, measure, summarise
from matchers.nearest import NearestConfig, NearestNeighbour
from matchers.training.augment import AugmentConfig
from matchers.training.bank import Bank, Source, likeness
from matchers.training.cache import CacheConfig, cache_path, fill
from matchers.training.config import TrainConfig
from matchers.training.homography import HomographyConfig
from matchers.training.pairs import HomographyPairs
from matchers.training.photographs import (
    HELD_OUT,
    TRAINED,
    Photographs,
    found,
    in_folder,
    read_photograph,
)
from matchers.training.run import train
from matchers.training.trainer import Hardware
from matchers.truth.batched import homography_labels
from matchers.types import Features, Matches
from satgen.errors import InputError
from satgen.splits import SplitConfig
from tests.datasets import make
from tests.limits import PATIENCE_S


def test_none_is_both_trained_on_and_measured() -> None:
    assert len(HELD_OUT) == 10 and not set(HELD_OUT) & set(TRAINED)
    assert [file.name for file in found(HELD_OUT)] == sorted(HELD_OUT)
    assert len(found(TRAINED)) >= 8
    for file in found((*HELD_OUT, *TRAINED)):
        image = read_photograph(file)
        assert image.ndim == 3 and image.shape[2] == 3 and min(image.shape[:2]) > 100


def test_labels_of_crops_are_opencvs(tmp_path: Path) -> None:
    photographs = Photographs(found(("coffee.png", "brick.png")), 3, seed=0)
    assert photographs.indices == range(1, 7)
    config = CacheConfig(max_keypoints=128, versions=3, kind="homography")
    folder = fill(photographs, photographs.indices, config, tmp_path)
    bank = Bank([Source("photographs", photographs, photographs.indices, folder)])
    drawn = HomographyPairs(bank, 0).draw(0, 0, 6, 0.0)
    side0 = bank.side(drawn.rows0, drawn.versions0)
    side1 = bank.side(drawn.rows1, drawn.versions1)
    labels = homography_labels(side0.geometry, side1.geometry)
    matched, turns = 0, []
    for pair in range(6):
        H0, H1 = (s.geometry.homography[pair].numpy() for s in (side0, side1))  # type: ignore[index]
        points0, points1 = (s.features.keypoints[pair].numpy() for s in (side0, side1))
        H = H1 @ np.linalg.inv(H0)
        moved = cv2.perspectiveTransform(points0[:, None].astype(float), H)
        partner = labels.partner0[pair].numpy()
        rows = np.flatnonzero(partner >= 0)
        distance = np.linalg.norm(moved[rows, 0] - points1[partner[rows]], axis=1)
        assert (distance < 3.0).all()
        matched += len(rows)
        a, b = cv2.perspectiveTransform(np.array([[[255.0, 255.0]], [[275.0, 255.0]]]), H)[:, 0]
        turns.append(abs(np.degrees(np.arctan2(*(b - a)[::-1]))))
    assert matched > 60 and max(turns) > 60.0

    other = Photographs(photographs.files, 3, seed=1)
    assert cache_path(tmp_path, other, config) != cache_path(tmp_path, photographs, config)


def test_partners_in_one_place_are_turned_as_the_image_is(tmp_path: Path) -> None:
    """SIFT gives a place several keypoints, one an orientation: which belongs to which is seen by
    how far the image was turned."""
    photographs = Photographs(found(("coffee.png", "brick.png", "text.png")), 3, seed=0)
    turned = HomographyConfig(difficulty=0.0, rotation_deg=180.0, scale=1.0, shift=0.0)
    config = CacheConfig(
        max_keypoints=512, versions=3, kind="homography", homography=turned,
        augment=AugmentConfig(share=0.0),
    )  # fmt: skip
    folder = fill(photographs, photographs.indices, config, tmp_path)
    bank = Bank([Source("photographs", photographs, photographs.indices, folder)])
    drawn = HomographyPairs(bank, 0).draw(0, 0, 9, 0.0)
    sides = [bank.side(drawn.rows0, drawn.versions0), bank.side(drawn.rows1, drawn.versions1)]
    shares, counts = [], []
    for alike in (None, likeness(*sides)):
        labels = homography_labels(*(side.geometry for side in sides), likeness=alike)
        good = total = 0
        for pair in range(9):
            H0, H1 = (side.geometry.homography[pair].numpy() for side in sides)
            H = H1 @ np.linalg.inv(H0)
            roll = np.arctan2(H[1, 0], H[0, 0])
            angles = [side.features.orientations[pair].numpy() for side in sides]
            points = sides[0].features.keypoints[pair].numpy()
            several = (points[:, None] == points[None]).all(axis=2).sum(axis=1) > 1
            partner = labels.partner0[pair].numpy()
            rows = np.flatnonzero((partner >= 0) & several)
            off = angles[1][partner[rows]] - angles[0][rows] - roll
            good += int((np.abs(np.angle(np.exp(1j * off))) < 0.35).sum())
            total += len(rows)
        shares.append(good / total)
        counts.append(total)
    print(f"turned as the image is: {shares}, of {counts}")
    assert shares[1] > 0.95 > shares[0]
    assert counts[1] > 1.3 * counts[0]


def test_a_folder_of_photographs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds none of"):
        in_folder(tmp_path)
    Image.fromarray(np.full((40, 30), 40000, dtype=np.uint16)).save(tmp_path / "a.png")
    (file,) = in_folder(tmp_path)
    assert read_photograph(file).shape == (40, 30, 3)
    with pytest.raises(InputError, match="other: no such folder"):
        in_folder(tmp_path / "other")


def test_a_photograph_of_floats_spans_0_to_1(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(file)
    assert read_photograph(file)[0].tolist() == [[value] * 3 for value in (0, 128, 255)]
    for most in (200.0, np.nan):
        Image.fromarray(np.array([[0.0, 0.5, most]], dtype=np.float32)).save(file)
        with pytest.raises(InputError, match=rf"a\.tif has values from .* to {most:g}"):
            read_photograph(file)


def test_changes_are_what_they_say() -> None:
    corners = np.array([[[0.0, 0.0]], [[99.0, 0.0]], [[49.5, 29.5]]])
    for change in CHANGES:
        H = change.homography((100, 60))
        exact = cv2.perspectiveTransform(corners, H)[:, 0]
        a, b, middle = exact
        assert np.linalg.norm(b - a) == pytest.approx(99.0 * change.scale)
        turn = np.degrees(np.arctan2(*(b - a)[::-1]))
        assert (turn - change.roll_deg + 180.0) % 360.0 == pytest.approx(180.0)
        assert tuple(middle) == pytest.approx((49.5 + 100 * change.shift, 29.5 + 60 * change.shift))
        assert correct_matches(corners[:, 0], exact, H).all()
        off = exact + np.array([3.1 * max(change.scale, 1.0), 0.0])
        assert not correct_matches(corners[:, 0], off, H).any()


def test_nearest_neighbours_find_a_photograph_that_is_turned() -> None:
    config = BenchConfig(matchers=("nearest",), features=("sift",), max_keypoints=256)
    changes = [Change("shift", shift=0.01), Change("roll", roll_deg=90.0)]
    rows = measure(config, found(("coffee.png",)), changes)
    summary = summarise(rows, config.combinations())
    ratio = [row for row in summary if row["combination"] == "sift-nearest-r0.8"]
    assert len(rows) == 4 and [row["share"] for row in ratio] == [1.0, 1.0]
    assert min(row["precision"] for row in ratio) > 0.9 and ratio[0]["correct"] > 100


class Upright:
    """Nearest neighbours that turn by less than 45 degrees."""

    def __call__(self, first: Features, second: Features) -> Matches:
        found: Matches = NearestNeighbour(NearestConfig(ratio=0.8))(first, second)
        assert first.orientations is not None and second.orientations is not None
        i, j = found.indices.T
        keep = (second.orientations[j] - first.orientations[i]).cos() > 0.7
        return Matches(found.indices[keep], found.scores[keep])


def test_turns_bring_back_what_a_matcher_of_upright_images_finds() -> None:
    config = BenchConfig(
        matchers=("tests.test_photographs:Upright",), features=("sift",), max_keypoints=128
    )
    changes = [Change("none"), Change("over", roll_deg=180.0)]
    files = found(("coffee.png",))
    correct = {
        (turns, row["change"]): row["correct"]
        for turns in (False, True)
        for row in measure(config, files, changes, turns=turns)
        if "upright" in row["combination"].lower()
    }
    assert correct[True, "over"] >= 0.97 * correct[True, "none"] > 60
    assert correct[False, "over"] < 0.1 * correct[True, "over"]


def test_the_command(tmp_path: Path) -> None:
    words = ["--features", "sift", "--matcher", "superglue", "--photographs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.photographs", *words, "--max-keypoints", "64", "--out",
         str(tmp_path / "found.json")],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert "superglue on sift" in done.stdout and "% of nearest + ratio" in done.stdout
    answer = json.loads((tmp_path / "found.json").read_text())
    assert answer["photographs"] == ["astronaut.png"] and len(answer["pairs"]) == 3 * len(CHANGES)


def test_a_training_takes_its_share_of_photographs(tmp_path: Path) -> None:
    folder = make(Path("aura"), tmp_path / "aura", target="aura", start=3000, stop=3059, width=128,
                  height=128)  # fmt: skip
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for file in found(("brick.png", "gravel.png")):
        shutil.copy(file, photographs)
    config = TrainConfig(
        dim=16, layers=1, batch=1, accumulate=2, max_keypoints=32, frames=8, versions=2, steps=3,
        homography_steps=0, warmup=0, split=SplitConfig(guard_deg=3.0), photographs=0.5,
        photographs_from=str(photographs), photograph_crops=2,
    )  # fmt: skip
    done = train(
        [folder], config, tmp_path / "run", cache=tmp_path / "cache",
        hardware=Hardware(torch.device("cpu")),
    )  # fmt: skip
    assert done.card["photographs"] == {"share": 0.5, "names": ["brick.png", "gravel.png"]}
    assert len(list((tmp_path / "cache").glob("photographs-*/*.safetensors"))) == 4
    known = json.loads((tmp_path / "run" / "train.json").read_text())["identity"]
    assert set(known["photographs"]) == {"brick.png", "gravel.png"}
    with pytest.raises(InputError, match="holds none of"):
        train(
            [folder], replace(config, photographs_from=str(folder)), tmp_path / "other",
            cache=tmp_path / "cache", hardware=Hardware(torch.device("cpu")),
        )  # fmt: skip
    with pytest.raises(InputError, match=rf"photographs from {photographs}: their share .* is 0"):
        train(
            [folder], replace(config, photographs=0.0), tmp_path / "other",
            cache=tmp_path / "cache", hardware=Hardware(torch.device("cpu")),
        )  # fmt: skip
    assert not (tmp_path / "other").exists()
