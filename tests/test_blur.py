"""Motion blur against the mean of many sharp frames, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from satgen.blur import poses_during
from satgen.camera import Camera
from satgen.config import resolve
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.frame_maker import FrameMaker, viewpoints
from satgen.rendering.lighting import Lighting
from satgen.rendering.renderer import Renderer
from satgen.run import render
from satgen.scene import Scene
from satgen.targets.load import load_target
from satgen.trajectory import observe
from satgen.verify import verify
from tests.datasets import make, options, tree

FAST = {"trajectory": "tumble", "sun": "inertial:40,10", "stop": 3003, "size": 64, "width": None,
        "height": None, "bit_depth": 16, "curve": "linear",
        "lighting": Lighting(earthshine=(0.2, 0.22, 0.3))}  # fmt: skip


def drawn(craft_path: Path, index: int, **changes):
    """A frame's images, and what it was made from."""
    request = options(craft_path, **{**FAST, **changes})
    model = load_target(str(craft_path), 1.0, "z")
    scene = Scene(resolve(request, model), model)
    with FrameMaker(scene) as maker:
        view = viewpoints(maker.views.at([index]))[0]
        return maker.draw(view), view, scene


@pytest.mark.parametrize("distortion", [None, (-0.5, 0.0, 0.0, 0.0, 0.0)])
def test_blur_is_the_mean_of_many_sharp_frames(craft_path: Path, distortion) -> None:
    exposure = 8.0  # of about a degree a second
    images, view, scene = drawn(craft_path, 3001, exposure_time=exposure, distortion=distortion)
    config = scene.config
    velocity = observe(config.trajectory, [3001]).angular_velocity[0]
    aim = np.array(config.trajectory.aim)
    held = view.pose[:3, :3] @ aim + view.pose[:3, 3]
    mean = np.zeros((64, 64, 3))
    count = 60
    with Renderer(scene.model, config.camera, config.lighting, float32=True) as renderer:
        for moment in (np.arange(count) + 0.5) / count - 0.5:
            turn = Rotation.from_rotvec(velocity * moment * exposure).as_matrix()
            pose = np.eye(4)
            pose[:3, :3] = view.pose[:3, :3] @ turn
            pose[:3, 3] = held - pose[:3, :3] @ aim
            # Sun and Earth stay where they are in the target's axes.
            along = pose[:3, :3] @ view.pose[:3, :3].T
            frame = renderer.render(pose, along @ view.sun, along @ view.earth)
            x, y, w, h = frame.window
            mean[y : y + h, x : x + w] += frame.linear / count
    blurred = images["rgb"] / 65535.0 / 0.9
    sharp = drawn(craft_path, 3001, distortion=distortion)[0]["rgb"] / 65535.0 / 0.9
    lit = np.minimum(mean, 1 / 0.9)
    assert np.abs(blurred - lit).mean() < 0.15 * np.abs(sharp - lit).mean()
    assert np.abs(blurred.sum() / lit.sum() - 1.0) < 0.02


def test_truth_is_of_the_middle_and_short_exposures_are_sharp(craft_path: Path) -> None:
    sharp, _, _ = drawn(craft_path, 3001)
    blurred, _, _ = drawn(craft_path, 3001, exposure_time=8.0)
    short, _, _ = drawn(craft_path, 3001, exposure_time=1e-3)
    assert (blurred["rgb"] != sharp["rgb"]).mean() > 0.05
    for kind in ("depth", "parts"):
        assert np.array_equal(sharp[kind], blurred[kind])
    assert np.array_equal(sharp["rgb"], short["rgb"])


def test_the_moments_lie_closer_than_a_pixel_and_about_the_middle() -> None:
    camera = Camera.from_fov(512, 512, 20.0)
    pose = np.eye(4)
    pose[2, 3] = 58.0
    corners = np.array([[x, y, z] for x in (-2, 2) for y in (-9, 9) for z in (-3, 3)], float)
    velocity = np.array([0.0, 0.0, np.radians(1.0)])

    def moments(seconds: float):
        return poses_during(pose, velocity, seconds, np.zeros(3), corners, camera)

    # The outermost corner moves by 1452 / 55 x 9.2 m x 1 degree = 4.2 pixels a second.
    assert moments(0.11) is None
    assert len(moments(0.15)) == 2
    few, many = moments(2.0), moments(1000.0)
    assert 16 <= len(few) <= 20
    assert len(many) == 64
    angles = [np.degrees(Rotation.from_matrix(p[:3, :3]).as_rotvec()[2]) for p in few]
    assert np.allclose(np.mean(angles), 0.0)
    assert np.allclose(np.diff(angles), 2.0 / len(few))
    assert poses_during(pose, velocity * np.nan, 2.0, np.zeros(3), corners, camera) is None
    assert poses_during(pose, velocity, 0.0, np.zeros(3), corners, camera) is None


def test_a_blurred_noisy_dataset_is_the_same_whoever_renders_it(
    craft_path: Path, tmp_path: Path
) -> None:
    """Fixed patterns, noise and blur, with the Earth's fill, in one process and in two."""
    changes = {**FAST, "sensor": "cmv4000", "exposure_time": 3.0, "exposure": 0.9}
    changes |= {"bit_depth": None, "curve": None}
    one = make(craft_path, tmp_path / "one", **changes)
    two = tmp_path / "two"
    render(options(craft_path, **changes), two, workers=2)
    assert tree(one) == tree(two)
    report = verify(one)
    assert report.ok, report.problems
    assert Dataset(one).config.sensor.exposure_time_s == 3.0


def test_pyrender_refuses_an_open_shutter(craft_path: Path) -> None:
    with pytest.raises(InputError, match="motion blur"):
        options(craft_path, renderer="pyrender", exposure_time=0.1)
    assert replace(options(craft_path), exposure_time=0.1).sensor_config.exposure == 0.9
