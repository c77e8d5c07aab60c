"""matchers.match: two images of any kind matched in a call, and the truth about frames."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import satgen
from matchers import match as matching
from matchers.features.sift import SIFT
from matchers.match import match
from matchers.nearest import NearestNeighbour
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import warp
from tests.datasets import make

QUICK: dict[str, Any] = {"features": "sift", "matcher": "nearest", "device": "cpu"}


@pytest.fixture(scope="module")
def frames(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("frames") / "craft"
    return Dataset(make(craft_path, folder, width=256, height=240, stop=3002, sun="phase:60"))


def test_frames_paths_and_arrays_of_the_same_images(frames: Dataset, tmp_path: Path) -> None:
    a, b = frames[3000], frames[3002]
    found = match(a, b, **QUICK)
    assert len(found) > 10
    assert found.indices.shape == (len(found), 2) and found.scores.shape == (len(found),)
    assert np.array_equal(found.points1, found.keypoints1[found.indices[:, 1]])
    assert a.mask[tuple(np.rint(found.keypoints0).astype(int).T[::-1])].all()
    folder = frames.folder
    files = [folder / "rgb/003000.png", str(folder / "rgb/003002.png")]
    named = match(*files, **QUICK)
    assert np.array_equal(named.indices, found.indices)
    assert named.figures == found.figures is not None
    bare, arrays = match(a, b, mask=False, **QUICK), match(a.rgb, b.rgb, **QUICK)
    assert np.array_equal(bare.keypoints0, arrays.keypoints0)
    assert arrays.truth is arrays.judged is arrays.correct is arrays.figures is None
    tensor = torch.from_numpy(a.rgb).permute(2, 0, 1)
    assert np.array_equal(match(tensor, b, **QUICK).keypoints0, arrays.keypoints0)
    assert "3000 - craft 3002, sift, nearest" in found.title
    assert repr(found).startswith(f"<MatchedPair {len(found.keypoints0)} and ")
    out = found.save(str(tmp_path / "m.png"))
    assert Image.open(io.BytesIO(found._repr_png_())).size == Image.open(out).size
    assert Image.open(out).size[0] > 512


def test_what_is_correct_reprojects_within_three_pixels(frames: Dataset) -> None:
    a, b = frames[3000], frames[3002]
    found = match(a, b, **QUICK)
    assert found.correct is not None and found.figures is not None
    there = warp(a.K, a.depth, a.pose, b.depth, b.pose, found.points0[found.correct])
    assert (np.linalg.norm(there.uv - found.points1[found.correct], axis=1) < 3.0).all()
    assert found.figures["correct"] == found.correct.sum() > 5
    assert 0.0 < found.figures["precision"] <= 1.0


def test_frames_of_two_datasets_and_rendered_ones_are_judged(
    frames: Dataset, craft_path: Path, tmp_path: Path
) -> None:
    other = satgen.render_frame(craft_path, 3001, width=256, height=240, sun="phase:50")
    found = match(frames[3000], other, **QUICK)
    assert found.figures is not None and found.figures["correct"] > 5
    stranger = satgen.render_frame("cartography", 3001, size=240)
    assert match(frames[3000], stranger, **QUICK).figures is None
    satgen.close_renderers()


def test_extractors_and_matchers_of_ones_own(frames: Dataset) -> None:
    class Mine:
        """The first point with the first: whatever a matcher may say, it is taken as it is."""

        def prepare(self, features: Any) -> Any:
            return features

        def match(self, a: Any, b: Any) -> Any:
            from matchers.types import Matches

            return Matches(torch.tensor([[0, 0]]), torch.tensor([0.5]))

        def __call__(self, a: Any, b: Any) -> Any:
            return self.match(a, b)

    a, b = frames[3000], frames[3002]
    found = match(a, b, features=SIFT(), matcher=Mine())
    assert found.indices.tolist() == [[0, 0]]
    assert found.title.endswith("SIFT, Mine")
    by_name = match(a, b, features="sift", matcher=NearestNeighbour())
    assert np.array_equal(by_name.indices, match(a, b, **QUICK).indices)

    class Plain:
        """Only called, and made by whoever names the class."""

        def __call__(self, first: Any, second: Any) -> Any:
            return Mine().match(first, second)

    assert match(a, b, features="sift", matcher=Plain).indices.tolist() == [[0, 0]]
    place = "examples.my_matcher:MyMatcher"
    assert len(match(a, b, features="sift", matcher=place, within_deg=20.0)) > 5
    for words in ({"matcher": Mine(), "ratio": 0.5}, {"features": SIFT(), "resize": 100}):
        with pytest.raises(InputError, match="cannot be made"):
            match(a, b, **(QUICK | words))


def test_what_is_loaded_is_kept_until_its_file_changes(
    frames: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def load(name: str, **options: Any) -> Any:
        seen.append(options["weights"])
        return NearestNeighbour()

    monkeypatch.setattr(matching, "load_matcher", load)
    matching._matcher.cache_clear()
    a, weights = frames[3000], tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    for _ in range(3):
        match(a, a, features="sift", matcher="nearest", weights=weights, device="cpu")
    assert seen == [str(weights)]
    weights.write_bytes(b"other")
    os.utime(weights, ns=(1, 1))
    match(a, a, features="sift", matcher="nearest", weights=weights, device="cpu")
    assert len(seen) == 2
    matching._matcher.cache_clear()


def test_what_cannot_be_matched_is_said_in_a_line(frames: Dataset, tmp_path: Path) -> None:
    a = frames[3000]
    for other, words, message in (
        (tmp_path / "none.png", {}, "none.png"),
        (3, {}, "an image is a path"),
        (a, {"features": "orb"}, "features 'orb'"),
        (a, {"matcher": "loftr"}, "matcher 'loftr'"),
        (a, {"ratioo": 0.5}, "ratioo"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            match(a, other, **(QUICK | words))
        assert "\n" not in str(caught.value)
