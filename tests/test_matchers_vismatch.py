"""matchers.vismatch, by a package of that name with vismatch's interface (1.4) and known matchers.

They match as satgen's own nearest neighbours on SIFT do, so the benchmark must say of them what it
says of these.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench.config import BenchConfig
from bench.plan import plan
from bench.run import run
from matchers.specs import matcher_spec
from satgen.cli import main
from satgen.dataset import Dataset
from satgen.errors import InputError

FAKE = """
import numpy as np

from matchers.features.sift import SIFT, SIFTConfig
from matchers.nearest import NearestNeighbour

available_models = ["sparse", "dense", "failing", "heavy"]


class BaseMatcher:
    def __init__(self, name, limit):
        self.name, self.skip_ransac = name, False
        self.find = SIFT(SIFTConfig(max_keypoints=limit))

    def __call__(self, img0, img1):
        print("some matchers talk")
        assert self.skip_ransac and img0.shape[0] == 3 and float(img0.max()) <= 1
        if self.name == "failing":
            raise ValueError("not\\nthese")
        sides = [
            self.find((img.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
            for img in (img0, img1)
        ]
        matches = NearestNeighbour()(*sides)
        rows, none = matches.indices.numpy(), np.empty([0, 2])
        points = [side.keypoints.numpy() for side in sides]
        dense = self.name == "dense"
        return {
            "num_inliers": 0, "H": None,
            "matched_kpts0": points[0][rows[:, 0]], "matched_kpts1": points[1][rows[:, 1]],
            "all_kpts0": none if dense else points[0], "all_kpts1": none if dense else points[1],
            "matched_confidences": None if dense else matches.scores.numpy(),
        }


def get_matcher(name, device="cpu", max_num_keypoints=2048):
    print("!!! weights not found")
    assert isinstance(device, str)
    if name == "heavy":
        raise ImportError("needs more")
    return BaseMatcher(name, max_num_keypoints)
"""


@pytest.fixture
def vismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "vismatch.py").write_text(FAKE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("vismatch", None)


def satgen(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


def test_in_one_table_with_ours(vismatch: None, pristine: Path, tmp_path: Path) -> None:
    words = ["bench", pristine, "--features", "sift", "--whole-image", "--out", tmp_path / "run"]
    words += ["--matcher", "nearest", "--matcher", "vismatch:sparse", "--matcher", "vismatch:dense"]
    words += ["--gap", 2, "--pairs", 2, "--repeats", 1, "--roll-gap", "0,30", "--device", "cpu"]
    code, said, error = satgen(*words, "--json")
    assert code == 0, error
    entries = {entry["id"]: entry for entry in json.loads(said)["combinations"]}
    assert [e["label"] for e in entries.values()][-2:] == ["vismatch:sparse", "vismatch:dense"]
    table = pd.read_parquet(tmp_path / "run" / "pairs.parquet")
    rows = {
        name: table[table["combination"] == name].sort_values(["index0", "roll_gap_deg"])
        for name in ("sift-nearest", "vismatch-sparse", "vismatch-dense")
    }
    ours = rows["sift-nearest"]
    assert len(ours) == 4 and ours["num_correct"].sum() > 5
    same = ["num_matches", "num_correct", "num_wrong", "mma_3px", "epipolar_precision"]
    same += ["pnp_rotation_error_deg", "rotation_error_deg"]
    counts = ["num_keypoints0", "num_true_matches", "precision", "matching_score"]
    for name, columns in (("vismatch-sparse", [*same, *counts]), ("vismatch-dense", same)):
        theirs = rows[name]
        for column in columns:
            np.testing.assert_allclose(theirs[column], ours[column], rtol=1e-9, err_msg=column)
        # of keypoints in one place, turned otherwise, either may be the one that was to be found
        away = (theirs["recall"].to_numpy() - ours["recall"].to_numpy())[ours["recall"].notna()]
        assert name == "vismatch-dense" or (abs(away) <= 0.4).all()
        assert (theirs["features"] == "").all() and (theirs["match_ms"] > 0).all()
        assert theirs["extract_ms"].isna().all() and theirs["flops"].isna().all()
    assert rows["vismatch-dense"][["recall", "f1", "num_true_matches"]].isna().all().all()
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_alone_and_on_the_target_only(vismatch: None, pristine: Path, tmp_path: Path) -> None:
    """No features are loaded; what lies beside the silhouette does not count."""
    config = BenchConfig(
        matchers=("vismatch:dense",), features=("aliked",), features_weights=("none.pth",),
        gaps=(2,), pairs_per_gap=2, repeats=1, threads=1, device="cpu",
    )  # fmt: skip
    planned = plan(config, [pristine])
    assert len(run(planned, tmp_path / "run")) == 2
    assert (
        "vismatch" in planned.identity
        and "vismatch"
        not in plan(
            replace(config, matchers=("nearest",), features=("sift",), features_weights=()),
            [pristine],
        ).identity
    )
    data = Dataset(pristine)
    files = sorted((tmp_path / "run" / "matches" / "vismatch-dense").glob("*.npz"))
    assert len(files) == 2
    for file in files:
        first = int(file.stem.split("_")[-2])
        with np.load(file) as found:
            u, v = np.floor(found["keypoints0"].T + 0.5).astype(int)
        assert (data.parts(first)[v, u] > 0).all()


def test_match(vismatch: None, pristine: Path, tmp_path: Path) -> None:
    images = [pristine / "rgb" / f"{index:06d}.png" for index in (3000, 3002)]
    code, said, error = satgen(
        "match", *images, "--matcher", "vismatch:sparse", "--no-mask", "--json",
        "--out", tmp_path / "a.png", "--npz", tmp_path / "a.npz",
    )  # fmt: skip
    assert code == 0, error
    answer = json.loads(said)
    assert answer["features"] is None and answer["matches"] > 3 and "some matchers talk" in error
    assert answer["truth"]["correct"] > 0 and set(answer["seconds"]) == {"match"}
    with np.load(tmp_path / "a.npz") as found:
        assert len(found["matches"]) == answer["matches"]
    code, said, _ = satgen("match", *images, "--matcher", "vismatch:dense", "--no-mask")
    assert code == 0 and "features and matching" in said
    assert "precision" in said and "recall" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["match", "A", "B", "--matcher", "vismatch:dens"], "near it are dense"),
        (["match", "A", "B", "--matcher", "vismatch:"], "must name one"),
        (["match", "A", "B", "--matcher", "vismatch:heavy"], "ImportError: needs more"),
        (["match", "A", "B", "--matcher", "vismatch:dense", "--turns"], "turns with matcher"),
        (["match", "A", "B", "--matcher", "vismatch:dense", "--features", "sift"], "features with"),
        (["match", "A", "B", "--matcher", "vismatch:dense", "--no-adaptive"], "does not adapt"),
        (["bench", "D", "--matcher", "vismatch:no", "--gap", "2"], "vismatch has 4 matchers"),
        (["bench", "D", "--matcher", "vismatch:dense", "--pairs", "all"], "tracks are of keypoin"),
        (["train", "D", "--matcher", "vismatch:dense"], "cannot be trained"),
    ],
)
def test_refused(words: list[str], said: str, vismatch: None, pristine: Path) -> None:
    images = {
        name: str(pristine / "rgb" / f"{i:06d}.png") for name, i in (("A", 3000), ("B", 3002))
    }
    code, _, error = satgen(*({**images, "D": str(pristine)}.get(word, word) for word in words))
    lines = [line for line in error.splitlines() if line.startswith("Error: ")]
    assert code == 2 and len(lines) == 1 and said in lines[0], error
    assert not Path("runs").exists()


def test_one_that_fails_says_so(vismatch: None, pristine: Path) -> None:
    images = [pristine / "rgb" / f"{index:06d}.png" for index in (3000, 3002)]
    code, _, error = satgen("match", *images, "--matcher", "vismatch:failing")
    assert code == 1 and "matcher vismatch:failing: failed (ValueError: not these)" in error


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vismatch", None)
    spec = matcher_spec("vismatch:roma")
    assert spec.takes_images and spec.build is not None
    with pytest.raises(InputError, match=r"--matcher vismatch:roma needs .*pip install vismatch"):
        spec.build()
