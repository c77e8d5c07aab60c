"""The page of a benchmark's run: the matches that it kept, and matches found when asked for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.config import BenchConfig
from bench.plan import plan
from bench.run import run
from bench.view import bench_site, config_of, with_live_matches
from matchers.truth.roll import carry, roll_matrix
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.run import render
from satgen.view.server import ViewServer
from satgen.view.store import ViewStore
from tests.browser import looking_at, until
from tests.datasets import satgen_here
from tests.view_pages import asked, served

CONFIG = BenchConfig(
    matchers=("nearest",), features=("sift",), gaps=(1, 3), pairs_per_gap=2, max_keypoints=150,
    repeats=1, threads=1, roll_gaps=(0.0, 90.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on five frames of Aura, in a folder whose name is none for an address."""
    folder = tmp_path_factory.mktemp("bench")
    frames = folder / "aura #1"
    render(RenderOptions(target="aura", start=4000, stop=4004, width=256, height=256), frames,
           workers=1)  # fmt: skip
    run(plan(CONFIG, [frames]), folder / "run", report=False)
    (folder / "run" / "results.json").write_text("{}")
    return folder / "run"


def test_the_matches_are_those_that_were_kept(finished: Path) -> None:
    site = bench_site(finished, 512)
    pairs = json.loads(site.files["matches/pairs.json"].make())
    assert len(pairs) == 8 and {pair["roll_deg"] for pair in pairs} == {0.0, 90.0}
    assert {pair["dataset"] for pair in pairs} == {"aura--1"}
    camera = Dataset(finished.parent / "aura #1").camera
    for pair in pairs:
        for combination, figures in pair["figures"].items():
            assert set(figures["file"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_./"), figures[
                "file"
            ]
            shown = json.loads(site.files[figures["file"]].make())
            roll = "_roll90" if pair["roll_deg"] else ""
            name = f"aura #1_{pair['index0']:06d}_{pair['index1']:06d}{roll}.npz"
            with np.load(finished / "matches" / combination / name) as kept:
                points = kept["keypoints1"].astype(float)
                if roll:
                    H = roll_matrix((camera.cx, camera.cy), 90.0)
                    points = carry(np.linalg.inv(H), points)
                assert np.abs(np.array(shown["keypoints1"]) - points).max() < 0.006
                assert shown["matches"] == kept["matches"].tolist()
                counts = [int((kept["verdict"] == value).sum()) for value in range(3)]
            assert counts == [figures[key] for key in ("correct", "wrong", "ignored")]


def test_matches_are_found_live_as_the_run_found_them(finished: Path, tmp_path: Path) -> None:
    config = config_of(json.loads((finished / "run.json").read_text()))
    assert config.max_keypoints == 150 and config.thresholds == CONFIG.thresholds
    site = with_live_matches(bench_site(finished, 512), config)
    pairs = json.loads(site.files["matches/pairs.json"].make())
    pair = next(pair for pair in pairs if not pair["roll_deg"])
    combination, figures = next(iter(pair["figures"].items()))
    place = f"match/{combination}/aura--1"
    with served(site, tmp_path / "cache") as server:
        described = json.loads(asked(server, "/view.json")[1])
        assert described["live"] == ["match"]
        assert combination in {one["id"] for one in described["live_matches"]}
        path = f"/{place}/{pair['index0']}/{pair['index1']}.json"
        status, body, _ = asked(server, path)
        assert status == 200
        live, kept = json.loads(body), json.loads(site.files[figures["file"]].make())
        for key in ("keypoints0", "keypoints1", "matches", "verdict"):
            assert live[key] == kept[key]
        assert live["figures"]["f1"] == pytest.approx(figures["f1"])
        for wrong in (
            f"/match/none/aura--1/{pair['index0']}/{pair['index1']}.json",
            f"/match/{combination}/none/{pair['index0']}/{pair['index1']}.json",
            f"/{place}/1/2.json", f"/{place}/../../x.json", "/match", "/match/",
        ):  # fmt: skip
            assert asked(server, wrong)[0] == 404


def test_a_browser_draws_them(finished: Path, tmp_path: Path) -> None:
    site = with_live_matches(bench_site(finished, 512), replace(CONFIG, roll_gaps=(0.0,)))
    with served(site, tmp_path / "cache") as server, looking_at(server.url) as page:
        until(page, "window.satgen.mode.view.matches.length > 0")
        first = page.evaluate("window.satgen.mode.view.matches.length")
        page.get_by_title("Show or hide: Correct").click()
        until(page, f"window.satgen.mode.view.matches.length < {first}")
        page.keyboard.press("ArrowRight")
        until(page, "window.satgen.player.place === 1 && window.satgen.mode.found")
        page.keyboard.press("ArrowDown")
        until(page, "window.satgen.mode.combination !== window.satgen.site.combinations[0].id")
        page.keyboard.press(".")
        page.keyboard.press(".")
        page.get_by_label("Matches by").select_option(index=1)
        until(page, "window.satgen.mode.found?.matches.length > 0")


def test_runs_that_cannot_be_shown(finished: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(finished, tmp_path / "bare")
    shutil.rmtree(bare / "matches")
    with pytest.raises(InputError, match="kept no matches"):
        bench_site(bare, 512)
    description = json.loads((bare / "run.json").read_text())
    description["datasets"][0]["path"] = str(tmp_path / "gone")
    (bare / "run.json").write_text(json.dumps(description))
    done = satgen_here("view", bare, "--no-open")
    assert done.returncode == 2 and "is no dataset any more" in done.stderr
    (bare / "pairs.parquet").unlink()
    with pytest.raises(InputError, match="no finished run"):
        bench_site(bare, 512)


def test_an_export_of_it_needs_no_server_of_ours(finished: Path, tmp_path: Path) -> None:
    done = satgen_here("view", finished, "--export", tmp_path / "site", "--quiet")
    assert done.returncode == 0, done.stderr
    described = json.loads((tmp_path / "site" / "view.json").read_text())
    assert described["kind"] == "bench" and described["live"] == []
    pairs = json.loads((tmp_path / "site" / "matches" / "pairs.json").read_text())
    for pair in pairs:
        for figures in pair["figures"].values():
            assert (tmp_path / "site" / figures["file"]).is_file()
    ViewServer(bench_site(finished, 512), 0, ViewStore(tmp_path)).server_close()


def test_code_that_a_run_names_is_not_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from satgen.cli.view import _match_live

    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\nmake = None\n")
    folder = shutil.copytree(finished, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    for place, name in (("matchers", f"{evil}:make"), ("features", "evil:make")):
        description = json.loads((finished / "run.json").read_text())
        description["config"][place] = [name]
        (folder / "run.json").write_text(json.dumps(description))
        with pytest.raises(InputError, match="which is not ours"):
            config_of(description)
        site = bench_site(folder, 512)
        _match_live(site, folder)
        assert site.live == {}
    assert not (tmp_path / "harm").exists()
