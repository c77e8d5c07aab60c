"""satgen.single_frame: one frame from one pose; several renderers in one process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from satgen.camera import Camera
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.rendering.lighting import Lighting
from satgen.single_frame import close_renderers, render_frame
from satgen.sun import SunConfig
from satgen.targets.load import load_target
from satgen.trajectory import Orbit
from tests.datasets import make
from tests.scenes import Witness, look

SIZE = {"width": 72, "height": 64}


@pytest.fixture(autouse=True)
def _closed() -> object:
    yield
    close_renderers()


def test_an_index_gives_the_frame_that_a_dataset_has(pristine: Path, craft_path: Path) -> None:
    data = Dataset(pristine)
    for index in (3011, np.int64(3003), np.array(3003)):
        frame, stored = render_frame(craft_path, index, **SIZE), data[int(index)]
        assert np.array_equal(frame.rgb, stored.rgb)
        assert np.array_equal(frame.parts, stored.parts)
        assert np.abs(frame.depth - stored.depth).max() <= 0.5001 * data.config.depth_scale
        assert np.array_equal(frame.depth > 0, stored.depth > 0)
        assert np.allclose(frame.pose, stored.pose, atol=1e-12)
        assert np.allclose(frame.sun, stored.sun, atol=1e-15)
        assert (frame.index, frame.target, frame.part_names) == (index, "craft", data.part_names)
        assert frame.model_sha256 == stored.model_sha256


def test_an_index_of_another_sweep_and_sensor(craft_path: Path, tmp_path: Path) -> None:
    changes = {
        "trajectory": Orbit(), "sun": "inertial:40,10", "sensor": "navcam", "seed": 3,
        "distance": 20.0, "fov": 15.0,
    }  # fmt: skip
    data = Dataset(make(craft_path, tmp_path / "d", stop=3000, **changes))
    frame = render_frame(str(craft_path), 3000, **SIZE, **changes)
    assert frame.rgb.shape == (64, 72)
    assert np.array_equal(frame.rgb, data.rgb(3000))


def test_a_pose_gives_the_depth_that_embree_sees(craft_path: Path) -> None:
    model = load_target(craft_path)
    camera = Camera(90, 80, 200.0, 210.0, 40.0, 45.0)
    witness = Witness(model.vertices, model.faces)
    for azimuth, elevation, distance in ((30.0, 20.0, 9.0), (200.0, -70.0, 2.2)):
        pose = look(azimuth, elevation, distance)
        frame = render_frame(craft_path, pose.tolist(), camera=camera, sun="body:40,10")
        truth, face = witness.depth(pose, camera)
        same = (frame.depth > 0) == (truth > 0)
        assert same.mean() > 0.999
        inside = same & (truth > 0)
        close = np.abs(frame.depth - truth)[inside] < 1e-4
        assert close.mean() > 0.995  # but for pixels whose rays pass along an edge
        assert (frame.parts == np.where(face >= 0, model.face_part[face], 0)).mean() > 0.995
        direction = np.array([np.cos(np.radians(10)) * np.cos(np.radians(40)),
                              np.cos(np.radians(10)) * np.sin(np.radians(40)),
                              np.sin(np.radians(10))])  # fmt: skip
        assert np.allclose(frame.sun, pose[:3, :3] @ direction)
        assert frame.index is None and frame.camera == camera


def test_the_pose_of_an_index_gives_its_frame(craft_path: Path) -> None:
    steady = Lighting(earthshine=(0.1, 0.1, 0.1))  # a pose does not say what is below
    frame = render_frame(craft_path, 3000, lighting=steady, **SIZE)
    again = render_frame(craft_path, frame.pose, lighting=steady, **SIZE)
    assert np.array_equal(frame.parts, again.parts)
    assert np.abs(frame.depth - again.depth).max() < 1e-9
    assert np.abs(frame.rgb.astype(int) - again.rgb).max() <= 1
    sun = SunConfig("phase", (35.0, 45.0))
    less = Lighting(earthshine=(0.1, 0.1, 0.1), ambient=0.0)
    dark = render_frame(craft_path, frame.pose, lighting=less, **SIZE)
    assert dark.rgb.astype(int).sum() < again.rgb.astype(int).sum()
    other = render_frame(craft_path, frame.pose, sun=sun, lighting=steady, **SIZE)
    assert np.array_equal(other.rgb, again.rgb)


def test_targets_take_turns_in_one_process(pristine: Path, craft_path: Path) -> None:
    data = Dataset(pristine)
    alone = render_frame("cartography", 2000, size=64)
    close_renderers()
    for _ in range(2):
        assert np.array_equal(render_frame(craft_path, 3005, **SIZE).rgb, data.rgb(3005))
        assert np.array_equal(render_frame("cartography", 2000, size=64).rgb, alone.rgb)
    # More than are kept, and back again.
    for size in range(32, 40):
        assert render_frame(craft_path, 3005, size=size).rgb.shape == (size, size, 3)
    assert np.array_equal(render_frame(craft_path, 3005, **SIZE).rgb, data.rgb(3005))


def test_a_loaded_target_and_a_model_file_that_changes(craft_path: Path, tmp_path: Path) -> None:
    model = load_target(craft_path)
    frame = render_frame(model, 3000, **SIZE)
    assert np.array_equal(frame.rgb, render_frame(craft_path, 3000, **SIZE).rgb)
    path = tmp_path / "model.stl"
    import trimesh

    trimesh.creation.box([1.0, 1.0, 1.0]).export(path)
    first = render_frame(path, 100, size=32, distance=9.0)
    trimesh.creation.box([1.0, 1.0, 0.2]).export(path)
    os.utime(path, ns=(1, 1))
    second = render_frame(path, 100, size=32, distance=9.0)
    assert np.count_nonzero(second.mask) < np.count_nonzero(first.mask)


def test_threads_and_frames_that_do_not_change_afterwards(pristine: Path, craft_path: Path) -> None:
    data = Dataset(pristine)
    found = {}

    def one(index: int) -> None:
        found[index] = render_frame(craft_path, index, **SIZE)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(3000, 3006)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_renderers()
    for index, frame in found.items():
        assert np.array_equal(frame.rgb, data.rgb(index))
        assert np.array_equal(frame.parts, data.parts(index))


@pytest.mark.parametrize(
    ("pose", "options", "words"),
    [
        (9999, {}, r"index 9999: must be between 1 and 8100"),
        ("361", {}, r"pose '361': must be a \(4, 4\)"),
        (1.5, {}, r"pose 1\.5: must be"),
        (np.eye(3), {}, r"pose of shape \(3, 3\): must be \(4, 4\)"),
        (np.full((4, 4), np.nan), {}, "not finite"),
        (2.0 * np.eye(4), {}, "last row"),
        (np.diag([1.0, 2.0, 1.0, 1.0]), {}, "no rotation"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), {}, "mirroring"),
        (np.eye(4), {"distance": 5.0}, r"distance 5\.0: the pose says"),
        (np.eye(4), {"sun": "inertial:1,2"}, "no inertial frame"),
        (361, {"sun": "up"}, "sun 'up'"),
        (361, {"fow": 20}, r"render_frame\(\): unknown keyword 'fow'; did you mean fov"),
        (361, {"stop": 20}, r"unknown keyword 'stop'"),
        (361, {"camera": Camera(9, 9, 9.0, 9.0, 4.0, 4.0), "fov": 30.0}, "camera and fov"),
        (361, {"sensor": "eye"}, "sensor"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    craft_path: Path, pose: object, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        render_frame(craft_path, pose, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_unknown_target() -> None:
    with pytest.raises(InputError, match="unknown target 'aurora'"):
        render_frame("aurora", 361)
