"""Proving a dataset whole from its files alone.

Every image is read, its SHA-256, size and bit depth compared, and bounding box, coverage and
keypoint visibility are derived from its pixels again; every row of the tables is compared with the
trajectory, the sun and the projection that dataset.json asks for. `satgen.raycast` adds an
independent look at the geometry.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen import dataset as ds
from satgen.config import RenderConfig, depth_scale_for, places_of, sun_vectors
from satgen.errors import InputError
from satgen.frame_maker import lit_share
from satgen.geometry import (
    backproject,
    bounding_box,
    make_pose,
    project,
    quaternion_to_matrix,
)
from satgen.integrity import Problem, check_files, read_checked
from satgen.keypoints import Landmarks
from satgen.model import MAX_PARTS, label_bits
from satgen.png import decode_png
from satgen.processes import default_workers
from satgen.progress import Update
from satgen.rates import differenced_velocity
from satgen.rendering import RENDERERS
from satgen.runfolder import difference, file_sha256
from satgen.seal import SINCE
from satgen.sun import check_sun
from satgen.tables import csv_bytes
from satgen.trajectory import (
    Observations,
    camera_direction,
    observe,
    rotation_from_angles,
)
from satgen.trajectory.mount import unmounted
from satgen.truth_images import FLOWS, decode_flow, decode_normals

TOLERANCE = 1e-9
"""How far rotations, directions and angles may be off; lengths, relative to the distance."""

PIXEL_TOLERANCE = 1e-6
"""How far projected landmarks may be off, pixels."""


DEPTH_SCALE_STEP = 1.1e-3
"""By how much the last of a depth scale's four digits may be another, by rounding elsewhere."""


@dataclass(frozen=True)
class Report:
    """What verification found.

    Attributes:
        dataset: the folder.
        frames: frames that the dataset should have.
        problems: in order of index, those of the whole dataset first.
        deep: results of the ray cast, a dict a frame; empty without one.
    """

    dataset: str
    frames: int
    problems: tuple[Problem, ...]
    deep: tuple[dict[str, Any], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def bad_frames(self) -> list[int]:
        """Indices of the bad frames, ascending."""
        return sorted({p.index for p in self.problems if p.index is not None})

    def to_json(self) -> dict[str, Any]:
        """The object that `satgen verify --json` prints."""
        return {
            "dataset": self.dataset,
            "ok": self.ok,
            "frames": self.frames,
            "bad_frames": self.bad_frames,
            "problems": [asdict(p) for p in self.problems],
            "deep": list(self.deep),
        }


@dataclass(frozen=True)
class _Tables:
    """What the tables say, row n of each for frame index[n]."""

    frames: ds.Table
    keypoints: ds.Table | None

    @property
    def index(self) -> NDArray[np.int64]:
        return np.asarray(self.frames["index"], dtype=np.int64)


def verify(
    folder: str | Path, *, workers: int | None = None, progress: Update | None = None
) -> Report:
    """Check a dataset; every problem is named, none ends the check early.

    Args:
        folder: the dataset's.
        workers: threads; by default the cores.
        progress: told how many frames' files have been read.

    Raises:
        InputError: the folder is no dataset.
    """
    data = ds.Dataset(folder)
    problems = _check_description(data)
    try:
        config, landmarks = data.config, data.landmarks
        wanted = config.indices()
    except InputError as error:
        fault = Problem(None, ds.DESCRIPTION, str(error))
        return Report(str(folder), 0, (*problems, fault))
    if problems:
        return Report(str(folder), len(wanted), tuple(problems))
    problems += check_files(data.folder, data.description, config)
    problems += _check_pose_table(data.folder, config)
    tables = _read_tables(data, landmarks, problems)
    poses: NDArray[np.float64] | None = None
    if tables is not None:
        problems += _check_indices(tables, wanted)
        known = np.isin(tables.index, wanted)
        if known.all():
            views = observe(config.trajectory, tables.index)
            poses = views.T_cam_target
            problems += _check_poses(config, tables, views)
            problems += _check_keypoints(config, landmarks, tables, poses)
    problems += _check_images(data, config, landmarks, tables, poses, workers, progress)
    return Report(str(folder), len(wanted), tuple(_sorted(problems)))


def with_deep(report: Report, count: int, progress: Update | None = None) -> Report:
    """The report with `count` frames ray-cast on top; see `satgen.raycast`.

    Frames that are bad already are left out.

    Raises:
        InputError: Embree or the target's file is missing.
    """
    from satgen.raycast import compare, sample

    data = ds.Dataset(report.dataset)
    problems, figures = list(report.problems), []
    try:
        good = np.setdiff1d(data.indices, report.bad_frames)
    except InputError:
        good = np.zeros(0, dtype=np.int64)  # without a table: named already
    chosen = sample(good, count)
    for done, agreement in enumerate(compare(data, chosen) if chosen else (), start=1):
        figures.append(asdict(agreement))
        if not agreement.ok:
            file = f"depth/{ds.image_name(agreement.index)}"
            problems.append(Problem(agreement.index, file, agreement.cause))
        if progress is not None:
            progress(done, len(chosen))
    return Report(report.dataset, report.frames, tuple(_sorted(problems)), tuple(figures))


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda p: -1 if p.index is None else p.index)


# --- the dataset as a whole -----------------------------------------------------------------------

_SCHEMA: dict[str, type | tuple[type, ...]] = {
    "command": str,
    "target": dict,
    "camera": dict,
    "trajectory": dict,
    "lighting": dict,
    "sensor": dict,
    "indices": dict,
    "seed": int,
    "depth_scale": (int, float),
    "images": dict,
    "parts": dict,
    "landmarks": dict,
    "software": dict,
}


def _check_description(data: ds.Dataset) -> list[Problem]:
    def fault(cause: str) -> Problem:
        return Problem(None, ds.DESCRIPTION, cause)

    description = data.description
    problems = []
    for key, kind in _SCHEMA.items():
        if key not in description:
            problems.append(fault(f"{key} is missing"))
        elif not isinstance(description[key], kind) or isinstance(description[key], bool):
            problems.append(fault(f"{key} is not what it should be"))
    if problems:
        return problems
    if description.get("renderer", RENDERERS[0]) not in RENDERERS:
        problems.append(fault(f"renderer {description['renderer']}: one of {', '.join(RENDERERS)}"))
    if not description["depth_scale"] > 0:
        problems.append(fault(f"depth_scale {description['depth_scale']}: must be more than 0"))
    for label, part in description["parts"].items():
        proper = label.isdigit() and 1 <= int(label) <= MAX_PARTS and isinstance(part, dict)
        if not proper or not {"name", "class"} <= set(part):
            cause = f"part {label}: must be a label from 1 to {MAX_PARTS}, name and class"
            problems.append(fault(cause))
    with suppress(InputError):
        config = data.config
        try:
            check_sun(config.sun, config.trajectory.motion)
            count = len(config.indices())
        except InputError as error:
            return [*problems, fault(str(error))]
        wanted = list(config.columns)
        if description.get("columns", []) != wanted:
            problems.append(fault(f"columns {description.get('columns', [])}: {wanted}"))
        kinds = ds.described_images(description)
        if kinds != config.images:
            problems.append(fault(f"images {', '.join(kinds)}: {', '.join(config.images)}"))
        if description["indices"].get("count") != count:
            problems.append(fault(f"indices.count {description['indices'].get('count')}: {count}"))
        if description["version"] >= SINCE:
            try:
                problems += map(fault, _check_consequences(description, config))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                problems.append(fault(f"the target's description cannot be read ({error!r})"))
    return problems


def _check_consequences(description: Mapping[str, Any], config: RenderConfig) -> Iterator[str]:
    """What of a description is not as it follows from the rest."""
    written = difference(config.to_json(), description, partly=True)
    if written is not None:
        yield f"not as it reads: {written}"
    kinds = difference(config.images_json(len(description["parts"])), description["images"])
    if kinds is not None:
        yield f"images.{kinds}"
    sphere = description["target"]["bounding_sphere"]
    scale = depth_scale_for(config.trajectory, (np.array(sphere["centre"]), sphere["radius_m"]))
    if not math.isclose(scale, config.depth_scale, rel_tol=DEPTH_SCALE_STEP):
        yield f"depth_scale {config.depth_scale}, of this trajectory and target it is {scale}"
    card = description["target"]["card"]
    if config.target.file is None and "parts" in card:
        own = {str(p["label"]): {"name": p["name"], "class": p["class"]} for p in card["parts"]}
        parts = difference(own, description["parts"])
        if parts is not None:
            yield f"parts, by the target's card: {parts}"
        places = {name: mark["xyz"] for name, mark in description["landmarks"].items()}
        marks = difference(card.get("landmarks", {}), places)
        if marks is not None:
            yield f"landmarks, by the target's card: {marks}"


def _check_pose_table(folder: Path, config: RenderConfig) -> list[Problem]:
    """Whether the copy of a user's pose table is the one that was rendered from."""
    table = config.trajectory.motion.table
    if table is None:
        return []
    with suppress(InputError):  # one that is not there is named already
        if file_sha256(table) != config.trajectory.motion.to_json()["sha256"]:
            cause = "has changed since it was rendered from, its SHA-256 is another"
            return [Problem(None, table.name, cause)]
    return []


def _read_tables(data: ds.Dataset, landmarks: Landmarks, problems: list[Problem]) -> _Tables | None:
    """The tables, as far as they can be read; adds to `problems`."""
    folder = data.folder

    def read(name: str, reader: Callable[[], ds.Table]) -> ds.Table | None:
        try:
            return reader()
        except InputError as error:
            problems.append(Problem(None, name, str(error).removeprefix(f"{folder / name}: ")))
            return None

    columns = ds.described_columns(data.description)
    parquet = read(ds.FRAMES_PARQUET, lambda: ds.read_parquet(folder / ds.FRAMES_PARQUET, columns))
    csv = read(ds.FRAMES_CSV, lambda: ds.read_csv(folder / ds.FRAMES_CSV, columns))
    keypoints = read(ds.KEYPOINTS, lambda: ds.read_keypoints(folder, len(landmarks)))
    frames = csv if parquet is None else parquet
    if parquet is not None and csv is not None:
        problems += _compare_tables(folder, parquet, csv)
    if frames is None:
        return None
    if keypoints is not None:
        rows = len(frames["index"]) * len(landmarks)
        if len(keypoints["index"]) != rows:
            cause = f"{len(keypoints['index'])} rows, should be {rows}"
            problems.append(Problem(None, ds.KEYPOINTS, cause))
            keypoints = None
    return _Tables(frames, keypoints)


def _compare_tables(folder: Path, parquet: ds.Table, csv: ds.Table) -> list[Problem]:
    if len(parquet["index"]) != len(csv["index"]):
        cause = f"{len(csv['index'])} rows, {ds.FRAMES_PARQUET} has {len(parquet['index'])}"
        return [Problem(None, ds.FRAMES_CSV, cause)]
    problems: list[Problem] = []
    for name in parquet:
        unknown = (parquet[name] != parquet[name]) & (csv[name] != csv[name])  # NaN in both
        for row in np.flatnonzero((parquet[name] != csv[name]) & ~unknown):
            cause = f"{name} is {csv[name][row]}, {ds.FRAMES_PARQUET} has {parquet[name][row]}"
            problems.append(Problem(int(parquet["index"][row]), ds.FRAMES_CSV, cause))
    if not problems and (folder / ds.FRAMES_CSV).read_bytes() != csv_bytes(parquet):
        cause = f"is not written as satgen writes {ds.FRAMES_PARQUET}'s numbers"
        problems.append(Problem(None, ds.FRAMES_CSV, cause))
    return problems


def _check_indices(tables: _Tables, wanted: NDArray[np.int64]) -> list[Problem]:
    index, file = tables.index, ds.FRAMES_PARQUET
    problems = []
    for missing in np.setdiff1d(wanted, index):
        problems.append(Problem(int(missing), file, "has no row"))
    for extra in np.setdiff1d(index, wanted):
        problems.append(Problem(int(extra), file, "has a row, but is none of the dataset's"))
    if (np.diff(index) <= 0).any():
        first = int(index[1:][np.diff(index) <= 0][0])
        problems.append(Problem(first, file, "rows are not in ascending order of index"))
    return problems


# --- rows against the configuration ---------------------------------------------------------------


def _check_poses(config: RenderConfig, tables: _Tables, views: Observations) -> list[Problem]:
    t = tables.frames
    quaternion = np.stack([t[name] for name in ("qw", "qx", "qy", "qz")], axis=-1)
    translation = np.stack([t[name] for name in ("tx", "ty", "tz")], axis=-1)
    sun = np.stack([t[name] for name in ("sun_x", "sun_y", "sun_z")], axis=-1)
    angles = [t[name] for name in ("azimuth_deg", "elevation_deg", "distance_m", "roll_deg")]
    numbers = np.column_stack([quaternion, translation, sun, *angles, t["phase_deg"]])
    finite = np.isfinite(numbers).all(axis=1)
    problems = [
        Problem(int(i), ds.FRAMES_PARQUET, "has a number that is not finite")
        for i in tables.index[~finite]
    ]
    scale = np.maximum(1.0, views.distance_m)

    def check(what: str, error: NDArray[np.float64], tolerance: Any = TOLERANCE) -> None:
        for row in np.flatnonzero(finite & ~(error <= tolerance)):
            cause = f"{what} (off by {error[row]:.3g})"
            problems.append(Problem(int(tables.index[row]), ds.FRAMES_PARQUET, cause))

    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        matrix = quaternion_to_matrix(quaternion)
        check(
            "the quaternion is not of unit length",
            np.abs(np.linalg.norm(quaternion, axis=1) - 1.0),
        )
        check(
            "the quaternion is not the trajectory's",
            np.abs(quaternion - views.quaternion).max(axis=1),
        )
        check(
            "the rotation is not the trajectory's",
            np.abs(matrix - views.T_cam_target[:, :3, :3]).max(axis=(1, 2)),
        )
        check(
            "the translation is not the trajectory's",
            np.linalg.norm(translation - views.T_cam_target[:, :3, 3], axis=1),
            TOLERANCE * scale,
        )
        azimuth, elevation, distance, roll = angles
        aim = np.array(config.trajectory.aim)
        looking = unmounted(make_pose(matrix, translation), config.trajectory.mount)
        matrix = looking[:, :3, :3]
        eye = -np.einsum("nji,nj->ni", matrix, looking[:, :3, 3])
        direction = camera_direction(azimuth, elevation)
        check(
            "angles and translation disagree",
            np.linalg.norm(aim + distance[:, None] * direction - eye, axis=1),
            TOLERANCE * scale,
        )
        if config.trajectory.motion.aimed:  # else the camera may look past the aim point
            again = rotation_from_angles(azimuth, elevation, roll)
            check("angles and rotation disagree", np.abs(again - matrix).max(axis=(1, 2)))
        for name in ("azimuth_deg", "elevation_deg", "roll_deg", "distance_m"):
            limit = TOLERANCE * (scale if name == "distance_m" else 360.0)
            check(f"{name} is not the trajectory's", np.abs(t[name] - getattr(views, name)), limit)
        dots = np.ones(len(quaternion))
        neighbours = np.diff(tables.index) == 1
        dots[1:][neighbours] = np.sum(quaternion[1:] * quaternion[:-1], axis=1)[neighbours]
        check("the quaternion's sign flips here", np.where(dots < 0.0, 1.0, 0.0))
        problems += _check_sun(config, tables, views, sun, finite)
        if "sunlight" in t:
            place = places_of(config, views, sun_vectors(config, views))
            check("sunlight is not what the Earth lets by", np.abs(t["sunlight"] - place.sunlight))
        if "exposure" in t:
            bad = ~(np.isfinite(t["exposure"]) & (t["exposure"] > 0.0))
            check("the exposure is not a positive number", np.where(bad, 1.0, 0.0))
        if "time_s" in t:
            problems += _check_motion(config, tables, views, finite)
    return problems


def _check_motion(
    config: RenderConfig, tables: _Tables, views: Observations, finite: NDArray[np.bool_]
) -> list[Problem]:
    """Times, rates and inertial attitudes: against the trajectory, and against the poses."""
    t, motion = tables.frames, config.trajectory.motion
    problems = []

    def columns(*names: str) -> NDArray[np.float64]:
        return np.stack([t[name] for name in names], axis=-1)

    def check(what: str, error: NDArray[np.float64], tolerance: Any = TOLERANCE) -> None:
        for row in np.flatnonzero(finite & ~(error <= tolerance)):
            cause = f"{what} (off by {error[row]:.3g})"
            problems.append(Problem(int(tables.index[row]), ds.FRAMES_PARQUET, cause))

    def compare(what: str, ours: NDArray[np.float64], theirs: Any, count: int) -> None:
        """Row by row; what the trajectory does not say must be NaN."""
        theirs = np.full((len(ours), count), np.nan) if theirs is None else theirs
        unknown = np.isnan(ours) & np.isnan(theirs)
        error = np.where(unknown, 0.0, np.abs(ours - theirs))
        scale = 1.0 + np.where(np.isnan(theirs), 0.0, np.abs(theirs)).max(axis=1)
        check(f"{what} is not the trajectory's", error.max(axis=1), TOLERANCE * scale)

    def differ(what: str, quaternion: NDArray[np.float64], stated: NDArray[np.float64]) -> None:
        """Against differences of the attitudes, where rows are close enough for these."""
        found, bound = differenced_velocity(tables.index, quaternion)
        error = np.linalg.norm(stated * motion.frame_s - found, axis=1)
        error = np.where(np.isfinite(bound), error, 0.0)
        check(what, error, np.where(np.isfinite(bound), TOLERANCE + 4.0 * bound, TOLERANCE))

    velocity = columns("wx", "wy", "wz")
    attitude = columns("qi_w", "qi_x", "qi_y", "qi_z")
    inertial = columns("wi_x", "wi_y", "wi_z")
    compare("time_s", t["time_s"][:, None], views.time_s[:, None], 1)
    compare("the angular velocity", velocity, views.angular_velocity, 3)
    compare("the inertial attitude", attitude, views.inertial_quaternion, 4)
    compare("the inertial angular velocity", inertial, views.inertial_velocity, 3)
    if motion.smooth:
        pose = columns("qw", "qx", "qy", "qz")
        differ("the angular velocity is not how the poses turn", pose, velocity)
    if motion.inertial:
        differ("the inertial angular velocity is not how the attitude turns", attitude, inertial)
    return problems


def _check_sun(
    config: RenderConfig,
    tables: _Tables,
    views: Observations,
    sun: NDArray[np.float64],
    finite: NDArray[np.bool_],
) -> list[Problem]:
    error = np.abs(sun - sun_vectors(config, views)).max(axis=1)
    # The phase from the angles' definition: between the sun and the way back to the camera.
    aim = np.append(np.array(config.trajectory.aim), 1.0)
    looking = unmounted(views.T_cam_target, config.trajectory.mount)
    back = -(looking @ aim)[:, :3]
    back = back / np.linalg.norm(back, axis=1, keepdims=True)
    sun = np.einsum(
        "nij,nj->ni", looking[:, :3, :3] @ np.swapaxes(views.T_cam_target[:, :3, :3], 1, 2), sun
    )
    phase = np.degrees(
        2.0 * np.arctan2(np.linalg.norm(sun - back, axis=1), np.linalg.norm(sun + back, axis=1))
    )
    problems = []
    for what, off, limit in (
        ("the sun is not where the configuration has it", error, TOLERANCE),
        (
            "phase_deg is not the angle of sun and camera",
            np.abs(phase - tables.frames["phase_deg"]),
            1e-6,
        ),
    ):
        for row in np.flatnonzero(finite & ~(off <= limit)):
            cause = f"{what} (off by {off[row]:.3g})"
            problems.append(Problem(int(tables.index[row]), ds.FRAMES_PARQUET, cause))
    return problems


def _check_keypoints(
    config: RenderConfig, landmarks: Landmarks, tables: _Tables, poses: NDArray[np.float64]
) -> list[Problem]:
    if tables.keypoints is None or len(landmarks) == 0:
        return []
    n, count = len(tables.index), len(landmarks)
    table = {name: values.reshape(n, count) for name, values in tables.keypoints.items()}
    uv, z, room = _projections(config, landmarks, poses)
    with np.errstate(invalid="ignore"):
        off = np.hypot(table["u"] - uv[..., 0], table["v"] - uv[..., 1])
        unknown = np.isnan(table["u"]) & np.isnan(table["v"])
        right = (off <= room) | (unknown & (np.isnan(uv).any(-1) | np.isinf(room)))
        near = np.abs(table["depth_m"] - z) <= TOLERANCE * np.maximum(1.0, np.abs(z))
        named = table["name"] == np.array(landmarks.names, dtype=object)
        placed = table["index"] == tables.index[:, None]
    problems = []
    for what, ok in (
        ("is not where the pose projects it to", right),
        ("depth_m is not its distance along the optical axis", near),
        ("is not the landmark that should be in this row", named & placed),
    ):
        for row, column in zip(*np.nonzero(~ok), strict=True):
            cause = f"{landmarks.names[column]} {what}"
            problems.append(Problem(int(tables.index[row]), ds.KEYPOINTS, cause))
    return problems


def _projections(
    config: RenderConfig, landmarks: Landmarks, poses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Where poses (N, 4, 4) project the landmarks to, (N, L, 2), their distances along the optical
    axis (N, L), and how far rounding may move them, pixels (N, L): what a shift of the target by
    `TOLERANCE` times its distance does, which is much where a landmark is beside the camera."""
    camera = config.camera
    distance = np.maximum(1.0, np.linalg.norm(poses[:, :3, 3], axis=1))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        uv, z = project(camera.K, poses, landmarks.xyz, camera.distortion)
        room = np.full(z.shape, PIXEL_TOLERANCE)
        for axis in range(3):
            moved = poses.copy()
            moved[:, axis, 3] += TOLERANCE * distance
            shifted, _ = project(camera.K, moved, landmarks.xyz, camera.distortion)
            step = np.abs(shifted - uv).max(axis=-1)
            room += np.where(np.isnan(step), np.inf, step)
    return uv, z, np.where(np.isnan(uv).any(-1) & (z < -TOLERANCE * distance[:, None]), 0.0, room)


# --- images ---------------------------------------------------------------------------------------


def _check_images(
    data: ds.Dataset,
    config: RenderConfig,
    landmarks: Landmarks,
    tables: _Tables | None,
    poses: NDArray[np.float64] | None,
    workers: int | None,
    progress: Update | None,
) -> list[Problem]:
    rows: dict[int, int] = {}
    if tables is not None:
        rows = {int(index): row for row, index in enumerate(tables.index)}
    checker = _ImageChecker(data, config, landmarks, tables, poses)
    problems: list[Problem] = []
    with _opencv_on_one_thread():
        count = workers or default_workers()
        jobs = [(int(index), rows.get(int(index))) for index in config.indices()]
        for done, found in enumerate(_spread(checker.check, jobs, count), start=1):
            problems += found
            if progress is not None:
                progress(done, len(jobs))
    return problems


@contextmanager
def _opencv_on_one_thread() -> Iterator[None]:
    """OpenCV, where it is installed, leaves the cores to the threads that call it."""
    try:
        import cv2
    except (ImportError, OSError):
        yield
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _spread(
    function: Callable[..., list[Problem]], jobs: list[tuple[Any, ...]], threads: int
) -> Iterator[list[Problem]]:
    """Results in order, computed in threads, with a bounded number of them waiting."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[Problem]]] = deque()
        for job in jobs:
            waiting.append(pool.submit(function, *job))
            if len(waiting) >= 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@dataclass(frozen=True)
class _ImageChecker:
    data: ds.Dataset
    config: RenderConfig
    landmarks: Landmarks
    tables: _Tables | None
    poses: NDArray[np.float64] | None

    def check(self, index: int, row: int | None) -> list[Problem]:
        """Problems of one frame's files; without a row, only of the files in themselves."""
        problems: list[Problem] = []
        images = {kind: self._read(kind, index, row, problems) for kind in self.config.images}
        depth, parts = images["depth"], images["parts"]
        shadow = images.get("shadow")
        if parts is not None and shadow is not None:
            problems += self._check_shadow(index, row, parts, shadow)
        if parts is not None and images.get("normals") is not None:
            problems += self._check_normals(index, parts, images["normals"])
        if depth is not None and row is not None and self.poses is not None:
            for kind in FLOWS:
                if images.get(kind) is not None:
                    problems += self._check_flow(kind, index, self.poses[row], depth, images[kind])
        if parts is not None:
            unknown = set(np.flatnonzero(np.bincount(parts.ravel())))
            unknown -= {0, *(int(label) for label in self.data.description["parts"])}
            if unknown:
                file = f"parts/{ds.image_name(index)}"
                labels = ", ".join(map(str, sorted(unknown)))
                problems.append(Problem(index, file, f"has labels of no part: {labels}"))
        if depth is not None and parts is not None and ((depth > 0) != (parts > 0)).any():
            count = np.count_nonzero((depth > 0) != (parts > 0))
            file = f"depth/{ds.image_name(index)}"
            cause = f"{count} pixels have a depth and no part, or a part and no depth"
            problems.append(Problem(index, file, cause))
        if row is not None and self.tables is not None:
            if parts is not None:
                problems += self._compare_outline(index, row, parts)
            if depth is not None:
                problems += self._compare_visible(index, row, depth)
        return problems

    def _read(
        self, kind: str, index: int, row: int | None, problems: list[Problem]
    ) -> NDArray[Any] | None:
        """The image, or None where it is not what it should be; adds to `problems`."""
        file = f"{kind}/{ds.image_name(index)}"
        recorded: str | None = None
        if row is not None and self.tables is not None:
            recorded = self.tables.frames[f"{kind}_sha256"][row]
        data, cause = read_checked(self.data.folder, kind, index, recorded)
        if cause:
            problems.append(Problem(index, file, cause))
            if not data:
                return None
            if not data.endswith(b"IEND\xaeB`\x82"):
                problems.append(Problem(index, file, "is cut off or damaged"))
                return None
        image = decode_png(data)
        if image is None:
            problems.append(Problem(index, file, "is not a readable PNG image"))
            return None
        sensor, camera = self.config.sensor, self.config.camera
        three = ("normals", *FLOWS) if sensor.mono else ("rgb", "normals", *FLOWS)
        channels = 3 if kind in three else 1
        labels = label_bits(len(self.data.description["parts"]))
        bits = {"rgb": sensor.stored_bits, "parts": labels, "shadow": 8}.get(kind, 16)
        shape = (camera.height, camera.width, *((3,) if channels == 3 else ()))
        if image.shape != shape or image.dtype.itemsize * 8 != bits:
            found = f"{' × '.join(map(str, image.shape))} of {image.dtype.itemsize * 8} bits"
            cause = f"is {found}, should be {' × '.join(map(str, shape))} of {bits}"
            problems.append(Problem(index, file, cause))
            return None
        return image

    def _check_shadow(
        self, index: int, row: int | None, parts: NDArray[Any], shadow: NDArray[Any]
    ) -> list[Problem]:
        file, labels = f"shadow/{ds.image_name(index)}", ds.SHADOW_LABELS
        if shadow.max() > max(labels.values()):
            return [Problem(index, file, f"has a label beyond {max(labels.values())}")]
        problems = []
        count = np.count_nonzero((shadow > 0) != (parts > 0))
        if count:
            cause = f"{count} pixels have a shadow label and no part, or a part and no label"
            problems.append(Problem(index, file, cause))
        if row is not None and self.tables is not None:
            lit = lit_share(shadow)
            if not abs(self.tables.frames["lit"][row] - lit) <= 1e-12:
                cause = f"lit {self.tables.frames['lit'][row]}, the shadow image's is {lit}"
                problems.append(Problem(index, ds.FRAMES_PARQUET, cause))
        return problems

    def _check_normals(self, index: int, parts: NDArray[Any], normals: Any) -> list[Problem]:
        file = f"normals/{ds.image_name(index)}"
        count = np.count_nonzero(normals.any(axis=-1) != (parts > 0))
        if count:
            cause = f"{count} pixels have a normal and no part, or a part and no normal"
            return [Problem(index, file, cause)]
        there = parts > 0
        length = np.linalg.norm((normals[there].astype(np.float64) - 32768.0) / 32767.0, axis=-1)
        rays = self.config.camera.rays()[there]
        away = np.einsum("ij,ij->i", decode_normals(normals)[there], rays) > 1e-4
        problems = []
        if (np.abs(length - 1.0) > 1e-4).any():
            problems.append(Problem(index, file, "has normals that are not of unit length"))
        if away.any():
            problems.append(Problem(index, file, "has normals that are turned from the camera"))
        return problems

    def _check_flow(
        self, kind: str, index: int, pose: NDArray[np.float64], counts: NDArray[Any], image: Any
    ) -> list[Problem]:
        """Against what depth and poses say, within what the depth image's rounding allows."""
        file = f"{kind}/{ds.image_name(index)}"
        config, camera = self.config, self.config.camera
        there = decode_flow(image)
        known = np.isfinite(there.flow[..., 0])
        if (known & (counts == 0)).any():
            return [Problem(index, file, "has flow where the frame shows nothing")]
        target = config.beside(index, FLOWS[kind])
        if target is None:
            return (
                [Problem(index, file, "has flow to an index without a pose")] if known.any() else []
            )
        v, u = np.nonzero(counts > 0)
        pixels = np.stack([u, v], axis=-1).astype(np.float64)
        ends = []
        for share in (-0.5, 0.0, 0.5):
            z = (counts[v, u] + share) * config.depth_scale
            points = backproject(camera.K, pose, pixels, z, camera.distortion)
            ends.append(project(camera.K, target, points, camera.distortion)[0])
        with np.errstate(invalid="ignore"):
            slack = np.abs(ends[2] - ends[0]).max(axis=-1) + 1.0 / 64.0
            off = np.abs(there.flow[v, u] + pixels - ends[1]).max(axis=-1)
            large = np.abs(ends[1] - pixels).max(axis=-1) > 510.0
        wrong = np.where(known[v, u], ~(off <= slack), np.isfinite(ends[1][:, 0]) & ~large)
        count = np.count_nonzero(wrong)
        return [Problem(index, file, f"{count} pixels do not flow as they should")] if count else []

    def _compare_outline(self, index: int, row: int, parts: NDArray[Any]) -> list[Problem]:
        assert self.tables is not None
        frames = self.tables.frames
        problems = []
        recorded = tuple(int(frames[f"bbox_{name}"][row]) for name in "xywh")
        box = bounding_box(parts)
        if recorded != box:
            cause = f"bounding box {recorded}, the part image's is {box}"
            problems.append(Problem(index, ds.FRAMES_PARQUET, cause))
        coverage = np.count_nonzero(parts) / parts.size
        if not abs(frames["coverage"][row] - coverage) <= 1e-12:
            cause = f"coverage {frames['coverage'][row]}, the part image's is {coverage}"
            problems.append(Problem(index, ds.FRAMES_PARQUET, cause))
        return problems

    def _compare_visible(self, index: int, row: int, depth: NDArray[Any]) -> list[Problem]:
        assert self.tables is not None
        if self.tables.keypoints is None or self.poses is None:
            return []
        pose = self.poses[row]
        count = len(self.landmarks)
        seen = self.landmarks.visible(self.config.camera, pose, depth, self.config.depth_scale)
        recorded = self.tables.keypoints["visible"][row * count : (row + 1) * count]
        return [
            Problem(
                index,
                ds.KEYPOINTS,
                f"{self.landmarks.names[i]} is {'' if seen[i] else 'not '}visible in the depth "
                "image, the table has the contrary",
            )
            for i in np.flatnonzero(seen != recorded)
        ]
