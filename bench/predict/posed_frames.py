"""Poses that a matcher finds in the images of a run's frames, kept in the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.predict.config import PredictConfig
from bench.predict.rotations import log
from bench.predict.run import POSES, Stages
from bench.predict.visual_poses import TrackerConfig, TrackTask, track_task
from satgen.dataset import Dataset
from satgen.geometry import Floats
from satgen.runfolder import Journal, RunFolder, file_sha256
from satgen.tasks import carried_out

Known = dict[str, dict[int, Floats | None]]
"""By dataset and index of a frame its T_cam_target (4, 4); None where none was found."""

STAGE = "poses"


def tracker_config(config: PredictConfig) -> TrackerConfig:
    """How a run finds poses in images.

    Raises:
        InputError: a matcher, features or device that there is not.
    """
    from matchers.registry import choose_device, default_features
    from matchers.specs import features_spec, matcher_spec

    choose_device(config.device)
    features = config.features or default_features()
    return TrackerConfig(
        matcher_spec(config.poses).name,
        features_spec(features).name,
        config.max_keypoints,
        device=config.device,
        threads=config.threads,
    )


def tracker_identity(tracker: TrackerConfig) -> dict[str, Any]:
    """What decides the poses, with the SHA-256 of weights and of sources of somebody's own."""
    from matchers.registry import find_weights
    from matchers.specs import features_spec, matcher_spec, source_file

    known = asdict(tracker)
    del known["threads"], known["device"]
    features, matcher = features_spec(tracker.features), matcher_spec(tracker.matcher)
    files = {
        "features weights": find_weights(None, features, None) if features.weighted else None,
        "matcher weights": find_weights(matcher, features, None) if matcher.weighted else None,
        "features source": source_file(tracker.features),
        "matcher source": source_file(tracker.matcher),
    }
    return known | {name: file_sha256(path) for name, path in files.items() if path is not None}


def find_poses(
    place: RunFolder,
    tasks: dict[tuple[str, int], TrackTask],
    workers: int,
    stages: Stages,
) -> Known:
    """The poses of runs of frames, or what is missing of them, written to the run's journal.

    Args:
        place: of the run.
        tasks: by dataset and first index.
        workers: processes.
        stages: shows progress.
    """
    journal = place.journal(POSES)
    known = {(line["dataset"], line["poses"][0]["index"]): line for line in journal.read()}
    known = {key: line for key, line in known.items() if key in tasks}
    missing = {key: task for key, task in tasks.items() if key not in known}
    total = sum(len(task.indices) for task in tasks.values())
    done = sum(len(line["poses"]) for line in known.values())
    with journal.rewritten(known.values()), stages(STAGE) as update:
        update(done, total)
        answers = carried_out(track_task, list(missing.values()), workers)
        for key, (_, found) in zip(missing, answers, strict=True):
            poses = [
                {
                    "index": pose.index,
                    "T": None if pose.T is None else pose.T.tolist(),
                    "anchor": pose.anchor,
                    "inliers": pose.inliers,
                }
                for pose in found
            ]
            known[key] = {"dataset": key[0], "poses": poses}
            journal.append([known[key]])
            done += len(poses)
            update(done, total)
    return read_poses(place.path / POSES)


def read_poses(path: Path) -> Known:
    """The poses that a journal holds."""
    found: Known = {}
    for line in Journal(path).read():
        mine = found.setdefault(line["dataset"], {})
        for pose in line["poses"]:
            mine[pose["index"]] = None if pose["T"] is None else np.asarray(pose["T"])
    return found


@lru_cache(maxsize=4)
def whole_poses(path: Path, folders: tuple[tuple[str, Path], ...]) -> dict[str, Floats]:
    """Poses (frames, 4, 4) of whole datasets, NaN for frames without one.

    Args:
        path: of the journal.
        folders: of the datasets, by name.
    """
    known, found = read_poses(path), {}
    for name, folder in folders:
        data = Dataset(folder)
        poses = np.full((len(data), 4, 4), np.nan)
        rows = {index: row for row, index in enumerate(data.indices.tolist())}
        for index, T in known.get(name, {}).items():
            if T is not None:
                poses[rows[index]] = T
        found[name] = poses
    return found


def pose_errors(known: Known, datasets: Sequence[tuple[str, Dataset]]) -> dict[str, dict[str, Any]]:
    """How good the poses are that a matcher found, by dataset.

    Those that tracks begin with are given, and count for nothing.

    `found` of `frames`; `deg`: median rotation error over sqrt(3), which is about the standard
    deviation about each axis, 0 if none was found; `median_deg`, `worst_deg`, `median_m`: of
    rotation and translation, None likewise.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, data in datasets:
        poses = {
            index: T
            for index, T in known.get(name, {}).items()
            if T is None or not np.array_equal(T, data.pose(index))  # nobody estimates to the bit
        }
        mine = {index: T for index, T in poses.items() if T is not None}
        if not mine:
            nothing = dict.fromkeys(("median_deg", "worst_deg", "median_m"))
            found[name] = {"frames": len(poses), "found": 0, "deg": 0.0, **nothing}
            continue
        true = np.stack([data.pose(index) for index in mine])
        seen = np.stack(list(mine.values()))
        turn = np.swapaxes(seen[:, :3, :3], -1, -2) @ true[:, :3, :3]
        degrees = np.degrees(np.linalg.norm(log(turn), axis=-1))
        metres = np.linalg.norm(seen[:, :3, 3] - true[:, :3, 3], axis=-1)
        found[name] = {
            "frames": len(poses),
            "found": len(mine),
            "deg": round(float(np.median(degrees)) / 3.0**0.5, 4),
            "median_deg": float(np.median(degrees)),
            "worst_deg": float(degrees.max()),
            "median_m": float(np.median(metres)),
        }
    return found
