"""The benchmark's figures of the official LightGlue against a computation that shares no code with
it: kornia's matcher, Embree's rays, OpenCV's epipolar lines."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from kornia.feature import LightGlue as KorniaLightGlue
from numpy.typing import NDArray

from bench.config import BenchConfig
from bench.plan import plan
from bench.run import run
from matchers import weights
from matchers.registry import load_features
from matchers.types import Features
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.options import RenderOptions
from satgen.raycast import load_triangles
from satgen.run import render
from tests.scenes import Witness
from tests.test_matchers_truth_exact import rays_say

GAPS = (1, 6)


@pytest.fixture(scope="module")
def official() -> dict[str, torch.Tensor]:
    try:
        weights.official("aliked-n16.pth")
        return weights.load(weights.official("aliked_lightglue.pth"))
    except (InputError, RunError) as error:
        pytest.skip(f"no official weights: {error}")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official") / "worldview"
    options = RenderOptions(target="worldview", start=4000, stop=4006, width=320, height=320)
    render(options, folder, workers=1)
    return folder


def kornia_matches(state: dict[str, torch.Tensor], a: Features, b: Features) -> NDArray:
    """Rows of the matches at full depth."""
    peer = KorniaLightGlue(
        features=None, input_dim=128, depth_confidence=-1, width_confidence=-1
    )  # fmt: skip
    own = peer.state_dict()
    renamed = {key.removeprefix("matcher."): value for key, value in state.items()}
    for i in range(9):
        for kind in ("self_attn", "cross_attn"):
            renamed = {
                k.replace(f"{kind}.{i}.", f"transformers.{i}.{kind}."): v
                for k, v in renamed.items()
            }
    peer.load_state_dict({key: renamed.get(key, own[key]) for key in own})
    sides = {
        f"image{i}": {
            "keypoints": f.keypoints[None],
            "descriptors": f.descriptors[None],
            "image_size": f.image_size[None],
        }
        for i, f in enumerate((a, b))
    }
    with torch.no_grad():
        return peer.eval()(sides)["matches"][0].numpy()


def rays_precision(data: Dataset, witness: Witness, i: int, j: int, points: list[NDArray]) -> float:
    """Correct among right and wrong, from rays alone."""
    T = [data.pose(i), data.pose(j)]
    error, seen, known = [], [], []
    for side in (0, 1):
        uv, on, _, visible = rays_say(witness, data.camera, T[side], T[1 - side], points[side])
        error.append(np.linalg.norm(uv - points[1 - side], axis=1))
        seen.append(visible)
        known.append(on)
    both = known[0] & known[1]
    right = both & seen[0] & seen[1] & (np.maximum(*error) < 3.0)
    wrong = both & (np.maximum(*error) > 5.0)  # close ones that rays do not see: neither
    return float(right.sum() / (right.sum() + wrong.sum()))


def epipolar_share(data: Dataset, i: int, j: int, points: list[NDArray]) -> float:
    """Share of matches below 5e-4 of the squared symmetric epipolar distance, by OpenCV's lines."""
    T = data.pose(j) @ np.linalg.inv(data.pose(i))
    t = T[:3, 3]
    E = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ T[:3, :3]
    normal = [cv2.undistortPoints(p[:, None], data.camera.K, None)[:, 0] for p in points]
    total = np.zeros(len(points[0]))
    for side in (0, 1):
        lines = cv2.computeCorrespondEpilines(normal[side][:, None], side + 1, E)[:, 0]
        other = np.column_stack([normal[1 - side], np.ones(len(total))])
        total += (lines * other).sum(axis=1) ** 2  # OpenCV's lines have unit normals
    return float((total < 5e-4).mean())


def test_figures_of_the_official_lightglue(
    official: dict[str, torch.Tensor], frames: Path, tmp_path: Path
) -> None:
    config = BenchConfig(
        weights="official", gaps=GAPS, pairs_per_gap=2, max_keypoints=256, repeats=1, threads=1
    )
    table = run(plan(config, [frames]), tmp_path / "run")
    table = table[~table["adaptive"]]
    data = Dataset(frames)
    triangles, _ = load_triangles(data.config.target)
    witness = Witness(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))
    extract = load_features("aliked", max_keypoints=256)
    rows = []
    for row in table.itertuples():
        pair = (row.index0, row.index1)
        a, b = (extract(data.rgb(k), mask=data.parts(k) > 0) for k in pair)
        found = kornia_matches(official, a, b)
        points = [
            f.keypoints.numpy().astype(float)[found[:, side]] for side, f in enumerate((a, b))
        ]
        rows.append(
            {
                "num_matches": len(found),
                "precision": rays_precision(data, witness, *pair, points),
                "epipolar_precision": epipolar_share(data, *pair, points),
            }
        )
    peer = pd.DataFrame(rows)
    assert peer["num_matches"].min() > 50
    np.testing.assert_allclose(table["num_matches"], peer["num_matches"], atol=1)
    np.testing.assert_allclose(table["epipolar_precision"], peer["epipolar_precision"], atol=0.01)
    np.testing.assert_allclose(table["precision"], peer["precision"], atol=0.02)
