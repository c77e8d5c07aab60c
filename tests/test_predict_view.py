"""The page of a prediction run: its errors, or its forecasts made again beside the truth."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.predict import view
from bench.predict.api import predict
from bench.predict.view import MOST_EXPORTED, predict_site
from satgen.errors import InputError
from satgen.trajectory import Tumble
from satgen.view.packs import MISSING, split_pack
from tests.browser import looking_at, until
from tests.datasets import make
from tests.view_pages import served


@pytest.fixture(scope="module")
def tumbling(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The craft as it tumbles, 60 frames."""
    motion = Tumble(moments=(0.5, 0.8, 1.0), rates_deg_s=(0.9, 2.7, 0.9))
    folder = tmp_path_factory.mktemp("predict") / "tumbling"
    return make(craft_path, folder, trajectory=motion, stop=3059, width=64)


@pytest.fixture(scope="module")
def frames_run(tumbling: Path) -> Path:
    """Frames forecast by three models, one of which looks at poses with two noises."""
    folder = tumbling.parent / "frames"
    predict(tumbling, task="frames", protocol="10-20-64", model=["last", "flow", "render"],
            noise=[0.0, 0.5], out=folder, windows="all", stride=15, horizons=[1, 20])  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def poses_run(tumbling: Path) -> Path:
    folder = tumbling.parent / "poses"
    predict(tumbling, model=["last", "velocity"], out=folder, windows="all", noise=[0.0, 0.1],
            horizons=[1, 2, 5], stride=10, observed=6)  # fmt: skip
    return folder


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(((a.astype(float) - b.astype(float)) ** 2).mean()) / 255.0**2
    return float("inf") if error == 0.0 else -10.0 * np.log10(error)


def test_forecasts_are_made_again_as_they_were(frames_run: Path) -> None:
    site = predict_site(frames_run, 512)
    described = site.description["forecasts"]
    assert described["horizons"] == [1, 20] and len(described["models"]) == 4
    windows = json.loads(site.files["forecasts/windows.json"].make())
    table = pd.read_parquet(frames_run / "windows.parquet")
    assert [w["start"] for w in windows] == list(dict.fromkeys(table["start"]))
    window = windows[1]
    images = split_pack(site.files[window["file"]].make())
    assert len(images) == 1 + 2 * (1 + 4)
    pixels = [np.asarray(Image.open(io.BytesIO(image.data)).convert("RGB")) for image in images]
    truth = pixels[1:3]
    for place, figures in enumerate(window["figures"]):
        forecast = pixels[3 + 2 * place : 5 + 2 * place]
        for horizon in range(2):
            said = figures["psnr"][horizon]
            found = psnr(forecast[horizon], truth[horizon])
            # of eight bits, where the run had floats
            assert found == pytest.approx(said, abs=0.3) or min(found, said) > 45.0


def test_a_model_that_cannot_forecast_any_more_is_missing(
    frames_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = predict_site(frames_run, 512)
    windows = json.loads(site.files["forecasts/windows.json"].make())
    runner = view._runner(frames_run.resolve())
    whole = runner.forecasts

    def broken(dataset: str, numbers: list[int], names: list[str]) -> object:
        if names == ["render"]:
            raise InputError("the model has changed")
        return whole(dataset, numbers, names)

    monkeypatch.setattr(runner, "forecasts", broken)
    images = split_pack(site.files[windows[0]["file"]].make())
    missing = [image.box[2] == MISSING for image in images]
    labels = site.description["forecasts"]["models"]
    for place, name in enumerate(labels):
        assert missing[3 + 2 * place] == name.startswith("render")


def test_a_dataset_that_changed_is_not_forecast(frames_run: Path) -> None:
    run = frames_run / "run.json"
    before = run.read_text()
    description = json.loads(before)
    description["identity"]["datasets"]["tumbling"]["frames.csv"] = "0" * 64
    try:
        run.write_text(json.dumps(description))
        with pytest.raises(InputError, match="has changed since"):
            predict_site(frames_run, 512)
    finally:
        run.write_text(before)


def test_an_export_has_some_of_many_windows(
    frames_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_EXPORTED > 2
    monkeypatch.setattr("bench.predict.view.MOST_EXPORTED", 2)
    site = predict_site(frames_run, 512, exported=True)
    assert site.description["forecasts"]["windows"] == 2
    assert site.description["forecasts"]["of"] == 3
    assert sum(path.endswith(".pack") and path.startswith("forecasts/") for path in site.files) == 2


def test_errors_are_the_tables(poses_run: Path) -> None:
    site = predict_site(poses_run, 512)
    groups = json.loads(site.files["forecasts/groups.json"].make())
    errors = np.frombuffer(site.files["forecasts/errors.bin"].make(), "<f4")
    table = pd.read_parquet(poses_run / "windows.parquet")
    assert {group["noise_deg"] for group in groups} == {0.0, 0.1}
    total = 0
    for group in groups:
        shape = len(group["models"]), len(group["starts_s"]), len(group["horizons"])
        block = errors[group["offset"] :][: np.prod(shape)].reshape(shape)
        total += block.size
        mine = table[
            (table["noise_deg"] == group["noise_deg"]) & (table["motion"] == group["motion"])
        ]
        for place, model in enumerate(group["models"]):
            own = mine[mine["model"] == model].pivot_table("error_deg", "window", "horizon")
            np.testing.assert_allclose(block[place], own.to_numpy(), rtol=1e-6)
        assert group["dataset"] == "tumbling"
    assert total == len(table) == errors.size


def test_browsers_draw_both(frames_run: Path, poses_run: Path, tmp_path: Path) -> None:
    with (
        served(predict_site(frames_run, 512), tmp_path / "a") as server,
        looking_at(server.url) as page,
    ):
        until(page, "window.satgen.mode.images?.length === 11")
        assert page.locator(".card").count() == 6 and page.locator(".side .chart").is_visible()
        page.keyboard.press("ArrowDown")
        until(page, "window.satgen.mode.ahead === 0")
        page.keyboard.press("ArrowRight")
        until(page, "window.satgen.player.place === 1 && window.satgen.mode.images !== null")
        page.keyboard.press("d")
        until(page, "window.satgen.mode.differences === false")
    with (
        served(predict_site(poses_run, 512), tmp_path / "b") as server,
        looking_at(server.url, phone=True) as page,
    ):
        page.locator(".big-chart polyline").first.wait_for()
        assert page.locator(".big-chart polyline").count() == 4
        page.keyboard.press("ArrowDown")
        until(page, "window.satgen.mode.group === 1")
        until(page, "window.satgen.mode.panes.every((pane) => pane.drawn)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_code_that_a_run_names_is_not_run(
    frames_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\nmake = None\n")
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(frames_run, tmp_path / "run")
    before = json.loads((frames_run / "run.json").read_text())
    for changes in (
        {"models": ["last", f"{evil}:make", "render-evil:make"]},
        {"models": ["evil:make"]},
        {"poses": "evil:make"},
        {"poses": "nearest", "features": f"{evil}:make"},
    ):
        description = json.loads(json.dumps(before))
        description["identity"]["config"] |= changes
        (folder / "run.json").write_text(json.dumps(description))
        view._runner.cache_clear()
        site = predict_site(folder, 512)
        windows = json.loads(site.files["forecasts/windows.json"].make())
        make = site.files[windows[0]["file"]].make
        if "last" in changes.get("models", ()):
            assert len(split_pack(make())) == 11
        else:
            with pytest.raises(InputError, match="ours"):
                make()
    view._runner.cache_clear()
    assert not (tmp_path / "harm").exists()
