"""bench.api: the benchmark called from Python says what the command says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import satgen
from bench.run import BenchResult
from satgen.errors import InputError
from tests.datasets import make, tree

QUICK = {"matcher": "nearest", "features": "sift", "gaps": [2], "repeats": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def frames(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames") / "craft"
    return make(craft_path, folder, width=128, height=120, stop=3005)


def test_a_run_its_table_and_its_pairs(frames: Path, tmp_path: Path) -> None:
    result = satgen.bench(str(frames), pairs=2, out=str(tmp_path / "run"), threads=1, **QUICK)
    assert repr(result) == f"<BenchResult {tmp_path / 'run'}>"
    assert "nearest on sift" in str(result)
    assert result.report.is_file()
    table = result.pairs
    assert set(table["combination"]) == {"sift-nearest", "sift-nearest-r0.8"}
    assert len(table) == 4
    # The figures of a pair are those of `satgen.match`.
    row = table[table["combination"] == "sift-nearest"].iloc[0]
    data = satgen.open(frames)
    found = satgen.match(
        data[int(row["index0"])], data[int(row["index1"])],
        features="sift", matcher="nearest", max_keypoints=512, device="cpu",
    )  # fmt: skip
    assert found.figures is not None
    assert found.figures["correct"] == row["num_correct"]
    recall = found.figures["recall"]
    assert np.isnan(row["recall"]) if recall is None else recall == row["recall"]
    before = tree(tmp_path / "run")
    again = satgen.bench(data, pairs=2, out=tmp_path / "run", threads=1, **QUICK)
    assert again.summary == result.summary
    assert tree(tmp_path / "run").keys() == before.keys()


def test_poses_by_opencv(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = satgen.bench(frames, pairs=1, estimator="opencv", out=out, threads=1, **QUICK)
    assert result.summary["config"]["ransac"]["estimator"] == "opencv"
    assert "Poses: opencv, 1 px." in str(result)


def test_a_list_of_posed_pairs_as_of_other_benchmarks(frames: Path, tmp_path: Path) -> None:
    data = satgen.open(frames)
    K, T = data.camera.K.ravel(), data.pair(3000, 3002).relative_pose.ravel()
    numbers = " ".join(map(repr, np.concatenate([K, K, T]).tolist()))
    listed = tmp_path / "pairs_with_gt.txt"
    listed.write_text(f"rgb/003000.png rgb/003002.png 0 0 {numbers}\n")
    words = QUICK | {"posed": [(str(listed), str(frames))], "silhouette": False}
    table = satgen.bench(out=tmp_path / "run", threads=1, quiet=True, **words).pairs
    assert len(table) == 2 and (table["num_matches"] > 0).all()


def test_what_cannot_be_is_refused_and_nothing_is_written(frames: Path, tmp_path: Path) -> None:
    data = satgen.open(frames)
    for given, words, message in (
        ((frames,), {"gap": [2]}, r"bench\(\): unknown keyword 'gap'; did you mean gaps"),
        ((frames,), {"pairs": "none.csv"}, "pairs 'none.csv': must be a number"),
        ((data[3000:3003],), {}, "this takes whole datasets"),
        ((frames,), {"estimator": "pnp"}, "estimator pnp: must be one of poselib, opencv"),
        ((), {}, "no dataset given"),
        ((tmp_path / "none",), {}, "no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            satgen.bench(*given, out=tmp_path / "run", **(QUICK | words))
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="no finished run"):
        BenchResult(tmp_path)
