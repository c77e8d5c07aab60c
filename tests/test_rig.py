"""Rigs: two datasets whose poses differ by the rig's transforms, and by nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import satgen
from satgen.cli import main
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.rig import rig_requests
from satgen.verify import verify, with_deep

TURNED = cv2.Rodrigues(np.array([0.02, -0.06, 0.1]))[0]
LEFT = [[1.0, 0, 0, -0.4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
RIGHT = np.vstack([np.column_stack([TURNED, [0.4, 0.1, -0.2]]), [0, 0, 0, 1]])
CAMERAS = [
    {"name": "left", "T_rig_cam": LEFT},
    {"name": "right", "T_rig_cam": RIGHT.tolist(), "fov": 30.0, "size": 80,
     "distortion": [-0.1, 0.02, 0.0, 0.0, 0.0], "sensor": "navcam"},
]  # fmt: skip


@pytest.fixture(scope="module")
def rig_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rig") / "rig.json"
    path.write_text(json.dumps({"cameras": CAMERAS}))
    return path


@pytest.fixture(scope="module")
def pair(craft_path: Path, rig_file: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("rigged") / "craft"
    common = {"start": 3000, "stop": 3003, "size": 64, "distance": 11.0, "roll": "rate:3"}
    return satgen.render_rig(craft_path, rig_file, out, workers=0, quiet=True, **common)


def test_datasets_of_a_rig_verify_and_differ_by_its_transforms(pair) -> None:
    assert list(pair) == ["left", "right"]
    for data in pair.values():
        report = with_deep(verify(data.folder), 2)
        assert report.ok, report.problems
    left, right = pair.values()
    assert left.indices.tolist() == right.indices.tolist()
    assert (left.camera.width, right.camera.width) == (64, 80)
    between = np.linalg.inv(RIGHT) @ np.array(LEFT)
    assert np.abs(between @ left.poses - right.poses).max() < 1e-9
    assert np.allclose(left.frames["azimuth_deg"], right.frames["azimuth_deg"])
    assert left.rig is not None
    assert right.rig is not None
    assert [one.name for one in left.rig.cameras] == ["left", "right"]
    assert (left.rig.name, right.rig.name) == ("left", "right")
    assert np.array_equal(right.rig.cameras[1].T_rig_cam, RIGHT)
    assert right.rig.cameras[1].camera == right.camera


def test_what_one_camera_shows_falls_on_the_same_surface_in_the_other(pair) -> None:
    """Stereo: points of the left image, by OpenCV in the right one, are at the depth seen there."""
    left, right = pair.values()
    points = left[3001].points
    pose, camera = right.pose(3001), right.camera
    turn, _ = cv2.Rodrigues(pose[:3, :3])
    uv, _ = cv2.projectPoints(points.xyz, turn, pose[:3, 3], camera.K, np.array(camera.distortion))
    z = (points.xyz @ pose[:3, :3].T + pose[:3, 3])[:, 2]
    u, v = np.rint(uv[:, 0]).astype(int).T
    inside = (u >= 0) & (u < 80) & (v >= 0) & (v < 80)
    shown = right.depth(3001)[v[inside], u[inside]]
    assert inside.sum() > 100
    assert np.mean(np.abs(shown - z[inside]) < 0.1) > 0.8
    flow = satgen.TwoViews(left[3001], right[3001]).flow
    assert flow.visible.sum() > 0.6 * len(points)


def test_each_camera_of_a_rig_has_noise_of_its_own(craft_path: Path, rig_file: Path) -> None:
    options = RenderOptions(str(craft_path), distance=9.0, sensor="cmv4000")
    requests = rig_requests(options, rig_file)
    assert [r.sensor_config.serial for r in requests.values()] == [0, 1]
    assert [r.sensor_config.preset for r in requests.values()] == ["cmv4000", "navcam"]


def test_the_command_line_renders_a_rig_and_goes_on(
    craft_path: Path, rig_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["render", "--target", str(craft_path), "--rig", str(rig_file), "--out", str(tmp_path)]
    words += ["--size", "32", "--start", "3000", "--stop", "3002", "--workers", "0", "--json"]
    words += ["--distance", "11"]
    main(words, standalone_mode=False)
    first = json.loads(capsys.readouterr().out)
    assert [Path(one["dataset"]).name for one in first] == ["left", "right"]
    assert [one["rendered"] for one in first] == [3, 3]
    before = (tmp_path / "right" / "frames.csv").read_bytes()
    (tmp_path / "right" / "rgb" / "003001.png").unlink()
    shutil.rmtree(tmp_path / "left")
    main(words, standalone_mode=False)
    again = json.loads(capsys.readouterr().out)
    assert [one["rendered"] for one in again] == [3, 1]
    assert (tmp_path / "right" / "frames.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("cameras", "words"),
    [
        ([], "at least one"),
        (["left"], "object"),
        ([{"T_rig_cam": LEFT}], "name"),
        ([{"name": "../up", "T_rig_cam": LEFT}], "name"),
        ([{"name": "a"}], "T_rig_cam"),
        ([{"name": "a", "T_rig_cam": np.diag([2, 1, 1, 1]).tolist()}], "rotation"),
        ([{"name": "a", "T_rig_cam": LEFT, "iso": 3}], "iso"),
        ([{"name": "a", "T_rig_cam": LEFT, "fov": 500}], "fov"),
        ([{"name": "a", "T_rig_cam": LEFT}, {"name": "a", "T_rig_cam": LEFT}], "two cameras"),
    ],
)
def test_rigs_that_are_none_are_refused_in_one_line(tmp_path, craft_path, cameras, words) -> None:
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"cameras": cameras}))
    options = RenderOptions(str(craft_path), distance=9.0)
    with pytest.raises(InputError, match=words) as caught:
        rig_requests(options, path)
    assert "\n" not in str(caught.value)


def test_a_rig_needs_a_distance_and_a_file(tmp_path, craft_path, rig_file) -> None:
    with pytest.raises(InputError, match="distance"):
        rig_requests(RenderOptions(str(craft_path)), rig_file)
    with pytest.raises(InputError, match="gone"):
        rig_requests(RenderOptions(str(craft_path), distance=9.0), tmp_path / "gone.json")
    toml = tmp_path / "rig.toml"
    toml.write_text(
        '[[cameras]]\nname = "a"\nT_rig_cam = [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]'
    )
    assert list(rig_requests(RenderOptions(str(craft_path), distance=9.0), toml)) == ["a"]
