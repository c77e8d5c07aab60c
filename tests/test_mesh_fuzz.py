"""Files of OBJ, MTL, PLY and STL that are wrong in their structure: a model, or a line, in bounds.

By hand, for longer: SATGEN_FUZZ=100000 python -m pytest tests/test_mesh_fuzz.py
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest

from satgen.errors import InputError
from satgen.targets.load import load_target
from satgen.witness import read_witness
from tests.test_ply import CUBE as PLY
from tests.test_ply import FORMATS, INDICES, RGB, XYZ, ply
from tests.test_stl import ASCII, binary

CASES = int(os.environ.get("SATGEN_FUZZ", "120"))
MTL = "newmtl m\nKd 0.6 0 0\nKe 1 1 1\nd 0.5\nTr 0\nPm 1\nPr 0.2\nmap_Kd -o 1 2 3 -s 2 2 red.png\n"
OBJ = (
    "mtllib m.mtl\no a\nv 0 0 0 1 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvn 0 0 1\n"
    "g b\nusemtl m\ns 1\nf 1/1/1 2/2/1 3/1/1 4/2/1\nf -1 -2 -3\nl 1 2\n"
)
ROWS = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
SEEDS: dict[str, list[bytes]] = {
    ".obj": [OBJ.encode()],
    ".stl": [binary(), binary(np.arange(12) * 3000), ASCII],
    ".ply": [PLY]
    + [
        ply(
            kind,
            [
                ("vertex", XYZ, ROWS),
                ("face", INDICES + RGB, [[(0, 1, 2), 9, 9, 9], [(0, 1, 2, 3), 1, 2, 3]]),
                ("tristrips", [("list int int", "vertex_indices")], [[(0, 1, 2, -1, 1, 2, 3)]]),
            ],
            "TextureFile red.png",
        )
        for kind in FORMATS
    ],
}
WORDS = [
    b"nan", b"inf", b"-1", b"0", b"1e999", b"99999999999999999999", b"-99999999", b"2.5", b"",
    b"\0", b"\xff\xfe", b"%s%n", b"../../etc/passwd", b"/dev/zero", b"f", b"v", b"list", b"e",
    b"\\", b"1/2/3/4", b"//",
    b"property list uchar int x", b"element vertex 4000000000", b"end_header",
    b"mtllib .", b"map_Kd .", b"usemtl", b"4294967295", b"\x1b[2J", b"x" * 5000,
]  # fmt: skip


def mangled(raw: bytes, rng: random.Random) -> bytes:
    """A file with a few of its words, lines or bytes replaced, doubled, moved or gone."""
    for _ in range(rng.randint(1, 4)):
        way = rng.randrange(6)
        lines = raw.split(b"\n")
        at = rng.randrange(len(lines))
        if way == 0:
            words = lines[at].split(b" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            lines[at] = b" ".join(words)
        elif way == 1:
            lines[at : at + 1] = [lines[at]] * rng.choice((0, 2, 50))
        elif way == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif way == 3:
            lines.insert(at, rng.choice(WORDS))
        raw = b"\n".join(lines)
        if way == 4 and raw:
            place = rng.randrange(len(raw))
            raw = raw[:place] + bytes([rng.randrange(256)]) + raw[place + 1 :]
        elif way == 5:
            raw = raw[: rng.randrange(len(raw) + 1)]
    return raw


@pytest.mark.parametrize("suffix", [".obj", ".mtl", ".ply", ".stl"])
def test_a_wrong_file_is_a_model_or_a_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{'.obj' if suffix == '.mtl' else suffix}"
    path.write_bytes(OBJ.encode())
    (tmp_path / "m.mtl").write_text(MTL)
    for case in range(CASES):
        rng = random.Random(f"{suffix} {case}")
        changed = path if suffix != ".mtl" else tmp_path / "m.mtl"
        raw = mangled(MTL.encode() if suffix == ".mtl" else rng.choice(SEEDS[suffix]), rng)
        changed.write_bytes(raw)
        began = time.process_time()
        said: list[str] = []
        try:
            model = load_target(path)
            assert np.isfinite(model.vertices).all(), case
            assert np.isfinite(model.normals).all(), case
            said += model.warnings
        except InputError as error:
            said.append(str(error))
        try:
            read_witness(path)
        except InputError as error:
            said.append(str(error))
        assert not any("\n" in line for line in said), case
        # seconds of the processor: what hangs would take far more than a busy machine makes of it
        assert time.process_time() - began < 20.0, case
