"""Rendering speed against a plain pyrender loop, or against another version of satgen:
`python -m bench.render_speed`, `python -m bench.render_speed --against CHECKOUT`.

Both render the same frames of the same GLB with the same camera, sun and outputs (RGB, depth and
parts as PNG with their SHA-256), in turn, several rounds in one run, so that a machine that is busy
with other work slows both. The ratio is what to read; frames a second depend on the machine.

The plain loop is `satgen.rendering.reference`, what pyrender's own documentation leads to: one node
a part, `OffscreenRenderer` with its 4× multisampling, one directional light with
`SHADOWS_DIRECTIONAL`, a second pass with `SEG` for the parts, PNGs by Pillow. Its software renderer
may use every core; `satgen render` uses as many workers.

Two versions of satgen run as whole commands of the same interpreter with the same options (`--ours`
adds some to this one's), by turns first and second. Their ratios are over 1 where this one is
faster. Seconds of processor say what a whole command costs, whatever else the machine does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.render_command import RenderCommand
from satgen.errors import InputError
from satgen.exits import guarded

_PLAIN = "plain"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", default="aura", show_default=True, help="Bundled target to render.")
@click.option("--size", default=512, show_default=True, help="Image side in pixels.")
@click.option("--frames", default=400, show_default=True, help="Frames a round for satgen.")
@click.option("--plain-frames", default=30, show_default=True, help="Frames a round for pyrender.")
@click.option(
    "--rounds",
    default=3,
    type=click.IntRange(min=1),
    show_default=True,
    help="Rounds, each of both.",
)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, help="satgen's workers.")
@click.option(
    "--against",
    metavar="CHECKOUT",
    type=click.Path(path_type=Path),
    help="Another checkout of satgen to compare this one with, in place of pyrender.",
)
@click.option(
    "--ours",
    metavar="OPTIONS",
    help="With --against: more options of satgen render, for this code only.",
)
@click.option("--no-parts", is_flag=True, help="Spare the plain loop its pass for the parts.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.option("--plain-job", hidden=True, default=None)
def main(
    target: str,
    size: int,
    frames: int,
    plain_frames: int,
    rounds: int,
    workers: int,
    against: Path | None,
    ours: str | None,
    no_parts: bool,
    as_json: bool,
    plain_job: str | None,
) -> None:
    """Time `satgen render` and a plain pyrender loop on the same frames, in turn; or, with
    --against, this `satgen render` and that of another checkout.

    \b
    Examples:
      python -m bench.render_speed --target worldview --rounds 5
      git worktree add ../before HEAD~20
      python -m bench.render_speed --against ../before --rounds 5
      python -m bench.render_speed --against ../before --ours "--background earth"
    """
    if plain_job is not None:
        click.echo(json.dumps(_plain_loop(json.loads(plain_job))))
        return
    guarded(
        lambda: (
            _compare_with_plain(
                target, size, frames, plain_frames, rounds, workers, no_parts, as_json
            )
            if against is None and ours is None
            else _compare(_command(target, size, frames, workers), against, ours, rounds, as_json)
        )
    )


def _command(target: str, size: int, frames: int, workers: int) -> RenderCommand:
    where = Path(target)
    options = {
        "--target": str(where.resolve()) if where.is_file() else target,
        "--size": str(size),
        "--step": str(max(1, 7740 // frames)),
        "--workers": str(workers),
    }
    return RenderCommand(tuple(text for option in options.items() for text in option))


def _compare(
    command: RenderCommand, against: Path | None, ours: str | None, rounds: int, as_json: bool
) -> None:
    """Time this code and another checkout's, in turn, and print what came out."""
    if against is None:
        raise InputError("--ours adds options to one of two versions: give --against, too")
    theirs = replace(command, checkout=against)
    theirs.check()
    try:
        command = replace(command, options=(*command.options, *shlex.split(ours or "")))
    except ValueError as error:
        raise InputError(f"--ours {ours!r}: {str(error).lower()}") from None
    commands = {"this": command, "other": theirs}
    results: dict[str, list[dict[str, float]]] = {"this": [], "other": []}
    for turn in range(rounds):
        for name in ("other", "this") if turn % 2 == 0 else ("this", "other"):
            results[name].append(commands[name].run())
        if not as_json:
            this, other = results["this"][-1], results["other"][-1]
            click.echo(
                f"round {turn + 1}: this {this['fps']:6.2f} frames/s "
                f"in {this['command_s']:5.2f} s   "
                f"other {other['fps']:6.2f} in {other['command_s']:.2f} s   "
                f"ratio {this['fps'] / other['fps']:.3f}"
            )
    summary = {
        "options": list(theirs.options),
        "ours": ours or "",
        "rounds": rounds,
        **{name: _medians(runs) for name, runs in results.items()},
        "fps_ratio": _ratio(results, "fps"),
        "command_ratio": _ratio(results, "command_fps"),
        "processor_ratio": _ratio(results, "processor_fps"),
    }
    click.echo(json.dumps(summary) if as_json else _versions_table(summary))


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _ratio(results: dict[str, list[dict[str, float]]], key: str) -> dict[str, Any]:
    """Of this code's rate to the other's, round by round."""
    pairs = zip(results["this"], results["other"], strict=True)
    ratios = [this[key] / other[key] for this, other in pairs]
    return {
        "median": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "ratios": ratios,
    }


def _versions_table(summary: dict[str, Any]) -> str:
    lines = [" ".join(["satgen render", *summary["options"]])]
    if summary["ours"]:
        lines.append(f"this one with {summary['ours']}")
    lines.append(f"  {'':<32}{'this':>10}{'other':>10}")
    for key, name in (
        ("fps", "frames/s"),
        ("command_fps", "frames/s, whole command"),
        ("command_s", "whole command, s"),
        ("processor_s", "whole command, s of processor"),
        ("first_frame_s", "first frame on disk after, s"),
        ("peak_worker_mb", "peak memory a worker, MB"),
    ):
        lines.append(f"  {name:<32}{summary['this'][key]:>10.2f}{summary['other'][key]:>10.2f}")
    for key, name in (
        ("fps_ratio", "frames/s"),
        ("command_ratio", "frames/s, whole command"),
        ("processor_ratio", "frames a second of processor"),
    ):
        ratio = summary[key]
        spread = f"{ratio['least']:.3f} to {ratio['most']:.3f}"
        lines.append(f"  ratio of {name:<32}{ratio['median']:.3f} ({spread})")
    return "\n".join(lines)


def _compare_with_plain(
    target: str,
    size: int,
    frames: int,
    plain_frames: int,
    rounds: int,
    workers: int,
    no_parts: bool,
    as_json: bool,
) -> None:
    """Time `satgen render` and the plain loop, in turn, and print what came out."""
    command = _command(target, size, frames, workers)
    results: dict[str, list[dict[str, float]]] = {"satgen": [], _PLAIN: []}
    for turn in range(rounds):
        step = max(1, 7740 // plain_frames)
        job = {"target": target, "size": size, "parts": not no_parts}
        job |= {"indices": list(range(361, 8101, step))[:plain_frames]}
        results[_PLAIN].append(_run_plain(job))
        results["satgen"].append(command.run())
        if not as_json:
            plain, ours = results[_PLAIN][-1], results["satgen"][-1]
            click.echo(
                f"round {turn + 1}: plain {plain['fps']:6.2f} frames/s   satgen "
                f"{ours['fps']:6.2f} frames/s   ratio {ours['fps'] / plain['fps']:5.1f}   "
                f"first frame after {ours['first_frame_s']:.2f} s   "
                f"peak {ours['peak_worker_mb']:.0f} MB a worker"
            )
    summary = _summary(results)
    click.echo(json.dumps(summary) if as_json else _table(summary, target, size, workers))


def _summary(results: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    def values(name: str, key: str) -> list[float]:
        return [entry[key] for entry in results[name]]

    ratios = [a / b for a, b in zip(values("satgen", "fps"), values(_PLAIN, "fps"), strict=True)]
    return {
        "plain_fps": statistics.median(values(_PLAIN, "fps")),
        "satgen_fps": statistics.median(values("satgen", "fps")),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "whole_command_fps": statistics.median(values("satgen", "command_fps")),
        "first_frame_s": statistics.median(values("satgen", "first_frame_s")),
        "peak_worker_mb": max(values("satgen", "peak_worker_mb")),
    }


def _table(summary: dict[str, Any], target: str, size: int, workers: int) -> str:
    rows = [
        ("plain pyrender loop", f"{summary['plain_fps']:.2f} frames/s"),
        ("satgen render", f"{summary['satgen_fps']:.2f} frames/s"),
        ("ratio (median of rounds)", f"{summary['ratio']:.1f}"),
        ("satgen, whole command", f"{summary['whole_command_fps']:.2f} frames/s"),
        ("satgen, first frame on disk", f"{summary['first_frame_s']:.2f} s"),
        ("satgen, peak memory a worker", f"{summary['peak_worker_mb']:.0f} MB"),
    ]
    head = f"{target}, {size} × {size}, {workers} workers, {os.cpu_count()} cores"
    return "\n".join([head, *(f"  {name:<32}{value:>20}" for name, value in rows)])


def _run_plain(job: dict[str, Any]) -> dict[str, float]:
    environment = {**os.environ, "PYOPENGL_PLATFORM": os.environ.get("PYOPENGL_PLATFORM", "egl")}
    environment["LP_NUM_THREADS"] = str(os.cpu_count() or 1)
    done = subprocess.run(
        [sys.executable, "-m", "bench.render_speed", "--plain-job", json.dumps(job)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _plain_loop(job: dict[str, Any]) -> dict[str, float]:
    """The comparison: `satgen.rendering.reference`, its images written by Pillow."""
    import numpy as np
    from PIL import Image

    from satgen.frame_maker import viewpoints
    from satgen.options import RenderOptions
    from satgen.rendering.reference import ReferenceRenderer
    from satgen.scene import scene_of

    scene = scene_of(RenderOptions(target=job["target"], size=job["size"]))
    camera, lighting = scene.config.camera, scene.config.lighting
    views = viewpoints(scene.views.at(job["indices"]))
    folder = Path(tempfile.mkdtemp(prefix="satgen-plain-"))

    with ReferenceRenderer(scene.model, camera, lighting) as renderer:

        def render(i: int) -> None:
            seen = renderer.images(views[i].pose, views[i].sun, exact=job["parts"])
            images = {"rgb": seen.rgb, "depth": np.rint(seen.depth * 1000.0).astype(np.uint16)}
            if job["parts"]:
                images["parts"] = seen.parts
            for name, image in images.items():
                path = folder / f"{name}{views[i].index:06d}.png"
                Image.fromarray(image).save(path)
                hashlib.sha256(path.read_bytes()).hexdigest()

        try:
            render(0)  # shaders, textures and buffers
            start = time.perf_counter()
            for i in range(len(views)):
                render(i)
            elapsed = time.perf_counter() - start
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return {"fps": len(views) / elapsed}


if __name__ == "__main__":
    main()
