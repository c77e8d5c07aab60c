"""satgen.verify: whole datasets pass, and every kind of damage is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgen import dataset as ds
from satgen.atomic import TEMPORARY
from satgen.errors import InputError
from satgen.tables import csv_bytes, parquet_bytes
from satgen.trajectory import Roll, Spiral, Tumble
from satgen.verify import Report, verify, with_deep
from tests.datasets import make, reseal


def causes(report: Report, index: int | None) -> str:
    return "\n".join(f"{p.file}: {p.cause}" for p in report.problems if p.index == index)


def rewrite_tables(folder: Path, change: Callable[[ds.Table], None]) -> None:
    """Change both frame tables in the same way."""
    table = ds.read_csv(folder / ds.FRAMES_CSV)
    change(table)
    (folder / ds.FRAMES_CSV).write_bytes(csv_bytes(table))
    (folder / ds.FRAMES_PARQUET).write_bytes(parquet_bytes(table, ds.FRAME_COLUMNS))


def test_a_whole_dataset_passes(pristine: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = verify(pristine, progress=lambda *step: steps.append(step))
    assert report.ok, report.problems
    assert report.frames == 24
    assert steps[-1] == (24, 24)
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"trajectory": "orbit", "sun": "inertial:30,20", "sensor": "navcam", "bit_depth": 16},
        {"trajectory": "tumble", "sun": "body:0,10", "intrinsics": (200.0, 190.0, 30.0, 36.5)},
        {"trajectory": "grid", "roll": 33.0, "distance": 9.0},
        {"trajectory": Spiral(0.1), "roll": Roll(seed=5)},
    ],
    ids=["orbit", "tumble", "grid", "rolling"],
)
def test_every_kind_of_dataset_passes_with_rays(craft_path: Path, tmp_path, changes) -> None:
    out = make(craft_path, tmp_path / "craft", **{"start": 5, "stop": 8000, "step": 800, **changes})
    report = with_deep(verify(out), 5)
    assert report.ok, report.problems
    assert len(report.deep) == 5


def test_a_dataset_of_a_pose_table_passes_without_the_table(craft_path: Path, tmp_path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        "index,qw,qx,qy,qz,tx,ty,tz\n3,0.5,0.5,0.5,-0.5,0.1,0.2,20\n4,0.5,0.5,-0.5,0.5,0,0,18\n"
    )
    out = make(craft_path, tmp_path / "out", trajectory=f"file:{table}", start=1, stop=8100)
    table.unlink()
    report = verify(out)
    assert report.ok, report.problems
    (out / "trajectory.csv").write_text("index,azimuth_deg,elevation_deg\n3,1,2\n")
    assert "has changed" in causes(verify(out), None)


def test_damaged_files_are_named_with_their_frame(dataset: Path) -> None:
    (dataset / "rgb" / "003001.png").unlink()
    path = dataset / "depth" / "003002.png"
    path.write_bytes(path.read_bytes()[:-40])
    Image.fromarray(np.zeros((64, 72), np.uint8)).save(dataset / "parts" / "003003.png")
    Image.fromarray(np.zeros((60, 72, 3), np.uint8)).save(dataset / "rgb" / "003004.png")
    labels = np.asarray(Image.open(dataset / "parts" / "003005.png")).copy()
    labels[labels == 1] = 99
    Image.fromarray(labels).save(dataset / "parts" / "003005.png")
    Image.open(dataset / "depth" / "003006.png").convert("L").save(dataset / "depth" / "003006.png")
    report = verify(dataset)
    assert report.bad_frames == [3001, 3002, 3003, 3004, 3005, 3006]
    assert causes(report, 3001) == "rgb/003001.png: is missing"
    assert "SHA-256" in causes(report, 3002)
    assert "cut off" in causes(report, 3002)
    assert "bounding box" in causes(report, 3003)
    assert "coverage" in causes(report, 3003)
    assert "a depth and no part" in causes(report, 3003)
    assert "is 60 × 72 × 3 of 8 bits, should be 64 × 72 × 3 of 8" in causes(report, 3004)
    assert "labels of no part: 99" in causes(report, 3005)
    assert "should be 64 × 72 of 16" in causes(report, 3006)


def test_files_that_do_not_belong_are_named(dataset: Path) -> None:
    (dataset / "notes.txt").write_text("")
    (dataset / "rgb" / "999999.png").write_bytes(b"")
    (dataset / "parts" / f"{TEMPORARY}1-003000.png").write_bytes(b"")
    (dataset / ds.JOURNAL).write_bytes(b"")
    text = causes(verify(dataset), None)
    assert "notes.txt: is no part" in text
    assert "rgb/999999.png: is no part" in text
    assert "left by a run that was stopped" in text
    assert "not finished, 0 of 24 frames" in text


CHANGES = {
    "qx": "quaternion",
    "ty": "translation",
    "azimuth_deg": "azimuth_deg is not the trajectory's",
    "roll_deg": "angles and rotation disagree",
    "distance_m": "angles and translation disagree",
    "sun_y": "the sun is not where",
    "phase_deg": "phase_deg",
    "bbox_w": "bounding box",
    "coverage": "coverage",
}


def test_wrong_numbers_are_named_with_their_row(dataset: Path) -> None:
    names = list(CHANGES)

    def change(table: ds.Table) -> None:
        for row, name in enumerate(names):
            table[name][row] += 1 if name == "bbox_w" else 1e-5
        table["qw"][20] = np.nan
        for name in ("qw", "qx", "qy", "qz"):
            table[name][22] *= -1.0

    rewrite_tables(dataset, change)
    report = verify(dataset)
    assert report.bad_frames == sorted({3000 + r for r in range(len(names))} | {3020, 3022, 3023})
    for row, name in enumerate(names):
        assert CHANGES[name] in causes(report, 3000 + row), name
    assert "not finite" in causes(report, 3020)
    assert "sign flips" in causes(report, 3022)
    assert "sign flips" in causes(report, 3023)


@pytest.fixture(scope="module")
def tumbling(craft_path: Path, tmp_path_factory) -> Path:
    """Consecutive frames of a tumble, with a rolling camera."""
    folder = tmp_path_factory.mktemp("tumbling") / "craft"
    motion = Tumble((1.0, 2.0, 2.5), None, (0.2, 3.0, 0.1), 0.5)
    return make(craft_path, folder, trajectory=motion, roll=Roll(rate_deg=1.0), stop=3011)


def test_wrong_times_rates_and_attitudes_are_named(tumbling: Path, tmp_path: Path) -> None:
    assert verify(tumbling).ok
    changes = {
        "time_s": "time_s is not the trajectory's",
        "wy": "the angular velocity is not the trajectory's",
        "qi_x": "the inertial attitude is not the trajectory's",
        "wi_z": "the inertial angular velocity is not the trajectory's",
    }
    folder = tmp_path / "craft"
    shutil.copytree(tumbling, folder)

    def change(table: ds.Table) -> None:
        for row, name in enumerate(changes):
            table[name][row] += 1e-5
        table["wx"][10] = np.nan

    rewrite_tables(folder, change)
    report = verify(folder)
    for row, (name, words) in enumerate(changes.items()):
        assert words in causes(report, 3000 + row), name
    assert "the angular velocity is not the trajectory's" in causes(report, 3010)


def test_rates_are_held_against_the_poses_alone(tumbling: Path) -> None:
    """A trajectory whose rates are wrong would agree with itself; the poses say otherwise."""
    from satgen import verify as module

    true = module.observe

    def wrong(config, indices):
        views = true(config, indices)
        return replace(
            views,
            angular_velocity=views.angular_velocity * (1.0 + 1e-5),
            inertial_velocity=views.inertial_velocity * (1.0 + 1e-5),
        )

    data = ds.Dataset(tumbling)
    table = ds.read_csv(tumbling / ds.FRAMES_CSV)
    views = wrong(data.config.trajectory, table["index"])
    for axis, name in enumerate("xyz"):
        table[f"w{name}"] = views.angular_velocity[:, axis]
        table[f"wi_{name}"] = views.inertial_velocity[:, axis]
    tables = module._Tables(table, None)
    found = module._check_poses(data.config, tables, wrong(data.config.trajectory, tables.index))
    text = {p.cause.partition(" (")[0] for p in found}
    assert text == {
        "the angular velocity is not how the poses turn",
        "the inertial angular velocity is not how the attitude turns",
    }
    assert {p.index for p in found} == {3004, 3005, 3006, 3007}


@pytest.mark.parametrize("version", [1, 2])
def test_a_dataset_of_an_earlier_version_opens_and_is_proved(dataset: Path, version: int) -> None:
    """Version 1 as it was before there were times and rates, version 2 with them."""
    table = ds.read_csv(dataset / ds.FRAMES_CSV)
    old = {name: table[name] for name in ds.frame_columns(version)}
    assert len(table) - len(old) == {1: 11, 2: 0}[version]
    (dataset / ds.FRAMES_CSV).write_bytes(csv_bytes(old))
    (dataset / ds.FRAMES_PARQUET).write_bytes(parquet_bytes(old, ds.frame_columns(version)))
    path = dataset / ds.DESCRIPTION
    data = json.loads(path.read_text())
    data["version"] = version
    if version == 1:
        data["trajectory"]["params"] = {}
    path.write_text(json.dumps(data))
    report = verify(dataset)
    assert report.ok, report.problems
    opened = ds.Dataset(dataset)
    assert list(opened.frames.columns) == list(old)
    assert opened.poses.shape == (24, 4, 4)
    assert opened.rgb(3004).shape == (64, 72, 3)


@pytest.mark.parametrize("version", [0, ds.VERSION + 1])
def test_a_dataset_of_an_unknown_version_is_refused(dataset: Path, version: int) -> None:
    path = dataset / ds.DESCRIPTION
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "version": version}))
    with pytest.raises(InputError, match=f"version {version}, this satgen reads 1 to 3"):
        ds.Dataset(dataset)


def test_missing_and_doubled_rows_are_named(dataset: Path) -> None:
    def change(table: ds.Table) -> None:
        table["index"][4] = 3003
        table["index"][9] = 7000

    rewrite_tables(dataset, change)
    report = verify(dataset)
    assert "has no row" in causes(report, 3004)
    assert "not in ascending order" in causes(report, 3003)
    assert "is none of the dataset's" in causes(report, 7000)


def test_tables_that_disagree_or_are_gone(dataset: Path) -> None:
    table = ds.read_csv(dataset / ds.FRAMES_CSV)
    table["coverage"][3] = 0.5
    (dataset / ds.FRAMES_CSV).write_bytes(csv_bytes(table))
    report = verify(dataset)
    assert report.bad_frames == [3003]
    assert "frames.parquet has" in causes(report, 3003)
    (dataset / ds.FRAMES_PARQUET).write_bytes(b"PAR1 no")
    (dataset / ds.KEYPOINTS).unlink()
    text = causes(verify(dataset), None)
    assert "frames.parquet" in text
    assert "keypoints.parquet: No such file" in text
    (dataset / ds.FRAMES_CSV).unlink()
    assert "frames.csv: No such file" in causes(verify(dataset), None)


def test_wrong_keypoints_are_named(dataset: Path) -> None:
    table = ds.read_parquet(dataset / ds.KEYPOINTS, ds.KEYPOINT_COLUMNS)
    table["u"][0] += 1e-4
    table["depth_m"][7] += 1e-3
    table["visible"][14] = not table["visible"][14]
    table["name"][21] = "somebody"
    (dataset / ds.KEYPOINTS).write_bytes(parquet_bytes(table, ds.KEYPOINT_COLUMNS))
    report = verify(dataset)
    assert report.bad_frames == [3000, 3001, 3002, 3003]
    assert "projects" in causes(report, 3000)
    assert "optical axis" in causes(report, 3001)
    assert "visible in the depth image" in causes(report, 3002)
    assert "should be in this row" in causes(report, 3003)


def test_a_landmark_beside_the_camera_may_be_off_by_rounding(tmp_path: Path) -> None:
    """At index 7861 the wing's tip is so close to the camera's plane that it is projected 13
    million pixels away."""
    near = {"start": 7861, "stop": 7861, "width": 64, "height": 64, "distance": 3.0}
    out = make(Path("aura"), tmp_path / "aura", **near)
    far = np.abs(ds.Dataset(out).keypoints["u"]).max()
    assert far > 1e6
    report = verify(out)
    assert report.ok, report.problems


CONSEQUENCES = {
    "images.rgb.bits": lambda d: d["images"]["rgb"].update(bits=16),
    "depth_scale": lambda d: (d.update(depth_scale=0.01), d["images"]["depth"].update(unit_m=0.01)),
    "not as it reads: camera.width": lambda d: d["camera"].update(width="72"),
    "cannot be read": lambda d: d["target"].pop("bounding_sphere"),
}


@pytest.mark.parametrize("words", CONSEQUENCES)
def test_what_follows_from_the_configuration_is_worked_out_again(dataset: Path, words) -> None:
    """Sealed as it is: only its own sense tells."""
    data = json.loads((dataset / ds.DESCRIPTION).read_text())
    CONSEQUENCES[words](data)
    reseal(dataset, **data)
    text = causes(verify(dataset), None)
    assert words in text
    assert "seal" not in text


def test_parts_and_landmarks_of_a_known_target_are_its_cards(tmp_path: Path) -> None:
    out = make(Path("aura"), tmp_path / "aura", stop=3000, width=64, height=64)
    data = json.loads((out / ds.DESCRIPTION).read_text())
    data["parts"]["2"]["class"] = "antenna"
    data["landmarks"].pop("wing_tip_nadir")
    reseal(out, **data)
    text = causes(verify(out), None)
    assert "parts, by the target's card: 2.class" in text
    assert "landmarks, by the target's card: wing_tip_nadir is absent there" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("parts"), "parts is missing"),
        (lambda d: d.update(seed="x"), "seed is not what it should be"),
        (lambda d: d["camera"].pop("fx"), "'fx' is missing"),
        (lambda d: d["camera"].update(fx=-1), "focal length"),
        (lambda d: d.update(depth_scale=0), "depth_scale 0"),
        (lambda d: d["parts"].update({"70000": {"name": "a", "class": "b"}}), "part 70000"),
        (lambda d: d["indices"].update(count=3), "indices.count 3"),
        (lambda d: d["trajectory"].update(kind="zigzag"), "zigzag"),
        (lambda d: d["sensor"].update(extra=1), "extra"),
        (lambda d: d.update(landmarks=[1]), "landmarks"),
    ],
)
def test_a_damaged_description_is_named(dataset: Path, change, words) -> None:
    path = dataset / ds.DESCRIPTION
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    assert words in causes(verify(dataset), None)
