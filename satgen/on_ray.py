"""A dataset's shards as Ray tasks, over the machines of a cluster that share a folder.

A task renders a shard in the process that Ray gives it. When that process or its machine dies, Ray
gives the shard to another, which goes on from what the folder has. At the end the shards are
merged. Needs the extra `ray`, and satgen installed on every machine of the cluster.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from satgen.dataset import DESCRIPTION
from satgen.errors import InputError, RunError, SatgenError
from satgen.installed import require
from satgen.merge import merge, status
from satgen.options import RenderOptions
from satgen.progress import Update
from satgen.run import RenderSummary, folder_bytes, render, tell_warnings
from satgen.scene import scene_of
from satgen.shards import Shard, found_shards

LEAST_FRAMES = 16
"""Frames of a shard that are worth a task: to get ready takes as long as some tens of frames."""
A_CORE = 3
"""Shards for each core of the cluster: the slower machine has fewer of them in the end."""
POLL_S = 1.0
REACHED_S = 10.0
"""Seconds that a cluster may take to take a connection."""


def render_on_ray(
    options: RenderOptions,
    out: Path,
    address: str,
    *,
    overwrite: bool = False,
    progress: Update | None = None,
    warn: Callable[[str], None] | None = None,
) -> RenderSummary:
    """Render a dataset, or what is missing of its shards, on a cluster, and merge them.

    Args:
        options: what to render.
        out: the dataset's folder, which every machine sees under this name.
        address: of the cluster, as `ray.init` takes it; empty for the one that RAY_ADDRESS names,
            or else one that is started on this machine.
        overwrite: let each shard replace one of another configuration.
        progress: told how many frames are done.
        warn: as `satgen.run.render` has it.

    Raises:
        InputError: the request makes no sense, Ray is not installed, or there is no such cluster.
        RunError: a shard failed; the same call goes on from there.
    """
    require("satgen render --ray", "ray")
    import ray

    began = time.perf_counter()
    out = out.absolute()
    if (out / DESCRIPTION).exists():
        if found_shards(out):
            merge(out)
        return render(options, out, overwrite=overwrite, progress=progress, warn=warn)
    scene = scene_of(options)
    tell_warnings(scene, options, warn)
    frames = len(scene.indices)
    with _connected(address):
        tasks = _started(options, out, _division(out, frames, overwrite), overwrite)
        rendered = 0
        while tasks:
            done, _ = ray.wait(list(tasks), num_returns=1, timeout=POLL_S)
            for reference in done:
                rendered += _answer(reference, tasks.pop(reference))
            if progress is not None:
                with suppress(SatgenError):  # a shard is being replaced
                    progress(sum(part.done for part in status(out).shards), frames)
    merge(out)
    seconds = time.perf_counter() - began
    name = scene.config.target.name
    warnings = scene.model.warnings
    return RenderSummary(str(out), name, frames, rendered, seconds, folder_bytes(out), warnings)


def _division(out: Path, frames: int, overwrite: bool) -> int:
    """How many shards there are to be: as many as there are already, or for some time of work."""
    import ray

    known = found_shards(out)
    if known and not overwrite:
        return known[0].count
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores = int(resources.get("CPU", 1))
    return max(1, min(A_CORE * cores, frames // LEAST_FRAMES))


def _started(options: RenderOptions, out: Path, count: int, overwrite: bool) -> dict[Any, Shard]:
    import ray

    task = ray.remote(_render_shard).options(num_cpus=1, max_retries=-1)
    shards = [Shard(number, count) for number in range(1, count + 1)]
    return {task.remote(options, str(out), shard, overwrite): shard for shard in shards}


def _render_shard(
    options: RenderOptions, out: str, shard: Shard, overwrite: bool
) -> RenderSummary | SatgenError:
    """The task. Errors that were raised on purpose are no reason to try again, and come back."""
    try:
        return render(options, Path(out), workers=0, overwrite=overwrite, shard=shard)
    except SatgenError as error:
        return error


def _answer(reference: Any, shard: Shard) -> int:
    import ray

    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]
        raise RunError(f"shard {shard}: {last}; the same command goes on from here") from None
    if isinstance(found, SatgenError):
        raise found
    return int(found.rendered)


@contextmanager
def _connected(address: str) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    _check_reachable(address)
    try:
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"ray {address!r}: {first}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse a HOST:PORT at which nothing listens: Ray tries for minutes, then ends the process."""
    found = re.fullmatch(r"(?:ray://)?(\[[^\]]+\]|[^:/]+):([0-9]{1,5})", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), REACHED_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"ray {address!r}: nothing answers there ({error})") from None
