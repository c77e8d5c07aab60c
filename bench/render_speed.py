"""Rendering speed against a plain pyrender loop: `python -m bench.render_speed`.

Both render the same frames of the same GLB with the same camera, sun and outputs (RGB, depth and
parts as PNG with their SHA-256), in turn, several rounds in one run, so that a machine that is busy
with other work slows both. The ratio is what to read; frames a second depend on the machine.

The plain loop is `satgen.rendering.reference`, what pyrender's own documentation leads to: one node
a part, `OffscreenRenderer` with its 4× multisampling, one directional light with
`SHADOWS_DIRECTIONAL`, a second pass with `SEG` for the parts, PNGs by Pillow. Its software renderer
may use every core; `satgen render` uses as many workers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

_PLAIN = "plain"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", default="aura", show_default=True, help="Bundled target to render.")
@click.option("--size", default=512, show_default=True, help="Image side in pixels.")
@click.option("--frames", default=400, show_default=True, help="Frames a round for satgen.")
@click.option("--plain-frames", default=30, show_default=True, help="Frames a round for pyrender.")
@click.option("--rounds", default=3, show_default=True, help="Rounds, each of both.")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, help="satgen's workers.")
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
    no_parts: bool,
    as_json: bool,
    plain_job: str | None,
) -> None:
    """Time `satgen render` and a plain pyrender loop on the same frames, in turn.

    Example: python -m bench.render_speed --target worldview --rounds 5
    """
    if plain_job is not None:
        click.echo(json.dumps(_plain_loop(json.loads(plain_job))))
        return
    results: dict[str, list[dict[str, float]]] = {"satgen": [], _PLAIN: []}
    for turn in range(rounds):
        step = max(1, 7740 // plain_frames)
        job = {"target": target, "size": size, "parts": not no_parts}
        job |= {"indices": list(range(361, 8101, step))[:plain_frames]}
        results[_PLAIN].append(_run_plain(job))
        results["satgen"].append(_run_satgen(target, size, max(1, 7740 // frames), workers))
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


def _run_satgen(target: str, size: int, step: int, workers: int) -> dict[str, float]:
    """Run the command and watch it from outside: files as they come, memory of its processes."""
    folder = Path(tempfile.mkdtemp(prefix="satgen-speed-"))
    out = folder / target
    command = [sys.executable, "-m", "satgen", "render", "--target", target, "--out", str(out)]
    command += ["--size", str(size), "--step", str(step), "--workers", str(workers)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        seen: list[tuple[float, int]] = []
        peak = 0.0
        while process.poll() is None:
            time.sleep(0.05)
            count = _finished(out)
            if count and (not seen or count != seen[-1][1]):
                seen.append((time.perf_counter() - start, count))
            peak = max(peak, _largest_child_mb(process.pid))
        elapsed = time.perf_counter() - start
        if process.returncode != 0:
            raise click.ClickException(f"satgen render ended with status {process.returncode}")
        total = _finished(out)
    finally:
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    # The rate between the first sighting and the last, free of start-up and of the final tables.
    (t0, n0), (t1, n1) = seen[0], seen[-1]
    return {
        "fps": (n1 - n0) / (t1 - t0),
        "command_fps": total / elapsed,
        "first_frame_s": t0,
        "peak_worker_mb": peak,
    }


def _finished(out: Path) -> int:
    try:
        names = os.listdir(out / "parts")
    except FileNotFoundError:
        return 0
    return sum(name.endswith(".png") and name[:1].isdigit() for name in names)


def _largest_child_mb(pid: int) -> float:
    """Peak resident memory of the largest descendant, megabytes; 0 where /proc is absent."""
    largest = 0.0
    pending = [pid]
    while pending:
        parent = pending.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{task}/children").read_text().split()
                pending += [int(child) for child in children]
            status = Path(f"/proc/{parent}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent != pid and "VmHWM:" in status:
            largest = max(largest, int(status.split("VmHWM:")[1].split()[0]) / 1024.0)
    return largest


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
