"""The bundled targets' datasets against an independent ray cast, on every trajectory.

From the files alone: the GLB as trimesh reads it, pose and intrinsics as the tables give them,
Embree for which triangle a ray meets, OpenCV for projections, SciPy for rotations.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from satgen.camera import Camera
from satgen.options import RenderOptions
from satgen.run import render
from satgen.targets.registry import TARGETS, asset_path
from tests.scenes import Witness

TRAJECTORIES = ("spiral", "grid", "orbit", "tumble")
EDGE_M = 5e-3


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> tuple[str, Witness]:
    """A bundled target's name and its geometry in Embree."""
    loaded = trimesh.load_scene(asset_path(request.param), process=False)
    vertices, faces = [], []
    for node in loaded.graph.nodes_geometry:
        transform, geometry = loaded.graph[node]
        mesh = loaded.geometry[geometry]
        faces.append(np.asarray(mesh.faces) + sum(len(v) for v in vertices))
        vertices.append(trimesh.transform_points(mesh.vertices, transform))
    return request.param, Witness(np.concatenate(vertices), np.concatenate(faces))


def near_an_edge(z: NDArray, plane: NDArray) -> NDArray:
    """Whether the surface in any of the eight neighbours is not on the pixel's own plane.

    Args:
        z: (H, W) depth, 0 for none.
        plane: (H, W, 3), a·u + b·v + c = 1 / z on the pixel's plane.
    """
    height, width = z.shape
    edge = np.zeros(z.shape, dtype=bool)
    v, u = np.mgrid[0:height, 0:width]
    for dv in (-1, 0, 1):
        for du in (-1, 0, 1):
            inside = (v + dv >= 0) & (v + dv < height) & (u + du >= 0) & (u + du < width)
            there = z[np.clip(v + dv, 0, height - 1), np.clip(u + du, 0, width - 1)]
            inverse = plane[..., 0] * (u + du) + plane[..., 1] * (v + dv) + plane[..., 2]
            expected = 1.0 / np.where(inverse == 0.0, 1e-9, inverse)
            edge |= inside & (np.abs(there - expected) > EDGE_M)
    return edge


@pytest.mark.parametrize("trajectory", TRAJECTORIES)
def test_depth_and_silhouette_agree_with_embree(
    target: tuple[str, Witness], trajectory: str, tmp_path: Path
) -> None:
    name, witness = target
    options = RenderOptions(
        target=name, trajectory=trajectory, size=256, start=400, stop=8000, step=1900
    )
    render(options, tmp_path / name, workers=1)
    info = json.loads((tmp_path / name / "dataset.json").read_text())
    camera = Camera(**{k: info["camera"][k] for k in ("width", "height", "fx", "fy", "cx", "cy")})
    table = pd.read_csv(tmp_path / name / "frames.csv")
    points = pd.read_parquet(tmp_path / name / "keypoints.parquet")
    assert list(table["index"]) == [400, 2300, 4200, 6100, 8000]
    wrong, pixels, close, compared = 0, 0, 0, 0
    for _, row in table.iterrows():
        pose = np.eye(4)
        quaternion = row[["qw", "qx", "qy", "qz"]].to_numpy(dtype=float)
        pose[:3, :3] = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
        pose[:3, 3] = row[["tx", "ty", "tz"]].to_numpy(dtype=float)
        file = f"{int(row['index']):06d}.png"
        depth = cv2.imread(str(tmp_path / name / "depth" / file), cv2.IMREAD_UNCHANGED)
        depth = depth * info["depth_scale"]
        truth, face = witness.depth(pose, camera)
        hit = face >= 0
        wrong += np.count_nonzero(hit != (depth > 0))
        pixels += hit.size
        clear = hit & (depth > 0) & ~near_an_edge(truth, witness.planes(pose, camera, face))
        close += np.count_nonzero(np.abs(depth - truth)[clear] <= 1e-3)
        compared += np.count_nonzero(clear)

        marks = points[points["index"] == row["index"]]
        landmarks = np.array([info["landmarks"][k]["xyz"] for k in marks["name"]])
        vector = Rotation.from_matrix(pose[:3, :3]).as_rotvec()
        projected, _ = cv2.projectPoints(landmarks, vector, pose[:3, 3], camera.K, None)
        assert np.abs(projected[:, 0] - marks[["u", "v"]].to_numpy()).max() < 1e-6
    assert compared > 1000
    assert wrong / pixels < 1e-3
    assert close / compared > 0.995
