"""Random craft: what every seed must be, and that a name, a cache and a build mean one craft."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from satgen.errors import InputError
from satgen.modelling import build
from satgen.modelling.assembly import CLASSES, Assembly
from satgen.modelling.random import assemble, design
from satgen.modelling.random.draw import Draw
from satgen.modelling.random.palette import palette
from satgen.targets import generated, registry
from satgen.targets.load import load_target
from satgen.trajectory.framing import principal_inertia
from tests import target_checks as checks
from tests.limits import PATIENCE_S

SEEDS = st.integers(0, generated.MAX_SEED)
FEW = settings(
    max_examples=3,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
MORE = settings(max_examples=40, derandomize=True)


@cache
def craft(seed: int) -> Assembly:
    return assemble(seed)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory):
    """A cache folder that one craft is built into once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SATGEN_CACHE", str(folder))
        generated.files_of(3)
        yield folder


# --- what is built --------------------------------------------------------------------------------


@FEW
@given(SEEDS)
def test_it_keeps_the_rules_of_the_other_targets(seed: int) -> None:
    a = craft(seed)
    solid = checks.Solid(a)
    assert a.problems() == []
    assert len({p.name for p in a.parts}) == len(a.parts)
    assert {p.cls for p in a.parts} == set(CLASSES)
    assert checks.far_landmarks(solid) == {}
    assert checks.hidden_landmarks(solid) == []
    assert checks.floating_parts(solid) == []
    assert checks.unseen_parts(solid) == []
    # A craft is up to 40 m wide, and single precision errs in proportion: a hole shows in hundreds.
    assert checks.back_faces_seen(solid)[0] <= 5
    assert checks.coplanar_overlaps(solid) == {}


@MORE
@given(SEEDS)
def test_a_design_makes_sense(seed: int) -> None:
    d = design(seed)
    assert d == design(seed)
    assert 1.0 <= d.size <= 8.0
    assert d.size == pytest.approx(max(d.width, d.height), abs=1e-3)
    assert min(d.width, d.depth, d.height) > 0.3 * d.size
    assert 1 <= len(d.wings) <= 6
    for wing in d.wings:
        assert wing.chord > 0.2 and wing.pitch > 0.1 and 1 <= wing.panels <= 7
        assert wing.panels * wing.pitch < 4.0 * d.size


@FEW
@given(SEEDS)
def test_its_moments_of_inertia_are_those_of_a_body(seed: int) -> None:
    a = craft(seed)
    corners = checks.Solid(a).triangles
    faces = np.arange(3 * len(corners)).reshape(-1, 3)
    moments = principal_inertia(corners.reshape(-1, 3), faces)[0]
    assert moments[0] > 0.005 * moments[2]
    assert moments[0] + moments[1] >= moments[2]
    radius = np.linalg.norm(corners.reshape(-1, 3), axis=1).max()
    assert radius < 12.0 * design(seed).size


def test_seeds_differ_in_form_and_in_grain() -> None:
    designs = [design(seed) for seed in range(60)]
    assert len({d.form for d in designs}) == 5
    assert len({d.layout for d in designs}) >= 6
    assert len({d.payload for d in designs}) == 6
    assert {w.kind for d in designs for w in d.wings} == {"panels", "blanket", "fan"}
    assert {len(d.wings) for d in designs} >= {1, 2, 3, 4, 6}
    palettes = [palette(seed) for seed in range(60)]
    assert len({p.main for p in palettes}) >= 5 and len({p.cells for p in palettes}) >= 4
    name = "cfrp"
    grains = {
        palettes[seed].surfaces[name].make().base_color_image.tobytes()  # type: ignore[union-attr]
        for seed in (1, 2, 3)
    }
    assert len(grains) == 3


def test_its_textures_are_of_sizes_that_have_mipmaps() -> None:
    p = palette(5)
    for name in ("osr", "aluminium", p.cells, p.paint):
        m = p.surfaces[name].make()
        for image in (m.base_color_image, m.metallic_roughness_image, m.normal_image):
            assert image is not None
            side = image.shape[0]
            assert image.shape == (side, side, 3) and 64 <= side <= 512 and side & (side - 1) == 0


def test_a_stream_of_choices_is_pinned() -> None:
    """NumPy promises PCG64's bits; everything else is arithmetic of ours."""
    draw = Draw(7, "design")
    assert [draw.integer(0, 999) for _ in range(4)] == PINNED


PINNED = [534, 807, 995, 529]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["random", "random:", "random:abc", "random:-1", "random:07", "random:+7", "random:1_0",
     "random:1.5", "random: 7", "random:4294967296", "random:99999999999999999999", "random:7:1"],
)  # fmt: skip
def test_a_name_without_a_seed_is_refused_in_one_line(name: str) -> None:
    for ask in (registry.is_name, load_target, generated.seeds_of):
        with pytest.raises(InputError) as error:
            ask(name)
        assert repr(name) in str(error.value) and "random:7" in str(error.value)
        assert "\n" not in str(error.value)


def test_a_range_names_a_craft_each() -> None:
    assert generated.seeds_of("random:3-6") == [3, 4, 5, 6]
    assert generated.seeds_of("random:3") == [3]
    for name in ("random:6-3", "random:0-10000"):
        with pytest.raises(InputError, match="range"):
            generated.seeds_of(name)
    with pytest.raises(InputError, match="name one"):
        load_target("random:3-6")


# --- the cache ------------------------------------------------------------------------------------


def test_the_same_seed_has_the_same_bytes_in_another_process(kept: Path) -> None:
    glb, card = generated.files_of(3)
    code = (
        "import hashlib; from satgen.modelling.build import build_bytes;"
        "print(*(hashlib.sha256(b).hexdigest() for b in build_bytes('random:3')))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (glb, card)
    ]


def test_what_is_kept_is_not_built_again(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seed: int) -> tuple[bytes, bytes]:
        raise AssertionError("built again")

    monkeypatch.setattr(generated, "_build", refuse)
    model = load_target("random:3")
    assert model.name == "random:3"
    assert model.card["facts"]["seed"]["value"] == 3
    assert "mass" not in model.card["facts"]
    assert set(model.landmarks) == set(craft(3).landmarks)
    assert [p.name for p in model.parts] == [p.name for p in craft(3).parts]


@pytest.mark.parametrize("harm", ["cut", "changed", "no card", "no model", "card of another"])
def test_what_is_not_whole_is_built_anew(
    kept: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    glb, card = generated.files_of(3)
    good = glb.read_bytes(), card.read_bytes()
    monkeypatch.setattr(generated, "_build", lambda seed: good)
    if harm == "cut":
        glb.write_bytes(good[0][:-100])
    elif harm == "changed":
        glb.write_bytes(good[0][:-1] + bytes([good[0][-1] ^ 1]))
    elif harm == "no card":
        card.unlink()
    elif harm == "no model":
        glb.unlink()
    else:
        other = json.loads(good[1])
        other["glb"]["sha256"] = "0" * 64
        card.write_text(json.dumps(other))
    generated.files_of(3)
    assert (glb.read_bytes(), card.read_bytes()) == good


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SATGEN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(generated, "_build", lambda seed: (b"", b""))
    with pytest.raises(Exception, match="SATGEN_CACHE"):
        generated.files_of(3)


def test_another_generator_has_a_folder_of_its_own(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = generated.folder()
    monkeypatch.setattr(generated, "_code", lambda: "another")
    assert generated.folder() != ours and generated.folder().parent == ours.parent


def test_a_craft_of_its_own_card(kept: Path) -> None:
    card = registry.load_card("random:3")
    glb = generated.files_of(3)[0].read_bytes()
    assert card["glb"] == {"bytes": len(glb), "sha256": hashlib.sha256(glb).hexdigest()}
    assert sum(build.triangle_counts(glb)) == card["triangles"] == craft(3).triangles


# --- commands -------------------------------------------------------------------------------------

SMALL = ["--size", "64", "--start", "1000", "--stop", "1400", "--step", "200"]


def satgen(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "satgen", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_a_range_is_rendered_resumed_and_verified(kept: Path, tmp_path: Path) -> None:
    from satgen.dataset import Dataset
    from satgen.single_frame import render_frame

    words = ["render", "--target", "random:3-4", "--out", "d", *SMALL, "--json"]
    done = satgen(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [Path(a["dataset"]).name for a in json.loads(done.stdout)] == ["random-3", "random-4"]
    data = Dataset(tmp_path / "d" / "random-3")
    glb, card = generated.files_of(3)
    target = data.config.target
    assert target.name == "random:3" and target.file is None
    assert target.sha256 == hashlib.sha256(glb.read_bytes()).hexdigest()
    boxes = data.frames[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy()
    assert (boxes[:, :2] > 0).all() and (boxes[:, :2] + boxes[:, 2:] < 64).all()  # framed
    assert (boxes[:, 2:].max(axis=1) > 16).all()
    again = satgen(*words, cwd=tmp_path)
    assert [a["rendered"] for a in json.loads(again.stdout)] == [0, 0]
    glb.unlink()  # verify builds it again
    card.unlink()
    checked = satgen("verify", "d/random-3", "--deep", 2, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    frame = render_frame("random:3", 1200, size=64)
    assert np.array_equal(frame.rgb, data.rgb(1200))
    assert frame.model_sha256 == target.sha256


def test_a_craft_that_is_built_otherwise_now_is_not_verified_silently(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from satgen.config import TargetRef
    from satgen.raycast import load_triangles

    ref = TargetRef("random:3", None, registry.load_card("random:3")["glb"]["sha256"], 1.0, "z")
    assert len(load_triangles(ref)[0]) == registry.load_card("random:3")["triangles"]
    with pytest.raises(InputError, match="random:3"):
        load_triangles(replace(ref, sha256="0" * 64))


def test_craft_are_listed_and_drawn(kept: Path, tmp_path: Path) -> None:
    from PIL import Image

    done = satgen("targets", "random", 3, "--preview", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["name"] == "random:3" and answer["picture"] == "random-3.png"
    assert answer["file"] == str(generated.files_of(3)[0])
    picture = np.asarray(Image.open(tmp_path / "random-3.png"))
    assert picture.max() > 150
    text = satgen("targets", "random", "3-4", "--preview", "--out", "two.png", cwd=tmp_path)
    assert text.returncode == 0, text.stderr
    assert "random:4" in text.stdout and (tmp_path / "two.png").is_file()


def test_a_default_folder_has_no_colon() -> None:
    from satgen.api import default_folder

    assert default_folder("random:3") == Path("datasets/random-3")


@pytest.mark.parametrize(
    "words",
    [
        ["render", "--target", "random:abc"],
        ["render", "--target", "random:-4"],
        ["render", "--target", "random:99999999999"],
        ["render", "--target", "random:9-3"],
        ["targets", "random", "abc"],
        ["targets", "random", "7", "--out", "x.png"],
    ],
)
def test_bad_requests_end_with_status_2(words: list[str], tmp_path: Path) -> None:
    from click.testing import CliRunner

    from satgen.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and result.output.count("\n") == 1
    assert os.listdir(tmp_path) == []
