"""bench.predict.visual_poses and the whole path from images to forecasts, on rendered frames."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from bench.predict.known import forecast_known, known_frames
from bench.predict.pose_models import load_pose_model
from bench.predict.posed_frames import Known, pose_errors
from bench.predict.table import poses_line
from bench.predict.types import Observed
from bench.predict.view import predict_site
from bench.predict.visual_poses import TrackerConfig, track
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import geodesic
from satgen.options import RenderOptions
from satgen.run import render
from satgen.trajectory import Tumble
from tests.datasets import satgen


@pytest.fixture(scope="module")
def tumbling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of Aura, which tumbles by a degree a frame."""
    folder = tmp_path_factory.mktemp("visual") / "aura"
    options = RenderOptions(
        target="aura", start=400, stop=423, width=320, height=320, trajectory=Tumble()
    )
    render(options, folder, workers=1)
    return folder


def test_poses_from_images_are_near_the_truth(tumbling: Path) -> None:
    data = Dataset(tumbling)
    indices = data.indices.tolist()
    found = track(data, indices, TrackerConfig(matcher="nearest", features="sift"))
    assert [pose.index for pose in found] == indices
    assert found[0].T is not None and np.array_equal(found[0].T, data.pose(indices[0]))
    errors = [
        float(np.degrees(geodesic(pose.T[:3, :3], data.pose(pose.index)[:3, :3])))
        for pose in found
        if pose.T is not None
    ]
    moved = np.degrees(geodesic(data.poses[0, :3, :3], data.poses[-1, :3, :3]))
    assert moved > 15.0 and len(errors) > 20
    print(f"median rotation error {np.median(errors):.3f} deg")
    assert np.median(errors) < 3.0
    # A reference is a frame that came before, with a pose of its own.
    known = {pose.index for pose in found if pose.T is not None}
    for pose in found[1:]:
        assert pose.anchor < pose.index and pose.anchor in known
    assert (pytest.approx(found[4].T)) == track(
        data, indices[:5], TrackerConfig(matcher="nearest", features="sift")
    )[4].T
    with pytest.raises(InputError, match="no frame to estimate"):
        track(data, [], TrackerConfig(matcher="nearest"))


def test_from_images_to_forecasts_in_one_command(tumbling: Path, tmp_path: Path) -> None:
    words = ["predict", tumbling, "--windows", "all", "--poses", "nearest", "--features", "sift"]
    words += ["--observed", 8, "--horizon", 1, "--horizon", 8, "--stride", 1]
    words += ["--model", "last", "--model", "velocity", "--model", "filter"]
    done = satgen(*words, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    quality = answer["pose_errors"]["aura"]
    assert quality["found"] > 20 and quality["median_deg"] < 3.0
    rows = answer["rows"]
    assert {row["poses"] for row in rows} == {"nearest"}
    error = {row["model"]: row["error_deg_median"] for row in rows if row["horizon"] == 8}
    assert error["velocity"] < error["last"]
    # Truth is the dataset's, whatever the poses that were looked at.
    data = Dataset(tumbling)
    poses = {
        pose["index"]: pose["T"]
        for line in (tmp_path / "run" / "poses.jsonl").read_text().splitlines()
        for pose in json.loads(line)["poses"]
    }
    table = pd.read_parquet(tmp_path / "run" / "windows.parquet")
    (first,) = table.query("model == 'last' and window == 0 and horizon == 8").itertuples()
    last, true = np.asarray(poses[407]), data.pose(415)
    assert first.error_deg == pytest.approx(np.degrees(geodesic(last[:3, :3], true[:3, :3])))
    again = satgen(*words, "--out", tmp_path / "two", "--workers", 2)
    assert again.returncode == 0, again.stderr
    tables = [(tmp_path / name / "windows.parquet").read_bytes() for name in ("run", "two")]
    assert tables[0] == tables[1]
    # Forecasts from poses that were found beside those from true ones, of the same windows.
    others = satgen(
        *("predict", tumbling, "--windows", "all", "--observed", 8, "--horizon", 1),
        *("--horizon", 8, "--stride", 1, "--model", "velocity", "--noise", 0, "--noise", 0.5),
        *("--out", tmp_path / "true"),
    )
    assert others.returncode == 0, others.stderr
    # A run in which the first window is left out, as if none of its poses had been found.
    two = tmp_path / "two" / "windows.parquet"
    later = table[table["window"] > 0].assign(window=table["window"] - 1, noise_deg=1.5)
    later.to_parquet(two, index=False)
    count = table["window"].nunique()
    for other, noise, windows in (("true", {0.0, 0.5}, count), ("two", {1.5}, count - 1)):
        sides = [f"{tmp_path / name}:velocity" for name in ("run", other)]
        compared = satgen("predict", "--compare", *sides, "--json")
        assert compared.returncode == 0, compared.stderr
        found = json.loads(compared.stdout)["rows"]
        assert {row["noise_deg_b"] for row in found} == noise and len(found) == 2 * len(noise)
        assert {row["windows"] for row in found} == {windows}
    shown = satgen("predict", "--compare", *(f"{tmp_path / n}:velocity" for n in ("run", "true")))
    assert "poses by nearest (" in shown.stdout and "noise 0.5 deg" in shown.stdout
    within = [f"{tmp_path / 'run'}:{model}" for model in ("last", "velocity")]
    same = json.loads(satgen("predict", "--compare", *within, "--json").stdout)["rows"]
    assert {row["noise_deg"] for row in same} == set(table["noise_deg"])


def test_frames_are_rendered_at_poses_from_images_in_one_command(
    tumbling: Path, tmp_path: Path
) -> None:
    words = ["predict", tumbling, "--task", "frames", "--protocol", "4-4-256", "--windows", "all"]
    words += ["--poses", "nearest", "--features", "sift", "--stride", 8]
    words += ["--model", "last", "--model", "render"]
    done = satgen(*words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "poses by nearest, 3 windows: PSNR in the silhouette" in done.stdout
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("render, poses by nearest") >= 2  # in the middle, and at its worst
    assert "nan" not in re.sub(r'"data:[^"]*"', "", page)
    labels = predict_site(tmp_path / "run", 512).description["forecasts"]["models"]
    assert labels == ["last", "render, poses by nearest"]
    last, rendered = (f"{tmp_path / 'run'}:{model}" for model in ("last", "render"))
    compared = satgen("predict", "--compare", last, rendered)
    assert compared.returncode == 0, compared.stderr
    assert "aura tumble-1  poses by nearest" in compared.stdout


def test_where_no_pose_is_found_the_line_says_so(tumbling: Path) -> None:
    data = Dataset(tumbling)
    first, second = data.indices[:2].tolist()
    known: Known = {"aura": {first: data.pose(first), second: None}}
    (found,) = pose_errors(known, [("aura", data)]).values()
    assert (found["frames"], found["found"], found["median_deg"]) == (1, 0, None)
    assert "no pose was found in any of 1 frames" in poses_line("aura", found)
    turned = data.pose(second).copy()
    turned[:3, :3] = turned[:3, :3] @ Rotation.from_euler("z", 2.0, degrees=True).as_matrix()
    (found,) = pose_errors(
        {"aura": {first: data.pose(first), second: turned}}, [("aura", data)]
    ).values()
    assert found["median_deg"] == pytest.approx(2.0)
    assert "poses of 1 of 1 frames were found, 2.000 degrees off" in poses_line("aura", found)


def test_poses_that_are_not_known_are_left_out() -> None:
    times = np.arange(6.0)[None]
    turns = np.radians(3.0) * times[0]
    rotations = np.tile(np.eye(3), (2, 6, 1, 1))
    for row in (0, 1):
        rotations[row, :, 0, 0] = rotations[row, :, 1, 1] = np.cos(turns)
        rotations[row, :, 0, 1], rotations[row, :, 1, 0] = -np.sin(turns), np.sin(turns)
    seen = rotations.copy()
    seen[0, [1, 4]] = np.nan
    seen[1, 1:] = np.nan  # one pose: no velocity
    observed = Observed(np.repeat(times, 2, 0), seen, np.zeros((2, 6, 3)))
    assert known_frames(observed).sum(axis=1).tolist() == [4, 1]
    found = forecast_known(
        "velocity", load_pose_model("velocity"), observed, np.array([[7.0], [7.0]])
    )
    wanted = np.radians(21.0)
    assert found.rotations[0, 0, 1, 0] == pytest.approx(np.sin(wanted))
    assert found.rotations[1, 0] == pytest.approx(np.eye(3))
