"""The command line, run as users run it."""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from satgen.cli import COMMANDS
from satgen.targets import registry
from tests.datasets import command, satgen

SMALL = ("--width", 40, "--height", 32, "--workers", 1)


def test_help_imports_nothing_heavy() -> None:
    heavy = ["numpy", "pandas", "trimesh", "pyrender", "OpenGL", "cv2", "PIL", "torch", "scipy"]
    script = (
        "import sys\nfrom satgen.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "LOADED []" in done.stdout
    for name, help_text in COMMANDS.items():
        assert name in done.stdout
        assert help_text in done.stdout


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["targets", "build"]])
def test_every_help_has_an_example(words: list[str]) -> None:
    from click.testing import CliRunner

    from satgen.cli import main

    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Example" in result.output
    assert "satgen " + " ".join(words) in result.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rendr"], "rendr"),
        (["render", "--target", "hubble"], "hubble"),
        (["render", "--target", "none.glb"], "none.glb"),
        (["render", "--size", "64", "--width", "32"], "--size and --width"),
        (["render", "--intrinsics", "1,2,3"], "1,2,3"),
        (["render", "--intrinsics", "1,2,3,4", "--fov", "10"], "--intrinsics and --fov"),
        (["render", "--size", "0"], "--size 0"),
        (["render", "--sun", "noon"], "noon"),
        (["render", "--sensor", "eye"], "eye"),
        (["render", "--workers", "-1"], "workers -1"),
        (["render", "--rates", "1,2,3"], "--rates: trajectory spiral has no such parameter"),
        (["render", "--trajectory", "grid", "--inertia", "1,2,3"], "--inertia"),
        (["render", "--trajectory", "orbit", "--dt", "2"], "--dt"),
        (["render", "--trajectory", "orbit", "--view", "1,2"], "only tumble has"),
        (["render", "--trajectory", "tumble", "--period", "90"], "only orbit has"),
        (["render", "--trajectory", "tumble", "--rates", "1,2"], "must be 3 numbers"),
        (["render", "--trajectory", "tumble", "--rates", "1,2,x"], "--rates 1,2,x"),
        (["render", "--trajectory", "tumble", "--inertia", "1,1,3"], "other two's sum"),
        (["render", "--trajectory", "tumble", "--dt", "0"], "--dt 0"),
        (["render", "--trajectory", "orbit", "--revolutions", "2.5"], "--revolutions 2.5"),
        (["render", "--trajectory", "file:none.csv", "--dt", "2"], "none.csv"),
        (["render", "--roll", "rate:fast"], "--roll rate:fast"),
        (["render", "--roll", "nan"], "--roll nan"),
        (["verify", "nowhere"], "nowhere"),
        (["verify"], "DATASET"),
        (["verify", "x", "--deep", "0"], "0"),
        (["preview", "nowhere"], "nowhere"),
        (["targets", "build", "hubble"], "hubble"),
    ],
)
def test_bad_requests_end_with_status_2_and_name_the_value(
    words, named, tmp_path, monkeypatch
) -> None:
    from click.testing import CliRunner

    from satgen.cli import main

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert os.listdir() == []
    assert result.exit_code == 2, result.output
    assert named in result.output
    assert "Traceback" not in result.output


def test_bad_platform_is_refused(craft_path: Path, tmp_path: Path) -> None:
    done = satgen(
        "render",
        "--target",
        craft_path,
        cwd=tmp_path,
        env={
            "PYOPENGL_PLATFORM": "glx",
            "PYTHONPATH": os.getcwd(),
        },
    )
    assert done.returncode == 2
    assert "PYOPENGL_PLATFORM=glx" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_tumble_is_what_the_command_line_asked_for(craft_path: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": os.getcwd(), "PYOPENGL_PLATFORM": "osmesa"}
    words = ["render", "--target", craft_path, *SMALL, "--start", 1, "--stop", 10, "--out", "t"]
    words += ["--trajectory", "tumble", "--rates", "0.2,-3,0.1", "--inertia", "1,2,2.5"]
    words += ["--dt", 0.5, "--view", "-10,20", "--roll", "random:3"]
    done = satgen(*words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "t" / "dataset.json").read_text())
    assert data["version"] == 3
    trajectory = data["trajectory"]
    assert trajectory["roll"] == {"rate_deg": 0.0, "seed": 3}
    params = trajectory["params"]
    assert params["rates_deg_s"] == [0.2, -3.0, 0.1] and params["moments"] == [1.0, 2.0, 2.5]
    assert params["dt_s"] == 0.5 and params["view_deg"] == [-10.0, 20.0]
    with open(tmp_path / "t" / "frames.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert float(first["time_s"]) == 0.5
    rates = [math.degrees(float(first[f"wi_{axis}"])) for axis in "xyz"]
    assert rates == pytest.approx([0.2, -3.0, 0.1])
    checked = satgen("verify", "t", cwd=tmp_path, env=env)
    assert checked.returncode == 0, checked.stdout


def test_render_verify_preview_in_a_row(craft_path: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": os.getcwd(), "PYOPENGL_PLATFORM": "osmesa"}
    arguments = ("render", "--target", craft_path, *SMALL, "--start", 361, "--stop", 366)
    done = satgen(*arguments, "--json", "--quiet", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # without --quiet, lines of progress where it takes a while
    answer = json.loads(done.stdout)
    assert answer["dataset"] == "datasets/craft"
    assert (answer["frames"], answer["rendered"]) == (6, 6)
    again = satgen(*arguments, cwd=tmp_path, env=env)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout

    checked = satgen("verify", "--deep", "datasets/craft", "--json", cwd=tmp_path, env=env)
    assert checked.returncode == 0, checked.stdout
    report = json.loads(checked.stdout)
    assert report["ok"] is True
    assert len(report["deep"]) == 6
    (tmp_path / "datasets" / "craft" / "rgb" / "000363.png").unlink()
    checked = satgen("verify", "datasets/craft", cwd=tmp_path, env=env)
    assert checked.returncode == 1
    assert "frame 000363: rgb/000363.png: is missing" in checked.stdout
    assert "NOT whole" in checked.stdout
    repaired = satgen(*arguments, cwd=tmp_path, env=env)
    assert "1 rendered, 5 were there" in repaired.stdout

    drawn = satgen("preview", "datasets/craft", "--film-frames", 3, cwd=tmp_path, env=env)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "datasets" / "craft-sheet.png").is_file()
    assert (tmp_path / "datasets" / "craft-sweep.gif").is_file()
    other = satgen(*arguments, "--seed", 4, cwd=tmp_path, env=env)
    assert other.returncode == 2
    assert "seed is 0 there and 4 here" in other.stderr
    assert other.stderr.count("\n") == 1


def test_a_terminal_shows_the_progress(craft_path: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    words = command(
        "render", "--target", craft_path, "--out", tmp_path / "a", *SMALL, "--stop", 1500
    )
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # the other side is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    assert b"frame/s" in shown
    assert b"<" in shown  # the time left


def test_targets_are_listed(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from satgen.cli import main

    result = CliRunner().invoke(main, ["targets", "--json"])
    rows = json.loads(result.output)
    assert [row["name"] for row in rows] == list(registry.TARGETS)
    assert all(row["triangles"] >= 10_000 and row["parts"] >= 40 for row in rows)
    text = CliRunner().invoke(main, ["targets"]).output
    assert all(name in text for name in registry.TARGETS)


def test_what_a_later_target_refuses_is_refused_before_the_first_is_begun(tmp_path: Path) -> None:
    done = satgen(
        "render", "--target", "all", "--aim", "adapter_ring_nadir", "--out", tmp_path / "d", *SMALL
    )
    assert done.returncode == 2 and "adapter_ring_nadir" in done.stderr
    assert not (tmp_path / "d").exists()


def test_all_targets_go_into_a_folder_each(tmp_path: Path) -> None:
    done = satgen(
        "render", "--target", "all", "--out", tmp_path / "d", *SMALL, "--stop", 362, "--json"
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [Path(a["dataset"]).name for a in answers] == list(registry.TARGETS)
    for name in registry.TARGETS:
        checked = satgen("verify", tmp_path / "d" / name, "--deep", 2)
        assert checked.returncode == 0, checked.stdout
