"""satgen.keypoints: projection against OpenCV, visibility against Embree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from satgen.config import resolve
from satgen.dataset import Dataset
from satgen.frame_maker import viewpoints
from satgen.keypoints import find_landmarks, triangle_distance
from satgen.scene import Scene
from satgen.targets.load import load_target
from tests.datasets import FRAMES, frame_maker, options
from tests.scenes import Witness


def test_keypoints_are_where_opencv_projects_them(pristine: Path) -> None:
    data = Dataset(pristine)
    points = data.keypoints
    assert len(points) == FRAMES * 7
    landmarks = data.description["landmarks"]
    for pose, index in zip(data.poses, data.indices, strict=True):
        rows = points[points["index"] == index]
        xyz = np.array([landmarks[name]["xyz"] for name in rows["name"]])
        rvec, _ = cv2.Rodrigues(pose[:3, :3])
        uv, _ = cv2.projectPoints(xyz, rvec, pose[:3, 3], data.camera.K, None)
        assert np.abs(uv[:, 0] - rows[["u", "v"]].to_numpy()).max() < 1e-6
        assert np.allclose((xyz @ pose[:3, :3].T + pose[:3, 3])[:, 2], rows["depth_m"], atol=1e-9)


def test_visibility_is_what_embree_says(craft_path: Path) -> None:
    model = load_target(craft_path)
    config = resolve(options(craft_path, start=1, stop=8100, step=173), model)
    config = replace(config, camera=options(craft_path, size=256, width=None, height=None).view)
    landmarks = find_landmarks(model)
    witness = Witness(model.vertices, model.faces)
    views = viewpoints(Scene(config, model).views)
    wrong = seen = 0
    with frame_maker(config, model) as maker:
        for view in views:
            record, _ = maker.make(view)
            eye = -view.pose[:3, :3].T @ view.pose[:3, 3]
            ray = landmarks.xyz - eye
            # Rays close around each: a landmark on an edge is seen if any of them gets through.
            free = np.zeros(len(landmarks), dtype=bool)
            for shift in 3e-4 * np.vstack([np.eye(3), -np.eye(3), np.zeros((1, 3))]):
                face = witness.first(eye, ray + shift)
                corner = model.vertices[model.faces[face]]
                normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
                t = np.einsum("ij,ij->i", normal, corner[:, 0] - eye)
                t = t / np.einsum("ij,ij->i", normal, ray + shift)
                free |= (face < 0) | (t > 1.0 - 6e-4 / np.linalg.norm(ray, axis=1))
            wrong += np.count_nonzero(free != record.visible)
            seen += np.count_nonzero(free)
    total = len(views) * len(landmarks)
    assert 0.2 < seen / total < 0.9
    # What is left are slivers thinner than a pixel, which no depth image can settle.
    assert wrong / total < 0.04
    names = list(landmarks.names)
    assert landmarks.gap[names.index("wing_top")] < 1e-6
    assert landmarks.normals[names.index("wing_top")].tolist() == [[0.0, 0.0, 1.0]]


def test_distance_to_triangles_against_trimesh() -> None:
    from trimesh.triangles import closest_point

    rng = np.random.default_rng(1)
    triangles = rng.normal(size=(400, 3, 3))
    point = rng.normal(size=3)
    nearest = closest_point(triangles, np.tile(point, (400, 1)))
    wanted = np.linalg.norm(nearest - point, axis=1)
    assert np.allclose(triangle_distance(point, triangles), wanted, atol=1e-12)
