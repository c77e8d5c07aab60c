"""Nothing is written inside a dataset or a run but by its own command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from satgen.cli import main
from satgen.errors import InputError
from satgen.outputs import DESCRIPTIONS, check_outside
from satgen.runfolder import RunFolder, RunKind

KIND = RunKind("satgen try", "try", "try.json", {"format": "satgen-try"}, ())


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def held(tmp_path, monkeypatch) -> Path:
    """A folder with a dataset d and a run r, and a link into d."""
    monkeypatch.chdir(tmp_path)
    for name, description, kind in (("d", "dataset.json", "dataset"), ("r", "run.json", "bench")):
        Path(name, "rgb").mkdir(parents=True)
        Path(name, description).write_text(json.dumps({"format": f"satgen-{kind}"}))
        Path(name, "rgb", "000361.png").write_bytes(b"frame")
    Path("link").symlink_to("d/rgb")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["preview", "d", "--sheet", "d/rgb/000361.png"],
        ["preview", "d", "--film", "d/new/sweep.gif"],
        ["preview", "d", "--sheet", "link/000361.png"],
        ["match", "a.png", "b.png", "--out", "d/rgb/000365.png"],
        ["match", "a.png", "b.png", "--npz", "r/m.npz"],
        ["targets", "random", "7", "--preview", "--out", "d/rgb/7.png"],
        ["targets", "build", "aura", "--out", "d"],
        ["targets", "light", "d/craft.glb"],
        ["train", "d", "--cache", "d"],
        ["train", "d", "--cache", "r/features"],
        ["bench", "--out", "d/x"],
        ["predict", "--task", "frames", "--model", "last", "--out", "r/x"],
    ],
    ids=" ".join,
)
def test_pictures_are_not_written_into_data(words, held) -> None:
    before = listing(held)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert "a dataset or run; write it elsewhere" in result.stderr
    assert result.stderr.count("\n") == 1
    assert listing(held) == before


def test_no_cache_lies_in_data(held, monkeypatch) -> None:
    before = listing(held)
    monkeypatch.setenv("SATGEN_CACHE", "d")
    result = CliRunner().invoke(main, ["weights"])
    assert result.exit_code == 2 and "a dataset or run" in result.stderr
    assert listing(held) == before


@pytest.mark.parametrize("place", ["d/inner", "d/rgb/a/b", "r/x", "link"])
def test_no_run_begins_inside_another(place, held) -> None:
    before = listing(held)
    with pytest.raises(InputError, match="is inside"), RunFolder.open(place, KIND, {}):
        pass
    assert listing(held) == before


def test_other_files_of_these_names_hold_nothing(tmp_path) -> None:
    for number, name in enumerate(DESCRIPTIONS):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text('{"name": "somebody else\'s"}')
        check_outside(folder / "a.png")
