"""satgen targets inspect: what it says of a model file, against what the file was made of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgen.preview import part_colours
from satgen.targets.inspect import MOST_ROWS, inspect_model, report
from satgen.targets.load import load_target
from tests.limits import PATIENCE_S

BOX = "".join(f"v {x} {y} {z}\n" for x in (0, 2) for y in (0, 3) for z in (0, 4))
SIDES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
FACES = ["f " + " ".join(f"{v}/{k}" for k, v in enumerate(side, 1)) for side in SIDES]


@pytest.fixture
def craft(tmp_path: Path) -> Path:
    """A box, 2 by 3 by 4 units, of two objects in three materials, one of them textured."""
    Image.new("RGB", (8, 4), (200, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "m.mtl").write_text(
        "newmtl paint\nKd 0 0 1\nnewmtl foil\nmap_Kd red.png\n"
        "newmtl lamp\nKe 1 0 0\nbump gone.png\n"
    )
    coordinates = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    paint, foil, lamp = "\n".join(FACES[:2]), "\n".join(FACES[2:3]), "\n".join(FACES[3:])
    path = tmp_path / "box.obj"
    path.write_text(
        f"mtllib m.mtl\n{BOX}{coordinates}o bus\nusemtl paint\n{paint}\nusemtl foil\n{foil}\n"
        f"o wing\nusemtl lamp\n{lamp}\n"
    )
    return path


def test_parts_materials_and_warnings_are_the_files(craft: Path) -> None:
    found = inspect_model(load_target(craft, scale=0.5))
    assert found.extents_m == (1.0, 1.5, 2.0)
    assert found.centre_m == (0.5, 0.75, 1.0)
    assert found.triangles == 12
    bus, wing = found.parts
    assert (bus["name"], bus["label"], bus["triangles"]) == ("bus", 1, 6)
    assert bus["area_m2"] == pytest.approx(2 * 3.0 + 2.0)
    assert bus["materials"] == ["paint", "foil"]
    assert wing["extents_m"] == [1.0, 1.5, 2.0]
    assert wing["materials"] == ["lamp"]
    paint, foil, lamp = found.materials
    assert paint["textures"] == {}
    assert foil["textures"] == {"base_color": [8, 4]}
    assert lamp["emissive"] == [1.0, 0.0, 0.0]
    assert found.warnings == ("ignores bump of 1 material",)


def test_the_report_is_short_and_harmless() -> None:
    model = load_target("aura", light=False)
    lines = list(report(inspect_model(model)))
    assert f"  … and {len(model.parts) - MOST_ROWS} more: --json lists them" in lines
    assert all(line.isprintable() for line in lines)


def test_neighbouring_labels_have_colours_far_apart() -> None:
    labels = np.arange(301, dtype=np.uint16)[None]
    shown = np.asarray(part_colours(labels)).astype(int)[0]
    assert not shown[0].any()
    assert np.abs(np.diff(shown[1:], axis=0)).max(axis=1).min() > 60
    assert len(np.unique(shown, axis=0)) > 250


def test_the_command_prints_and_draws(craft: Path) -> None:
    words = [sys.executable, "-m", "satgen", "targets", "inspect", str(craft)]
    where = craft.parent

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words, *more], cwd=where, capture_output=True, text=True, timeout=PATIENCE_S
        )

    done = run("--scale", "0.5")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "box.obj: ignores bump of 1 material\n"
    assert done.stdout.splitlines()[0] == "box: 1 × 1.5 × 2 m about (0.5, 0.75, 1)"
    assert done.stdout.splitlines()[-1] == "box-inspect.png"
    with Image.open(where / "box-inspect.png") as picture:
        assert np.asarray(picture).std() > 10.0
    assert json.loads(run("--json", "--no-picture").stdout)["picture"] is None
    refused = run("--no-picture", "--out", "a.png")
    assert refused.returncode == 2
    assert not (where / "a.png").exists()
