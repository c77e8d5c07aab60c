"""A small craft with landmarks, datasets of it, and how two datasets' bytes are compared."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from satgen.config import RenderConfig
from satgen.dataset import DESCRIPTION, PUBLICATION, TABLES
from satgen.frame_maker import FrameMaker
from satgen.model import TargetModel
from satgen.modelling import build
from satgen.modelling import shapes as s
from satgen.modelling.assembly import Assembly
from satgen.options import RenderOptions
from satgen.rendering.backend import choose_backend
from satgen.run import render
from satgen.runfolder import description_bytes, file_sha256
from satgen.scene import Scene
from satgen.seal import sealed
from tests.limits import PATIENCE_S

FRAMES = 24


def craft() -> Assembly:
    """A bus, a wing, a mast and a dish; landmarks on edges, on faces and behind things."""
    a = Assembly("craft", "Craft", "z up", {})
    a.part("bus", "bus").add(s.box((1.0, 1.2, 2.0)), "aluminium")
    a.part("wing", "solar_array").add(s.plate(0.8, 3.0, 0.03).translate((0, 2.3, 0.2)), "osr")
    a.part("mast", "boom").add(s.cylinder(0.05, 1.5, 12).translate((-0.3, -0.3, 1.75)), "cfrp")
    a.part("dish", "antenna").add(s.dish(0.9, 0.15).translate((0.1, 0.1, 1.05)), "white_paint")
    a.landmark("bus_corner", (0.5, -0.6, -1.0))
    a.landmark("bus_side", (0.5, 0.0, 0.1))
    a.landmark("wing_tip", (0.4, 3.8, 0.215))
    a.landmark("wing_top", (0.0, 2.3, 0.215))
    a.landmark("wing_bottom", (0.0, 2.3, 0.185))
    a.landmark("mast_top", (-0.3, -0.3, 2.5))
    a.landmark("under_the_dish", (0.1, 0.1, 1.0))
    return a


def write_craft(folder: Path) -> Path:
    """The craft's GLB in a folder."""
    path = folder / "craft.glb"
    path.write_bytes(build.glb_bytes(craft(), textures=False))
    return path


def options(path: Path, **changes: object) -> RenderOptions:
    """A small, quick request."""
    settings: dict[str, object] = {
        "target": str(path),
        "start": 3000,
        "stop": 3000 + FRAMES - 1,
        "width": 72,
        "height": 64,
    }
    return RenderOptions(**(settings | changes))  # type: ignore[arg-type]


def make(path: Path, folder: Path, **changes: object) -> Path:
    """Render the craft into a folder."""
    render(options(path, **changes), folder, workers=1)
    return folder


@contextmanager
def frame_maker(config: RenderConfig, model: TargetModel) -> Iterator[FrameMaker]:
    """A maker of frames in this process."""
    with FrameMaker(Scene(config, model), choose_backend()) as maker:
        yield maker


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reseal(folder: Path, name: str = DESCRIPTION, **changes: object) -> None:
    """Seal a dataset, or a shard, as it is now, as if it had been finished so, with other values
    of its description."""
    path = folder / name
    description = {**json.loads(path.read_bytes()), **changes}
    covered = (*TABLES, *PUBLICATION, "trajectory.csv")
    files = {name: file_sha256(folder / name) for name in covered if (folder / name).exists()}
    path.write_bytes(description_bytes(sealed(description, files, name)))


def command(*words: object) -> list[str]:
    """A command line of satgen."""
    return [sys.executable, "-m", "satgen", *map(str, words)]


def satgen(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run satgen as a user does; never raises."""
    environment = {**os.environ, **settings.pop("env", {})}  # type: ignore[dict-item]
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_S,
        check=False,
        **settings,  # type: ignore[call-overload]
    )


def satgen_here(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What `satgen` gives, without a process of its own: a second less for each of many refusals,
    and nothing for commands that end otherwise."""
    from click.testing import CliRunner

    from satgen.cli import main

    with chdir(cwd or Path.cwd()):
        done = CliRunner().invoke(main, [str(word) for word in words])
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
