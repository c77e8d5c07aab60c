"""satgen.installed: what an installation needs, and what the commands do without the rest."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from satgen.errors import InputError
from satgen.installed import (
    NOT_FOR_RENDERING,
    OURS,
    Requirement,
    explain,
    hidden_by,
    require,
    requirements,
)
from tests.blocked import blocking
from tests.datasets import satgen
from tests.limits import PATIENCE_S

ROOT = Path(__file__).parents[1]
FOR_MATCHING = sorted(Requirement(name).module for name in NOT_FOR_RENDERING)
ONLY_MEASURED_AGAINST = {"kornia", "mitsuba", "transformers"}
"""Imported by a benchmark of our own, which says so itself; with the extra dev, but for Mitsuba."""
SMALL = ("--size", 32, "--start", 361, "--stop", 362)


def test_the_blocker_blocks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import satgen.modelling"],
        env=blocking(tmp_path / "hook", "satgen.modelling"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No module named 'satgen.modelling'" in done.stderr


def test_a_render_needs_nothing_that_builds_targets(tmp_path: Path) -> None:
    env = blocking(tmp_path / "hook", "satgen.modelling")
    out = tmp_path / "aura"
    done = satgen("render", "--target", "aura", *SMALL, "--workers", 1, "--out", out, env=env)
    assert done.returncode == 0, done.stderr
    assert satgen("verify", out, env=env).returncode == 0
    listed = satgen("targets", env=env)
    assert listed.returncode == 0
    assert "cartography" in listed.stdout


def test_the_metadata_names_what_the_code_imports() -> None:
    imported = set()
    for path in (path for package in OURS for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - set(OURS) - ONLY_MEASURED_AGAINST
    named = {requirement.module for requirement in requirements()}
    assert foreign - named == set()
    assert set(FOR_MATCHING) <= named


def test_rendering_and_looking_need_no_library_of_the_matchers(
    craft_path: Path, tmp_path: Path
) -> None:
    env = blocking(tmp_path / "hook", *FOR_MATCHING, "embreex")
    out = tmp_path / "craft"
    words = ("--target", craft_path, *SMALL, "--bit-depth", 16, "--out", out)
    done = satgen("render", *words, env=env)
    assert done.returncode == 0, done.stderr
    for words in (
        ("verify", out),
        ("preview", out, "--film-frames", 2),
        ("targets",),
        ("doctor",),
        ("weights",),
        ("bench", "--help"),
        ("train", "--help"),
    ):
        done = satgen(*words, env=env)
        assert done.returncode == 0, (words, done.stdout + done.stderr)
    assert satgen("verify", out).returncode == 0
    said = satgen("doctor", env=env).stdout
    assert "MISSING" not in said
    assert "not installed: poselib (pip install poselib)" in said
    assert "torch: not available" in said
    shutil.copy(out / "rgb" / "000361.png", out / "rgb" / "000362.png")
    assert satgen("verify", out, env=env).returncode == 1


@pytest.mark.parametrize(
    ("words", "blocked", "said"),
    [
        (("bench", "--matcher", "nearest"), "poselib", "poselib, which is not installed: pip in"),
        (("bench", "--matcher", "nearest"), "torch", "torch, which is not installed: pip install"),
        (("match", "a.png", "b.png"), "torch", "pip install torch"),
        (("match", "a.png", "b.png"), "cv2", "pip install opencv-python-headless"),
        (("train", "d"), "torch", "pip install torch"),
        (("view", "DATASET", "--rerun"), "rerun", "rerun-sdk, which is not installed: pip install"),
        (("verify", "DATASET", "--deep"), "embreex", "pip install 'satgen[verify]'"),
        (("preview", "DATASET", "--no-sheet", "--film", "a.mp4"), "cv2", "pip install opencv-pyth"),
        (("render", "--target", "aura"), "scipy", "pip install scipy"),
        (("weights", "--export", "onnx", "a"), "onnxruntime", "pip install 'satgen[onnx]'"),
        (("targets", "build", "aura", "--out", "t"), "embreex", "pip install 'satgen[verify]'"),
    ],
)
def test_what_is_missing_is_one_line(
    words: tuple[str, ...], blocked: str, said: str, pristine: Path, tmp_path: Path
) -> None:
    env = blocking(tmp_path / "hook", blocked)
    work = tmp_path / "work"
    work.mkdir()
    done = satgen(*(str(pristine) if w == "DATASET" else w for w in words), env=env, cwd=work)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert list(work.iterdir()) == []


def test_a_library_that_is_there_and_broken_is_told_apart(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_library.py").write_text("raise OSError('libfoo.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"x needs .*broken_library, which cannot be .*libfoo"):
        require("x", "broken_library")
    with pytest.raises(InputError, match=r"x needs .*no_library.*installed: pip install no_lib"):
        require("x", "no_library")
    assert (
        explain(ImportError("cannot import name 'x' from 'satgen.png'", name="satgen.png")) is None
    )
    assert all(hidden_by(package) is None for package in OURS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as a wheel lays them out."""
    folder = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__")
    for package in OURS:
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    (folder / "satgen" / "assets").symlink_to(ROOT / "assets")
    return folder


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A user's folder with files and folders of our packages' names."""
    folder = tmp_path / "crowded"
    for name in ("satgen", "matchers", "assets"):
        (folder / name).mkdir(parents=True)
    (folder / "bench.py").write_text("raise SystemExit('the wrong bench')")
    (folder / "matchers" / "__init__.py").write_text("raise SystemExit('the wrong matchers')")
    (folder / "satgen" / "notes.txt").write_text("a dataset, perhaps")
    return folder


SCRIPT = (str(Path(sys.executable).parent / "satgen"),)
MODULE = (sys.executable, "-m", "satgen")


@pytest.mark.parametrize("command", [SCRIPT, MODULE], ids=["script", "module"])
@pytest.mark.parametrize("installed", [True, False], ids=["installed", "checkout"])
def test_files_of_the_users_do_not_hide_ours(
    command: tuple[str, ...], installed: bool, site: Path, crowded: Path, craft_path: Path
) -> None:
    env = {**os.environ, "PYTHONPATH": str(site if installed else ROOT)}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, words)],
            cwd=crowded, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    done = run("render", "--target", craft_path, *SMALL, "--workers", 1)
    assert done.returncode == 0, done.stderr
    for words in (("bench", "--help"), ("weights",), *([("doctor",)] if installed else [])):
        done = run(*words)
        assert done.returncode == 0, (words, done.stderr)
    compared = run("bench", "--compare", "a", "b")
    assert compared.returncode == 2
    assert "wrong" not in compared.stderr


def test_what_hides_ours_on_the_users_path_is_named(crowded: Path) -> None:
    (crowded / "bench.py").write_text("")
    env = {"PYTHONPATH": os.pathsep.join([str(crowded), str(ROOT)])}
    done = satgen("bench", "--help", env=env, cwd=crowded)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{crowded / 'bench.py'}: hides satgen's own package 'bench'" in done.stderr


def test_python_m_satgen_is_the_command() -> None:
    done = subprocess.run([*MODULE, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: satgen [OPTIONS] COMMAND" in done.stdout
