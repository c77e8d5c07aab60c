"""Shards: how a scene is divided, what Slurm's variables come to, and that merging gives the
dataset that one machine renders, whatever was killed on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen import dataset as ds
from satgen.errors import InputError
from satgen.merge import merge, status
from satgen.run import render
from satgen.shards import Shard, array_words, found_shards, parse_shard, shards_folder
from tests.datasets import FRAMES, options, reseal, tree
from tests.limits import PATIENCE_S

COUNT = 3


@pytest.fixture(scope="module")
def rendered(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three complete shards of the craft's dataset; no test may change them."""
    out = tmp_path_factory.mktemp("shards") / "craft"
    for number in range(1, COUNT + 1):
        render(options(craft_path), out, workers=1, shard=Shard(number, COUNT))
    return out


@pytest.fixture
def shards(rendered: Path, tmp_path: Path) -> Path:
    """The dataset's folder, not there yet, beside a copy of them."""
    shutil.copytree(shards_folder(rendered), shards_folder(tmp_path / "craft"))
    return tmp_path / "craft"


@given(st.integers(0, 9000), st.integers(1, 60))
def test_blocks_are_neighbours_and_make_the_whole(length: int, count: int) -> None:
    indices = range(361, 361 + length)
    blocks = [Shard(number, count).block(indices) for number in range(1, count + 1)]
    assert [index for block in blocks for index in block] == list(indices)
    sizes = {len(block) for block in blocks}
    assert max(sizes) - min(sizes) <= 1


@given(st.sets(st.integers(1, 300), min_size=1))
def test_an_array_s_words_name_these_tasks(numbers: set[int]) -> None:
    found: set[int] = set()
    for piece in array_words(numbers).split(","):
        first, _, last = piece.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    assert found == numbers


TASK = {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "5"}
BOUNDS = {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "wanted"),
    [
        ("2/5", {}, Shard(2, 5)),
        ("2/5", TASK, Shard(2, 5)),
        ("auto", TASK, Shard(4, 5)),
        ("auto", TASK | BOUNDS, Shard(5, 5)),
        ("auto/9", {"SLURM_ARRAY_TASK_ID": "4"}, Shard(4, 9)),
        ("auto/9", TASK | {"SLURM_ARRAY_TASK_MIN": "2"}, Shard(4, 9)),
    ],
)
def test_what_a_shard_s_words_come_to(
    text: str, environment: dict[str, str], wanted: Shard
) -> None:
    assert parse_shard(text, environment) == wanted


@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        ("0/5", {}, "the first is 1/5"),
        ("6/5", {}, "the last 5/5"),
        ("1/0", {}, "1 to 8100"),
        ("1/99999", {}, "1 to 8100"),
        ("half", {}, "must be I/N"),
        ("1/2/3", {}, "must be I/N"),
        ("-1/5", {}, "must be I/N"),
        ("", {}, "must be I/N"),
        ("auto", {}, "SLURM_ARRAY_TASK_ID is not set"),
        ("auto", {"SLURM_ARRAY_TASK_ID": ""}, "SLURM_ARRAY_TASK_ID is not set"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "2"}, "TASK_COUNT is not set, though"),
        ("auto", {"SLURM_ARRAY_TASK_COUNT": "2"}, "TASK_ID is not set, though"),
        ("auto", TASK | {"SLURM_ARRAY_TASK_COUNT": "x"}, "whole number"),
        ("auto", TASK | {"SLURM_ARRAY_TASK_MIN": "2"}, "give their number"),
        ("auto", TASK | {"SLURM_ARRAY_TASK_MAX": "9"}, "--shard auto/9"),
        ("auto/5", {}, "outside an array"),
        ("auto/x", TASK, "must be I/N"),
    ],
)
def test_words_of_a_shard_that_are_refused(
    text: str, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        parse_shard(text, environment)


def test_merged_shards_are_the_dataset_of_one_machine(shards: Path, pristine: Path) -> None:
    assert [p.state for p in status(shards).shards] == ["done"] * COUNT
    assert merge(shards) == (FRAMES, COUNT)
    assert tree(shards) == tree(pristine)
    assert not shards_folder(shards).exists()
    found = status(shards)
    assert found.complete and found.whole is not None and found.whole.done == FRAMES


def test_the_shards_can_be_kept(shards: Path, pristine: Path) -> None:
    before = tree(shards_folder(shards))
    merge(shards, keep=True)
    assert tree(shards) == tree(pristine)
    assert tree(shards_folder(shards)) == before
    assert merge(shards) == (FRAMES, COUNT)  # again, over what is there
    assert tree(shards) == tree(pristine)


def test_optional_images_a_pose_table_and_metered_light_are_merged(
    craft_path: Path, tmp_path: Path
) -> None:
    table = tmp_path / "poses.csv"
    rows = [f"{i},1,0,0,0,0,0,{9 + 0.1 * i}" for i in range(1, 8)]
    table.write_text("\n".join(["index,qw,qx,qy,qz,tx,ty,tz", *rows]) + "\n")
    more = {"trajectory": f"file:{table}", "start": 1, "stop": 7, "shadow": True, "flow": True}
    request = options(craft_path, **more, light="varied")
    render(request, tmp_path / "one", workers=1)
    for number in (2, 1):
        render(request, tmp_path / "two", workers=1, shard=Shard(number, 2))
    table.unlink()  # each shard has its copy
    merge(tmp_path / "two")
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def _refused(out: Path, words: str) -> None:
    before = tree(shards_folder(out))
    with pytest.raises(InputError, match=words):
        merge(out)
    assert not out.exists() and tree(shards_folder(out)) == before


def test_missing_unfinished_and_strange_shards_are_named(
    shards: Path, craft_path: Path, tmp_path: Path
) -> None:
    second = Shard(2, COUNT).folder(shards)
    (second / ds.FRAMES_CSV).rename(tmp_path / "kept")
    _refused(shards, "shards 2 of 3 are not complete.*--array=2 ")
    (tmp_path / "kept").rename(second / ds.FRAMES_CSV)
    image = ds.image_path(second, "depth", 3010)
    good = image.read_bytes()
    image.write_bytes(good[:-1] + b"\0")
    _refused(shards, "1 frames of shards 2 are damaged, the first of them 3010")
    image.write_bytes(good)
    shutil.move(second, tmp_path / "away")
    _refused(shards, "shards 2 of 3 are not complete")
    shutil.copytree(Shard(1, COUNT).folder(shards), second)
    _refused(shards, "holds another shard")
    shutil.rmtree(second)
    render(options(craft_path, seed=1), shards, workers=1, shard=Shard(2, COUNT))
    _refused(shards, "seed is 0 there and 1 here")
    shutil.rmtree(second)
    shutil.move(tmp_path / "away", second)
    description = json.loads((second / "shard.json").read_text())
    description["software"]["opengl"]["renderer"] = "another card"
    text = (second / "shard.json").read_text()
    reseal(second, "shard.json", software=description["software"])
    _refused(shards, "software.opengl.renderer")
    (second / "shard.json").write_text(text[: len(text) // 2])
    _refused(shards, "damaged")
    (second / "shard.json").write_text(text)
    Shard(1, 4).folder(shards).mkdir()
    _refused(shards, "shards of 3 and 4")


def test_a_dataset_is_not_rendered_in_shards_over_and_none_is_empty(
    craft_path: Path, dataset: Path, tmp_path: Path
) -> None:
    before = tree(dataset)
    with pytest.raises(InputError, match="is a dataset already"):
        render(options(craft_path), dataset, workers=1, shard=Shard(1, 2))
    assert tree(dataset) == before
    with pytest.raises(InputError, match="there are only 24 frames"):
        render(options(craft_path), tmp_path / "d", workers=0, shard=Shard(1, 60))
    assert not list(tmp_path.glob("d*"))
    for call in (merge, status):
        with pytest.raises(InputError, match="shards"):
            call(tmp_path / "nothing")


MERGER = """
import sys
from pathlib import Path
from satgen.merge import merge
from tests.faults import Disturber
disturber = Disturber("kill", int(sys.argv[2]), Path(sys.argv[1]), 2)
disturber.start()
merge(sys.argv[1])
print(disturber.count)
"""


def _merged(out: Path, kill: int) -> int | None:
    done = subprocess.run(
        [sys.executable, "-c", MERGER, str(out), str(kill)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode == 0:
        return int(done.stdout)
    assert done.returncode == -9, done.stderr
    return None


def test_a_merge_that_is_killed_goes_on(shards: Path, pristine: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    shutil.copytree(shards_folder(shards), saved)
    changes = _merged(shards, 0)
    assert changes is not None and changes > 4 * FRAMES
    wanted = tree(pristine)
    rng = random.Random(5)
    for kill in [*sorted(rng.sample(range(1, changes + 1), 5)), changes - 30]:
        for place in (shards, shards_folder(shards)):
            shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(saved, shards_folder(shards))
        assert _merged(shards, kill) is None
        if found_shards(shards):
            assert merge(shards) == (FRAMES, COUNT)
        assert not shards_folder(shards).exists()
        assert tree(shards) == wanted, f"killed at change {kill} of {changes}"


def _command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "satgen", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_five_shards_killed_at_random_then_merged(
    craft_path: Path, pristine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "craft"
    words = ["render", "--target", craft_path, "--start", 3000, "--stop", 3000 + FRAMES - 1,
             "--width", 72, "--height", 64, "--workers", 1, "--quiet", "--out", out]  # fmt: skip
    rng = random.Random(3)
    for number in rng.sample(range(1, 6), 5):
        place = Shard(number, 5).folder(out)
        frames = rng.randint(0, 4)
        process = subprocess.Popen(
            [sys.executable, "-m", "satgen", *map(str, words), "--shard", f"{number}/5"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and len(list(place.glob("rgb/*.png"))) < frames:
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert status(out).missing
    told = _command("status", out)
    assert told.returncode == 1 and "missing: --array=" in told.stdout
    refused = _command("merge", out)
    assert refused.returncode == 2 and "--shard auto/5" in refused.stderr and not out.exists()
    for number in status(out).missing or range(1, 6):
        done = subprocess.run(
            [sys.executable, "-m", "satgen", *map(str, words), "--shard", "auto/5"],
            env={**os.environ, "SLURM_ARRAY_TASK_ID": str(number)},
            capture_output=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
    told = _command("status", out)
    assert told.returncode == 0 and "satgen merge" in told.stdout
    assert _command("merge", out).returncode == 0
    wanted = tree(pristine)
    found = tree(out)
    assert {name for name in wanted if wanted[name] != found.get(name)} <= {ds.DESCRIPTION}
    assert set(found) == set(wanted)
