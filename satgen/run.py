"""Rendering a dataset: what is there already, the pool, the journal, the tables.

The order of writes makes a dataset recoverable at every moment: dataset.json first; then, for each
frame, three images, each atomically, and a line in the journal; at the end the tables; last, the
journal goes. A frame counts as done if the journal has it and its files have the recorded SHA-256.
"""

from __future__ import annotations

import os
import platform as python_platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import satgen
from satgen import dataset as ds
from satgen.config import (
    source_path,
)
from satgen.dataset import IMAGES, OPTIONAL_IMAGES
from satgen.errors import InputError
from satgen.model import label_bits
from satgen.options import RenderOptions
from satgen.pool import Alone, Pool
from satgen.processes import default_workers
from satgen.progress import Update
from satgen.records import FrameRecord, read_journal
from satgen.rendering import RENDERERS
from satgen.rendering.backend import choose_backend
from satgen.runfolder import RunFolder, RunKind, difference
from satgen.scene import Scene, scene_of
from satgen.shards import Shard
from satgen.tables import csv_bytes, frame_table, keypoint_table, records_of, write_tables
from satgen.trajectory.file import TABLE
from satgen.truth_images import FATES, FLOWS
from satgen.worker import RenderJob, Start

DATASET = RunKind(
    command="satgen render",
    noun="dataset",
    description=ds.DESCRIPTION,
    marks={"format": ds.FORMAT, "version": ds.VERSION},
    owns=(
        *reversed(ds.TABLES),
        ds.JOURNAL,
        *(f"{kind}/{'[0-9]' * 6}.png" for kind in (*IMAGES, *OPTIONAL_IMAGES)),
        f"{TABLE}.*",
    ),
    nested=False,
    implied={"renderer": RENDERERS[0]},
)
"""The folder of a dataset: its description has the identity's keys, and others."""

SHARD = replace(
    DATASET,
    command="satgen render --shard",
    noun="shard",
    description="shard.json",
    marks={"format": "satgen-shard", "version": 1},
    nested=True,
    implied={},
)
"""The folder of a shard: a dataset's, but that its description has the whole dataset's within."""


@dataclass(frozen=True)
class RenderSummary:
    """What a run of `satgen render` has done.

    Attributes:
        dataset: its folder.
        target: the target's name.
        frames: frames in it.
        rendered: of these, how many this run rendered; the others were there.
        seconds: how long it took.
        bytes: size of the dataset's files.
        warnings: what of the target's file is not drawn as it says, a line each.
    """

    dataset: str
    target: str
    frames: int
    rendered: int
    seconds: float
    bytes: int
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object that `satgen render --json` prints."""
        rate = self.rendered / self.seconds if self.seconds > 0.0 else 0.0
        return {**asdict(self), "frames_per_second": rate}


@dataclass(frozen=True)
class RenderPlan:
    """What stands between a folder and the finished dataset.

    Attributes:
        scene: what is rendered.
        indices: of the frames that the folder is to hold.
        folder: where to.
        description: its dataset.json, or that of a shard.
        records: frames that are done, by index.
        tables: whether the tables are there and right.
    """

    scene: Scene
    indices: Sequence[int]
    folder: RunFolder
    description: dict[str, Any]
    records: dict[int, FrameRecord]
    tables: bool

    @cached_property
    def missing(self) -> list[int]:
        """Indices of the frames that are still to be rendered."""
        return [index for index in self.indices if index not in self.records]


def render(
    options: RenderOptions,
    folder: str | Path,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = True,
    progress: Update | None = None,
    warn: Callable[[str], None] | None = None,
    shard: Shard | None = None,
) -> RenderSummary:
    """Render a dataset, or what is missing of it.

    Args:
        options: what to render.
        folder: the dataset's folder, made if need be.
        workers: processes; by default the cores. 0: this process does the work itself.
        overwrite: replace a dataset of another configuration.
        resume: go on with a dataset of the same configuration that is not whole. Without it, such
            a dataset is rendered anew under `overwrite`, and refused otherwise.
        progress: told about every step.
        warn: told, before any frame is rendered, each thing in the target's file that is not drawn
            as it says.
        shard: render this part of the dataset only, into a folder beside (`satgen.shards`).

    Raises:
        InputError: the request makes no sense, or the folder holds something else; nothing was
            changed.
        RunError: the run failed; what is written is good and the same call goes on from there.
    """
    began = time.perf_counter()
    folder = Path(folder)
    if shard is not None:
        if (folder / ds.DESCRIPTION).exists():
            raise InputError(f"{folder}: is a dataset already, not to be rendered in shards")
        folder = shard.folder(folder)
    if workers is not None and workers < 0:
        raise InputError(f"workers {workers}: must be 0 (this process) or more")
    if options.renderer != RENDERERS[0]:
        from satgen.rendering.reference import check_available

        check_available()
    start = Start(options, choose_backend(), os.getpid())
    count = default_workers() if workers is None else workers
    with ExitStack() as stack:
        pool: Pool | Alone | None = None
        if count and _is_new(folder) and source_path(options.target).is_file():
            # They get ready while the target is loaded here.
            most = len(range(options.start, options.stop + 1, max(options.step, 1)))
            most = most if shard is None else -(-most // shard.count)
            pool = stack.enter_context(Pool(start, max(1, min(count, most))))
        scene = scene_of(options)
        kind, identity, indices = DATASET, scene.config.identity(), scene.indices
        if shard is not None:
            kind, identity = SHARD, {**identity, "shard": shard.to_json()}
            indices = list(shard.block(indices))
            if not indices:
                raise InputError(f"shard {shard}: there are only {len(scene.indices)} frames")
        with RunFolder.open(folder, kind, identity, resume=resume, overwrite=overwrite) as place:
            plan = _plan(scene, indices, options.command, place)
            if warn is not None:
                for line in scene.model.warnings:
                    warn(f"{Path(options.target).name}: {line}")
            if pool is None and plan.missing:
                pool = _workers(plan, start, count)
                stack.callback(pool.close)
            _carry_out(plan, pool, progress)
    rendered = len(plan.missing)
    seconds = time.perf_counter() - began
    total = folder_bytes(folder)
    name, frames = scene.config.target.name, len(plan.indices)
    return RenderSummary(str(folder), name, frames, rendered, seconds, total, scene.model.warnings)


def _workers(plan: RenderPlan, start: Start, count: int) -> Pool | Alone:
    """What renders the frames that are missing: at most `count` processes, or, for 0, this one."""
    if count:
        return Pool(start, min(count, len(plan.missing)))
    return Alone(plan.scene, start.platform)


def _is_new(folder: Path) -> bool:
    """Whether nothing is there yet that could make rendering needless, or forbid it."""
    try:
        return not os.listdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False


# --- what is there --------------------------------------------------------------------------------


def _plan(
    scene: Scene, indices: Sequence[int], command: str | None, folder: RunFolder
) -> RenderPlan:
    if folder.known is None:
        description = describe(scene, command)
        if folder.kind is SHARD:
            description = {DATASET.noun: description}
        return RenderPlan(scene, indices, folder, description, {}, False)
    records, tables = _finished(folder.path, scene, indices)
    return RenderPlan(scene, indices, folder, folder.known, records, tables)


def _finished(
    folder: Path, scene: Scene, indices: Sequence[int]
) -> tuple[dict[int, FrameRecord], bool]:
    """Records of the frames whose files are good, and whether the tables are in place."""
    whole = False
    if (folder / ds.JOURNAL).exists():
        records = list(read_journal(folder).values())
    else:
        records, whole = _table_records(folder, scene)
    wanted = set(indices)
    claimed = [r for r in records if r.index in wanted and len(r.visible) == len(scene.landmarks)]
    with ThreadPoolExecutor(default_workers()) as threads:
        kinds = scene.config.images
        good = list(threads.map(lambda record: files_match(folder, kinds, record), claimed))
    kept = {r.index: r for r, ok in zip(claimed, good, strict=True) if ok}
    whole = whole and len(kept) == len(wanted) == len(records)
    return kept, whole and _tables_match(folder, scene, kept)


def _table_records(folder: Path, scene: Scene) -> tuple[list[FrameRecord], bool]:
    """Records of a complete dataset, and whether all three tables could be read.

    Where both frame tables can be read, they must agree on a frame; where the keypoints cannot,
    the depth images say again what is visible.
    """
    found: list[ds.Table] = []
    columns = ds.frame_columns(more=scene.config.columns)
    with suppress(InputError):
        found.append(ds.read_csv(folder / ds.FRAMES_CSV, columns))
    with suppress(InputError):
        found.append(ds.read_parquet(folder / ds.FRAMES_PARQUET, columns))
    if not found:
        return [], False
    try:
        keypoints = ds.read_parquet(folder / ds.KEYPOINTS, ds.KEYPOINT_COLUMNS)
        records = [records_of(table, keypoints, len(scene.landmarks)) for table in found]
    except InputError:
        bare = [records_of(table, None, 0) for table in found]
        return [_seen_again(folder, scene, r) for r in _agreed(bare)], False
    return _agreed(records), len(found) == 2


def _agreed(versions: list[list[FrameRecord]]) -> list[FrameRecord]:
    """The records that are in every version."""
    common = set(versions[0]).intersection(*versions[1:])
    return [r for r in versions[0] if r in common]


def _seen_again(folder: Path, scene: Scene, record: FrameRecord) -> FrameRecord:
    try:
        depth = ds.read_image(ds.image_path(folder, "depth", record.index))
        pose = scene.views.at([record.index]).observations.T_cam_target[0]
        config = scene.config
        seen = scene.landmarks.visible(config.camera, pose, depth, config.depth_scale)
    except (InputError, IndexError):
        return record
    return replace(record, visible=tuple(seen.tolist()))


def _tables_match(folder: Path, scene: Scene, records: dict[int, FrameRecord]) -> bool:
    """Whether frames.csv is, byte for byte, what these records come to."""
    table = frame_table(scene, [records[i] for i in sorted(records)])
    with suppress(OSError):
        return (folder / ds.FRAMES_CSV).read_bytes() == csv_bytes(table)
    return False


def files_match(folder: Path, kinds: Sequence[str], record: FrameRecord) -> bool:
    """Whether a frame's images are there and are the ones that were written."""
    import hashlib

    if len(record.sha256) != len(kinds):
        return False
    for kind, digest in zip(kinds, record.sha256, strict=True):
        try:
            data = ds.image_path(folder, kind, record.index).read_bytes()
        except OSError:
            return False
        if hashlib.sha256(data).hexdigest() != digest:
            return False
    return True


# --- doing it -------------------------------------------------------------------------------------


def _carry_out(plan: RenderPlan, pool: Pool | Alone | None, progress: Update | None) -> None:
    """Render what is missing and finish the dataset."""
    total = len(plan.records) + len(plan.missing)
    if progress is not None:
        progress(len(plan.records), total)
    if pool is None or not plan.missing:
        plan.folder.remove_temporaries()
        if not plan.tables:
            _finish(plan, plan.records)
        return
    try:
        job = RenderJob(plan.folder.path.resolve(), plan.scene.config)
        _begin(plan, pool.begin(job))
        records = _render(plan, pool, total, progress)
    finally:
        pool.close()
    _finish(plan, records)


def _render(
    plan: RenderPlan, pool: Pool | Alone, total: int, progress: Update | None
) -> dict[int, FrameRecord]:
    records = dict(plan.records)
    there = [records[index].to_json() for index in sorted(records)]
    with plan.folder.journal(ds.JOURNAL).rewritten(there) as journal:
        for batch in pool.render(plan.missing):
            journal.append(record.to_json() for record in batch)
            records.update((r.index, r) for r in batch)
            if progress is not None:
                progress(len(records), total)
    return records


def _begin(plan: RenderPlan, gl: dict[str, str]) -> None:
    """Bring the folder to where frames can be added: description, folders, table of poses."""
    software = {**software_versions(), "opengl": gl}
    folder = plan.folder
    if folder.known is not None:
        ours = deciding(software, plan.scene.config.renderer)
        found = difference({"software": ours}, folder.known, partly=True)
        if found is not None:
            raise InputError(
                f"{folder.path}: was begun with other software ({found}), and frames would not be "
                "alike; render it anew with --overwrite --no-resume"
            )
    motion = plan.scene.config.trajectory.motion
    poses = None if motion.table is None else _read(motion.table)
    folder.begin({**plan.description, "software": software})
    for kind in plan.scene.config.images:
        (folder.path / kind).mkdir(exist_ok=True)
    if poses is not None:
        copy = motion.in_folder(folder.path).table
        assert copy is not None
        folder.keep(copy.name, poses)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _finish(plan: RenderPlan, records: dict[int, FrameRecord]) -> None:
    """Write the tables and remove the journal: with that the dataset is complete."""
    ordered = [records[index] for index in sorted(records)]
    frames, keypoints = frame_table(plan.scene, ordered), keypoint_table(plan.scene, ordered)
    finish(plan.folder, frames, keypoints, plan.scene.config.columns)


def finish(
    folder: RunFolder, frames: ds.Table, keypoints: ds.Table, columns: Sequence[str]
) -> None:
    """Write the tables of a dataset whose images are all there, and remove its journal.

    Args:
        folder: the dataset's.
        frames, keypoints: the tables.
        columns: what the frames' has besides the usual ones.
    """
    write_tables(folder.path, frames, keypoints, columns)
    (folder.path / ds.JOURNAL).unlink(missing_ok=True)


def describe(scene: Scene, command: str | None) -> dict[str, Any]:
    """dataset.json, but for the software. It holds nothing that differs from run to run.

    Args:
        scene: what is rendered.
        command: the command line that asks for it, if there is one.
    """
    config, model = scene.config, scene.model
    centre, radius = model.bounding_sphere
    sensor = config.sensor
    flow = {"channels": 3, "bits": 16, "unit_px": 1.0 / 64.0, "labels": FATES}
    optional = {
        "shadow": {"channels": 1, "bits": 8, "labels": ds.SHADOW_LABELS},
        "normals": {"channels": 3, "bits": 16, "axes": "camera"},
        **dict.fromkeys(FLOWS, flow),
    }
    data = config.to_json()
    return {
        "format": ds.FORMAT,
        "version": ds.VERSION,
        "command": command or "",
        **data,
        "target": {
            **data["target"],
            "bounding_sphere": {"centre": centre.tolist(), "radius_m": radius},
            **({"warnings": list(model.warnings)} if model.warnings else {}),
            "card": model.card,
        },
        "indices": {**data["indices"], "count": len(scene.indices)},
        "images": {
            "rgb": {
                "channels": 1 if sensor.mono else 3,
                "bits": sensor.stored_bits,
                "significant_bits": sensor.bit_depth,
                "curve": sensor.curve,
            },
            "depth": {"channels": 1, "bits": 16, "unit_m": config.depth_scale},
            "parts": {"channels": 1, "bits": label_bits(len(model.parts))},
            **{kind: optional[kind] for kind in config.images if kind in optional},
        },
        **({"columns": list(config.columns)} if config.columns else {}),
        "parts": {str(p.label): {"name": p.name, "class": p.cls} for p in model.parts},
        "landmarks": scene.landmarks.to_json(),
    }


def deciding(software: Mapping[str, Any], renderer: str) -> dict[str, Any]:
    """What of the software makes frames differ: two runs that agree in it are alike in bytes."""
    keys = ["satgen", "numpy", "zlib", "opengl"]
    if renderer == "pyrender":
        keys.append("pyrender2")
    return {key: software.get(key) for key in keys}


def software_versions() -> dict[str, str]:
    """Versions of what has a say in the bytes of a dataset."""
    import zlib

    versions = {
        "satgen": satgen.__version__,
        "python": python_platform.python_version(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    for name in ("numpy", "pyrender2", "PyOpenGL", "pyarrow"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def folder_bytes(folder: Path) -> int:
    """Size of a dataset's files."""
    total = 0
    for place in ds.places(folder):
        with suppress(OSError), os.scandir(place) as entries:
            total += sum(e.stat().st_size for e in entries if e.is_file(follow_symlinks=False))
    return total
