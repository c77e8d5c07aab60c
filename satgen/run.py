"""Rendering a dataset: what is there already, the pool, the journal, the tables.

The order of writes makes a dataset recoverable at every moment: dataset.json first; then, for each
frame, three images, each atomically, and a line in the journal; at the end the tables, and
dataset.json with their seal; last, the journal goes. A frame counts as done if the journal has it
and its files have the recorded SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import platform as python_platform
import time
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import satgen
from satgen import dataset as ds
from satgen.config import RenderConfig, source_path
from satgen.dataset import IMAGES, OPTIONAL_IMAGES
from satgen.errors import InputError, RunError
from satgen.frame_maker import lit_share
from satgen.geometry import bounding_box
from satgen.integrity import check_seal, check_strays, files_match, sealed_files
from satgen.options import RenderOptions
from satgen.pool import Alone, Pool
from satgen.processes import default_workers
from satgen.progress import Update
from satgen.publication import publication_files
from satgen.records import FrameRecord, read_journal
from satgen.rendering import RENDERERS
from satgen.rendering.backend import choose_backend
from satgen.runfolder import (
    Json,
    RunFolder,
    RunKind,
    description_bytes,
    difference,
    file_sha256,
)
from satgen.scene import Scene, scene_of
from satgen.seal import digest, is_authentic, manifest_of, sealed
from satgen.shards import Shard, shard_identity
from satgen.tables import frame_table, keypoint_table, records_of, write_tables
from satgen.trajectory.file import TABLE
from satgen.worker import RenderJob, Start

DATASET = RunKind(
    command="satgen render",
    noun="dataset",
    description=ds.DESCRIPTION,
    marks={"format": ds.FORMAT, "version": ds.VERSION},
    owns=(
        *reversed(ds.TABLES),
        *ds.PUBLICATION,
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
        description: its dataset.json, or that of a shard, but for what is known only at the end:
            the software, of a folder that is begun, and the seal.
        records: frames that are done, by index.
        whole: whether the rest of the files is there and right.
    """

    scene: Scene
    indices: Sequence[int]
    folder: RunFolder
    description: dict[str, Any]
    records: dict[int, FrameRecord]
    whole: bool

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
            as it says; and at the end how many frames do not show the target.
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
            kind, identity = SHARD, shard_identity(identity, shard)
            indices = list(shard.block(indices))
            if not indices:
                raise InputError(f"shard {shard}: there are only {len(scene.indices)} frames")
        with RunFolder.open(folder, kind, identity, resume=resume, overwrite=overwrite) as place:
            plan = _plan(scene, indices, options.command, place)
            tell_warnings(scene, options, warn)
            if pool is None and plan.missing:
                pool = _workers(plan, start, count)
                stack.callback(pool.close)
            records = _carry_out(plan, pool, progress)
        _check_alone(plan)
    _tell_unseen(records.values(), options, warn)
    rendered = len(plan.missing)
    seconds = time.perf_counter() - began
    total = folder_bytes(folder)
    name, frames = scene.config.target.name, len(plan.indices)
    return RenderSummary(str(folder), name, frames, rendered, seconds, total, scene.model.warnings)


def tell_warnings(scene: Scene, options: RenderOptions, warn: Callable[[str], None] | None) -> None:
    """Tell, where somebody listens, what of the target's file is not drawn as it says."""
    if warn is not None:
        for line in scene.model.warnings:
            warn(f"{Path(options.target).name}: {line}")


def _tell_unseen(
    records: Collection[FrameRecord],
    options: RenderOptions,
    warn: Callable[[str], None] | None,
) -> None:
    """Tell, where somebody listens, how many frames there are without the target in them."""
    unseen = sum(record.coverage == 0.0 for record in records)
    if warn is not None and unseen:
        warn(
            f"{Path(options.target).name}: {unseen} of {len(records)} frames do not show it: the "
            "camera looks past it, is inside it, or is too far away"
        )


def _check_alone(plan: RenderPlan) -> None:
    """Say what lies in a complete dataset and is no part of it, as `satgen verify` will.

    Raises:
        RunError: there is something.
    """
    folder = plan.folder
    name = folder.kind.description
    left = check_strays(folder.path, plan.scene.config, name=name, indices=plan.indices)
    if left:
        others = f", and {len(left) - 1} more" if len(left) > 1 else ""
        raise RunError(
            f"{folder.path}: all frames are there, but {left[0].file} {left[0].cause}{others}; "
            f"move it away, or satgen verify will not call the {DATASET.noun} whole"
        )


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
    known, path = folder.known, folder.path
    if known is None:
        description = _within(describe(scene, command), folder)
        return RenderPlan(scene, indices, folder, description, {}, False)
    if (path / ds.JOURNAL).exists():
        records = _good(path, scene, indices, read_journal(path).values())
        again = _described_again(scene, known, folder)
        return RenderPlan(scene, indices, folder, again, records, False)
    name = folder.kind.description
    problems = check_seal(path, known, scene.config, name=name)
    damaged = {problem.file for problem in problems}
    claimed = _table_records(path, scene, manifest_of(known), damaged)
    records = _good(path, scene, indices, claimed)
    complete = len(records) == len(claimed) == len(indices)
    whole = complete and not damaged & {name, *sealed_files(scene.config)}
    description = known if whole else _described_again(scene, known, folder)
    return RenderPlan(scene, indices, folder, description, records, whole)


def _within(description: Json, folder: RunFolder) -> Json:
    """What the folder's own description says where this is the dataset's."""
    return {DATASET.noun: description} if folder.kind is SHARD else description


def _described_again(scene: Scene, known: Json, folder: RunFolder) -> Json:
    """What the description of this very run should say, but for the seal; of what follows neither
    from the configuration nor from the target, the command and the software, what it says.

    Raises:
        InputError: it was sealed with another command, software or path of the target's file.
    """
    dataset = known.get(DATASET.noun, {}) if folder.kind is SHARD else known
    again = describe(scene, dataset.get("command"))
    again["target"]["file"] = dataset.get("target", {}).get("file")
    full = folder.full({**_within(again, folder), "software": known.get("software")})
    manifest, name = manifest_of(known) or {}, folder.kind.description
    changed = bool(manifest) and not is_authentic(known, name)
    if changed and manifest.get(name) != digest(full):
        raise InputError(
            f"{folder.path / name}: has been changed, and its command or software cannot be "
            "known again; render it anew with --overwrite --no-resume"
        )
    return full


def _good(
    folder: Path, scene: Scene, indices: Sequence[int], records: Iterable[FrameRecord]
) -> dict[int, FrameRecord]:
    """Of these records, by index, those that are wanted and whose images are as they say."""
    wanted, kinds, marks = set(indices), scene.config.images, len(scene.landmarks)
    claimed = [r for r in records if r.index in wanted and len(r.visible) == marks]
    with ThreadPoolExecutor(default_workers()) as threads:
        good = list(threads.map(lambda record: files_match(folder, kinds, record), claimed))
    return {r.index: r for r, ok in zip(claimed, good, strict=True) if ok}


def _table_records(
    folder: Path, scene: Scene, manifest: Mapping[str, str] | None, damaged: Container[str]
) -> list[FrameRecord]:
    """Records from the tables of a dataset that was complete.

    Of the two frame tables one that is as it was sealed counts. Where neither is, they must agree
    on a frame, and the images say again what follows from them; likewise, where the keypoints are
    not as they were sealed, the depth images say again what is visible.
    """
    columns = ds.frame_columns(more=scene.config.columns)
    readers: dict[str, Callable[[], ds.Table]] = {
        ds.FRAMES_CSV: lambda: ds.read_csv(folder / ds.FRAMES_CSV, columns),
        ds.FRAMES_PARQUET: lambda: ds.read_parquet(folder / ds.FRAMES_PARQUET, columns),
    }
    proven = [name for name in readers if manifest is not None and name not in damaged]
    found: list[ds.Table] = []
    for name in proven[:1] or readers:
        with suppress(InputError):
            found.append(readers[name]())
    if not found:
        return []
    if proven and ds.KEYPOINTS not in damaged:
        with suppress(InputError):
            keypoints = ds.read_keypoints(folder, len(scene.landmarks))
            return records_of(found[0], keypoints, len(scene.landmarks))
    bare = _agreed([records_of(table, None, 0) for table in found])
    with ThreadPoolExecutor(default_workers()) as threads:
        return list(threads.map(lambda record: _seen_again(folder, scene, record), bare))


def _agreed(versions: list[list[FrameRecord]]) -> list[FrameRecord]:
    """The records that are in every version."""
    common = set(versions[0]).intersection(*versions[1:])
    return [r for r in versions[0] if r in common]


def _seen_again(folder: Path, scene: Scene, record: FrameRecord) -> FrameRecord:
    """A record with all that the frame's images say."""
    config = scene.config
    try:
        images = {
            kind: ds.read_image(ds.image_path(folder, kind, record.index))
            for kind in config.images
            if kind in ("depth", "parts", "shadow")
        }
        pose = scene.views.at([record.index]).observations.T_cam_target[0]
        depth, parts = images["depth"], images["parts"]
        seen = scene.landmarks.visible(config.camera, pose, depth, config.depth_scale)
        lit = lit_share(images["shadow"]) if "shadow" in images else None
    except (InputError, IndexError, ValueError):
        return record  # an image that cannot be read is not what the record says either
    return replace(
        record,
        bbox=bounding_box(parts),
        coverage=np.count_nonzero(parts) / parts.size,
        visible=tuple(seen.tolist()),
        lit=lit,
    )


# --- doing it -------------------------------------------------------------------------------------


def _carry_out(
    plan: RenderPlan, pool: Pool | Alone | None, progress: Update | None
) -> dict[int, FrameRecord]:
    """Render what is missing and finish the dataset; the records of its frames."""
    total = len(plan.records) + len(plan.missing)
    if progress is not None:
        progress(len(plan.records), total)
    if pool is None or not plan.missing:
        plan.folder.remove_temporaries()
        if not plan.whole:
            _keep(plan, _poses(plan))
            _finish(plan, plan.description, plan.records)
        return plan.records
    try:
        job = RenderJob(plan.folder.path.resolve(), plan.scene.config)
        description = _begin(plan, pool.begin(job))
        records = _render(plan, pool, total, progress)
    finally:
        pool.close()
    _finish(plan, description, records)
    return records


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


def _begin(plan: RenderPlan, gl: dict[str, str]) -> Json:
    """Bring the folder to where frames can be added: description, folders, table of poses.

    Returns:
        What the description will be when the dataset is complete, but for the seal.
    """
    software = {**software_versions(), "opengl": gl}
    folder, description = plan.folder, plan.description
    if folder.known is None:
        description = {**description, "software": software}
    else:
        ours = deciding(software, plan.scene.config.renderer)
        found = difference({"software": ours}, folder.known, partly=True)
        if found is not None:
            raise InputError(
                f"{folder.path}: was begun with other software ({found}), and frames would not be "
                "alike; render it anew with --overwrite --no-resume"
            )
    poses = _poses(plan)
    folder.begin(description)
    _keep(plan, poses)
    for kind in plan.scene.config.images:
        (folder.path / kind).mkdir(exist_ok=True)
    return description


def _poses(plan: RenderPlan) -> bytes | None:
    """The user's table of poses, where there is one."""
    table = plan.scene.config.trajectory.motion.table
    return None if table is None else _read(table)


def _keep(plan: RenderPlan, poses: bytes | None) -> None:
    """Copy the table of poses into the folder."""
    copy = plan.scene.config.trajectory.motion.in_folder(plan.folder.path).table
    if copy is not None and poses is not None:
        plan.folder.keep(copy.name, poses)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _finish(plan: RenderPlan, description: Json, records: dict[int, FrameRecord]) -> None:
    """Write the tables, seal them, and remove the journal: with that the dataset is complete."""
    ordered = [records[index] for index in sorted(records)]
    frames, keypoints = frame_table(plan.scene, ordered), keypoint_table(plan.scene, ordered)
    finish(plan.folder, description, frames, keypoints, plan.scene.config)


def finish(
    folder: RunFolder,
    description: Json,
    frames: ds.Table,
    keypoints: ds.Table,
    config: RenderConfig,
) -> None:
    """Write the tables of a dataset whose images are all there and what it is published with, seal
    them in its description, and remove its journal.

    Args:
        folder: the dataset's.
        description: its dataset.json, but for the seal.
        frames, keypoints: the tables.
        config: what was rendered.
    """
    files = write_tables(folder.path, frames, keypoints, config.columns)
    dataset = description[DATASET.noun] if folder.kind is SHARD else description
    for name, data in publication_files(dataset, frames, files[ds.FRAMES_PARQUET]).items():
        folder.write(name, data)
        files[name] = hashlib.sha256(data).hexdigest()
    for name in sealed_files(config):
        if name not in files:
            files[name] = file_sha256(folder.path / name)
    name = folder.kind.description
    folder.write(name, description_bytes(sealed(folder.full(description), files, name)))
    (folder.path / ds.JOURNAL).unlink(missing_ok=True)


def describe(scene: Scene, command: str | None) -> dict[str, Any]:
    """dataset.json, but for the software. It holds nothing that differs from run to run.

    Args:
        scene: what is rendered.
        command: the command line that asks for it, if there is one.
    """
    config, model = scene.config, scene.model
    centre, radius = model.bounding_sphere
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
        "images": config.images_json(len(model.parts)),
        **({"columns": list(config.columns)} if config.columns else {}),
        "parts": {str(p.label): {"name": p.name, "class": p.cls} for p in model.parts},
        "landmarks": scene.landmarks.to_json(),
    }


def deciding(software: Mapping[str, Any], renderer: str) -> dict[str, Any]:
    """What of the software makes frames differ: two runs that agree in it are alike in bytes."""
    keys = ["satgen", "numpy", "zlib-ng", "opengl"]
    if renderer == "pyrender":
        keys.append("pyrender2")
    return {key: software.get(key) for key in keys}


def software_versions() -> dict[str, str]:
    """Versions of what has a say in the bytes of a dataset."""
    versions = {
        "satgen": satgen.__version__,
        "python": python_platform.python_version(),
    }
    for name in ("numpy", "zlib-ng", "pyrender2", "PyOpenGL", "pyarrow"):
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
