"""Other people's glTF files as satgen and as Blender have them, side by side.

`python -m bench.blender FOLDER --python VENV/bin/python` takes the .glb and .gltf files under a
folder, renders each from two sides with satgen and with Blender's Cycles (the same camera, one sun,
no other light, none between surfaces), and prints how they agree: area and bounding box of the
geometry, the overlap of the masks, the mean colour where both see the target. Blender runs in a
Python of its own that has `bpy`: `python3.11 -m venv VENV && VENV/bin/pip install bpy==4.2.23`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.errors import InputError, SatgenError
from satgen.model import TargetModel
from satgen.rendering.lighting import Lighting

FOV_DEG = 30.0
VIEWS = ((40.0, 25.0), (215.0, -20.0))
"""Azimuth and elevation of the camera, degrees."""
SUN_OFF = (0.35, -0.35, -1.0)
"""Where the sun is, camera frame: over the camera's right shoulder."""
WITHIN = {"area": 0.01, "box": 0.01, "overlap": 0.98, "colour": 0.10}
"""What counts as the same: relative errors of area, box and colour at most, of the masks' overlap
(the intersection over the union) at least."""
INSIDE = Path(__file__).with_name("blender_inside.py")


@dataclass(frozen=True)
class BlenderAgreement:
    """How a file agrees.

    Attributes:
        name: the file's.
        area, box: relative errors of the surface and of the bounding box's corners (over its
            diagonal).
        overlap: least over the views, intersection over union of the masks.
        colour: largest over the views, difference of the mean colours over the brightest channel
            of Blender's.
        told: lines that satgen told of the file.
        error: why there is none of this, else empty.
    """

    name: str
    area: float = float("nan")
    box: float = float("nan")
    overlap: float = float("nan")
    colour: float = float("nan")
    told: tuple[str, ...] = ()
    error: str = ""

    def same(self, what: str) -> bool:
        """Whether `area`, `box`, `overlap` or `colour` is within WITHIN."""
        value = getattr(self, what)
        return bool(value >= WITHIN[what] if what == "overlap" else value <= WITHIN[what])


def pose(azimuth_deg: float, elevation_deg: float, distance: float) -> NDArray[np.float64]:
    """A camera (4, 4), target about its middle to camera frame, that looks at the middle."""
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    out = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    T = np.eye(4)
    T[:3, :3] = [right, np.cross(-out, right), -out]
    T[2, 3] = distance
    return T


def views_of(model: TargetModel) -> list[NDArray[np.float64]]:
    """Poses (4, 4) that show all of a target."""
    centre, radius = model.bounding_sphere
    poses = []
    for azimuth, elevation in VIEWS:
        T = pose(azimuth, elevation, 1.05 * radius / np.sin(np.radians(FOV_DEG / 2.0)))
        T[:3, 3] -= T[:3, :3] @ centre
        poses.append(T)
    return poses


def job_of(path: Path, model: TargetModel) -> dict[str, Any]:
    """What Blender is asked of a file."""
    views = []
    radius = model.bounding_sphere[1]
    for T in views_of(model):
        back = np.linalg.inv(T)
        back[:3, 1:3] *= -1.0  # Blender's camera looks along -z, y up
        sun = T[:3, :3].T @ SUN_OFF
        views.append(
            {
                "world_from_camera": back.tolist(),
                "sun": (sun / np.linalg.norm(sun)).tolist(),
                "near": 0.1 * radius,
                "far": 20.0 * radius,
            }
        )
    return {"file": str(path.absolute()), "fov_deg": FOV_DEG, "views": views}


def pictures_of(model: TargetModel, size: int) -> list[NDArray[np.float32]]:
    """satgen's views: (size, size, 4) linear RGB, as covered, and coverage."""
    from satgen.rendering.renderer import Renderer

    dark = Lighting((0.0, 0.0, 0.0), ambient=0.0)
    sun = np.asarray(SUN_OFF) / np.linalg.norm(SUN_OFF)
    pictures = []
    with Renderer(model, Camera.from_fov(size, size, FOV_DEG), dark, float32=True) as renderer:
        for T in views_of(model):
            view = renderer.render(T, sun)
            picture = np.zeros((size, size, 4), dtype=np.float32)
            x, y, w, h = view.window
            part = np.zeros((h * w, 4), dtype=np.float32)
            part[view.pixels, :3], part[view.pixels, 3] = view.radiance, view.coverage
            picture[y : y + h, x : x + w] = part.reshape(h, w, 4)
            pictures.append(picture)
    return pictures


def compare(name: str, model: TargetModel, size: int, theirs: dict[str, Any]) -> BlenderAgreement:
    """A target beside what Blender answered of its file."""
    if "error" in theirs:
        return BlenderAgreement(name, error=f"Blender: {theirs['error']}")
    corners = model.vertices[model.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = float(np.linalg.norm(cross, axis=1).sum() / 2.0)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    off = np.abs([low - theirs["low"], high - theirs["high"]]).max()
    overlap, colour = 1.0, 0.0
    for k, ours in enumerate(pictures_of(model, size)):
        other = theirs[f"view{k}"]
        here, there = ours[..., 3] >= 0.5, other[..., 3] >= 0.5
        union = np.count_nonzero(here | there)
        overlap = min(overlap, np.count_nonzero(here & there) / union if union else 1.0)
        inner = (ours[..., 3] > 0.99) & (other[..., 3] > 0.99)
        if inner.any():
            # A highlight of a mirror is many times white: as a camera would have it.
            a, b = (np.minimum(p[inner, :3], 1.0).mean(axis=0) for p in (ours, other))
            colour = max(colour, float(np.abs(a - b).max() / max(float(b.max()), 0.01)))
    return BlenderAgreement(
        name,
        abs(area - float(theirs["area"])) / float(theirs["area"]),
        float(off / max(float(np.linalg.norm(high - low)), 1e-30)),
        overlap,
        colour,
        model.warnings,
    )


def run(
    paths: Sequence[Path], python: str, folder: Path, size: int = 256, samples: int = 32
) -> list[BlenderAgreement]:
    """Compare files.

    Args:
        paths: of .glb or .gltf files.
        python: a Python that has bpy.
        folder: for what Blender answers.
        size: of the views, pixels a side.
        samples: rays a pixel of Blender's.

    Raises:
        InputError: that Python has no bpy.
    """
    from satgen.targets.load import load_target

    models: list[TargetModel | SatgenError] = []
    for path in paths:
        try:
            models.append(load_target(path))
        except SatgenError as error:
            models.append(error)
    loaded = [k for k, model in enumerate(models) if isinstance(model, TargetModel)]
    jobs = {
        "out": str(folder),
        "size": size,
        "samples": samples,
        "files": [job_of(paths[k], m) for k in loaded if isinstance(m := models[k], TargetModel)],
    }
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    command = [python, "-I", str(INSIDE), str(folder / "jobs.json")]
    for _ in loaded:  # again where a file has ended Blender
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            break
        if not (folder / "0.begun").exists():
            last = (done.stderr.strip().splitlines() or ["it ended at once"])[-1]
            raise InputError(f"{python}: {last}; it must have bpy: pip install bpy==4.2.23")
    found = []
    for k, (path, model) in enumerate(zip(paths, models, strict=True)):
        if not isinstance(model, TargetModel):
            found.append(BlenderAgreement(path.name, error=f"satgen: {model}"))
            continue
        answer = folder / f"{loaded.index(k)}.npz"
        if not answer.exists():
            found.append(BlenderAgreement(path.name, error="Blender ended"))
            continue
        with np.load(answer, allow_pickle=False) as theirs:
            found.append(compare(path.name, model, size, dict(theirs)))
    return found


def report(found: Sequence[BlenderAgreement]) -> str:
    """A table of the files, and how many agree."""
    lines = [f"{'file':44} {'area':>8} {'box':>8} {'overlap':>8} {'colour':>8}"]
    for one in found:
        if one.error:
            lines.append(f"{one.name[:44]:44} {one.error}")
            continue
        cells = "".join(
            f" {getattr(one, what):7.4f}{' ' if one.same(what) else '!'}" for what in WITHIN
        )
        lines.append(f"{one.name[:44]:44}{cells} {'; '.join(one.told)}")
    both = [one for one in found if not one.error]
    lines.append(f"{len(both)} of {len(found)} files by both")
    for what, limit in WITHIN.items():
        count = sum(one.same(what) for one in both)
        middle = np.median([getattr(one, what) for one in both]) if both else float("nan")
        sign = "at least" if what == "overlap" else "at most"
        lines.append(f"{what}: {count} of {len(both)} {sign} {limit}; median {middle:.4f}")
    return "\n".join(lines)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--python", required=True, help="A Python that has bpy.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(16, 4096))
@click.option("--samples", default=32, show_default=True, type=click.IntRange(1, 4096))
def main(folder: Path, python: str, size: int, samples: int) -> None:
    """Compare the .glb and .gltf files under FOLDER, with views of SIZE pixels a side and SAMPLES
    rays a pixel of Blender's."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".glb", ".gltf"))
    try:
        if not paths:
            raise InputError(f"{folder}: no .glb or .gltf file in it")
        with tempfile.TemporaryDirectory() as place:
            click.echo(report(run(paths, python, Path(place), size, samples)))
    except SatgenError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
