"""Aim, offset and mounted cameras: where points fall, by OpenCV, and what stays as it was."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from satgen.config import resolve, sun_vectors
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.targets.load import load_target
from satgen.trajectory import observe
from satgen.trajectory.mount import mount_of, turned_to
from satgen.verify import verify
from tests.datasets import make, options

LENS = (-0.2, 0.05, 1e-4, -2e-4, 0.0)


def seen(config, point) -> np.ndarray:
    """Pixels (N, 2) of a target-frame point at ten indices, by OpenCV."""
    camera = config.camera
    found = []
    for pose in observe(config.trajectory, range(3000, 3010)).T_cam_target:
        turn, _ = cv2.Rodrigues(pose[:3, :3])
        arguments = (turn, pose[:3, 3], camera.K, np.array(camera.distortion))
        found.append(cv2.projectPoints(np.array([point], dtype=float), *arguments)[0].ravel())
    return np.array(found)


@pytest.mark.parametrize("changes", [{}, {"distortion": LENS}, {"roll": "rate:7"}], ids=str)
@pytest.mark.parametrize(
    ("offset", "pixel"),
    [
        (None, (35.5, 31.5)),
        ("10,50", (10, 50)),
        ("25%,75%", (17.5, 47.5)),
        ((60.5, 3.0), (60.5, 3)),
    ],
)
def test_the_aim_is_seen_where_the_offset_says(craft_path, changes, offset, pixel) -> None:
    model = load_target(str(craft_path), 1.0, "z")
    named = {
        "wing_tip": (0.4, 3.8, 0.215),
        "wing": (0.0, 2.3, 0.2),
        (0.1, 0.2, 0.3): (0.1, 0.2, 0.3),
    }
    for aim, point in named.items():
        request = options(craft_path, aim=aim, offset=offset, distance=9.0, **changes)
        config = resolve(request, model)
        assert np.abs(seen(config, point) - pixel).max() < 1e-6
        views = observe(config.trajectory, range(3000, 3010))
        eye = np.linalg.inv(views.T_cam_target)[:, :3, 3]
        assert np.allclose(np.linalg.norm(eye - point, axis=1), 9.0)


def test_an_offset_turns_the_camera_and_leaves_eye_light_and_rates(craft_path) -> None:
    model = load_target(str(craft_path), 1.0, "z")
    straight, turned = (
        resolve(options(craft_path, offset=offset), model) for offset in (None, "5,60")
    )
    before, after = (observe(c.trajectory, range(3000, 3010)) for c in (straight, turned))
    ends = [np.linalg.inv(views.T_cam_target)[:, :3, 3] for views in (before, after)]
    assert np.abs(ends[0] - ends[1]).max() < 1e-9
    assert np.array_equal(before.angular_velocity, after.angular_velocity)
    in_target = [
        np.einsum("nji,nj->ni", views.T_cam_target[:, :3, :3], sun_vectors(config, views))
        for config, views in ((straight, before), (turned, after))
    ]
    assert np.abs(in_target[0] - in_target[1]).max() < 1e-12


@pytest.mark.parametrize("ray", [(0.0, 0.0, 1.0), (0.5, -0.2, 1.0), (-2.0, 1.0, 0.3)])
def test_turned_to_is_the_shortest_turn(ray) -> None:
    turn = np.array(turned_to(np.array(ray)))[:3, :3]
    unit = np.array(ray) / np.linalg.norm(ray)
    assert np.abs(turn @ (0, 0, 1) - unit).max() < 1e-12
    angle = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    assert angle == pytest.approx(np.degrees(np.arccos(unit[2])), abs=1e-6)


def test_a_framed_dataset_verifies(craft_path: Path, tmp_path: Path) -> None:
    changes = {"aim": "wing_tip", "offset": "30%,40%", "distance": 7.0, "sun": "phase:60,20"}
    data = Dataset(make(craft_path, tmp_path / "craft", stop=3005, **changes))
    assert verify(data.folder).ok
    tip = data.keypoints[data.keypoints["name"] == "wing_tip"]
    assert np.abs(tip[["u", "v"]].to_numpy() - (21.1, 25.1)).max() < 1e-6
    assert "--aim wing_tip" in data.description["command"]
    assert "--offset 30%,40%" in data.description["command"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"aim": "wingtip"}, "wing_tip"),
        ({"aim": "wing_tip", "trajectory": "tumble"}, "centre of mass"),
        ({"offset": "500,20"}, "within the image"),
        ({"offset": "10"}, "pixels or percent"),
        ({"offset": "a,b"}, "pixels or percent"),
        ({"mount": np.eye(4).tolist(), "offset": "10,10"}, "mount and offset"),
        ({"mount": np.diag([1, 1, -1, 1]).tolist()}, "rotation"),
    ],
)
def test_what_cannot_be_framed_is_refused_in_one_line(craft_path, changes, words) -> None:
    model = load_target(str(craft_path), 1.0, "z")
    with pytest.raises(InputError, match=words) as caught:
        resolve(options(craft_path, **changes), model)
    assert "\n" not in str(caught.value)


def test_mounts_are_rigid_motions() -> None:
    assert mount_of(np.eye(4)) == tuple(map(tuple, np.eye(4).tolist()))
    for wrong in ("rig", 3, np.eye(3), 2.0 * np.eye(4)):
        with pytest.raises(InputError, match="mount"):
            mount_of(wrong)
    assert RenderOptions(mount=np.eye(4).tolist()).mount == mount_of(np.eye(4))
