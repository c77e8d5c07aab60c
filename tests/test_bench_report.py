"""The report of a run: plots that open, and a page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save_file

from bench.config import BenchConfig
from bench.plan import plan
from bench.report import write_report
from bench.run import run
from matchers.training.config import TrainConfig
from matchers.training.objectives import build
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.run import render

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Opens and closes every element; keeps addresses and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.kinds: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value:
                self.addresses.append(value)
            if name == "data-kind" and value:
                self.kinds.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
            self.open.pop()
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value:
                self.addresses.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over all consecutive frames, with a LightGlue that only compares descriptors."""
    folder = tmp_path_factory.mktemp("report")
    options = RenderOptions(target="aura", start=4000, stop=4006, width=256, height=256)
    render(options, folder / "aura", workers=1)
    weights = folder / "lightglue.safetensors"
    save_file(build(TrainConfig(layers=3, dim=128)).state_dict(), weights)
    config = BenchConfig(
        matchers=("lightglue", "nearest"), features=("sift",), weights=str(weights),
        pairs_per_gap=None, max_keypoints=100, repeats=1, threads=1, sweeps=("width-confidence",),
    )  # fmt: skip
    planned = plan(config, [folder / "aura"], command="satgen bench <aura>")
    run(planned, folder / "run")
    assert write_report(folder / "run") == folder / "run" / "report.html"
    return folder / "run"


def test_the_page_needs_nothing_else(finished: Path) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    inside = [a for a in page.addresses if a.startswith(("data:", "#"))]
    assert inside and inside == page.addresses
    assert not re.search(r"@import|url\((?!#)|<link|<script src", text)
    words = " ".join(page.words)
    assert "satgen bench <aura>" in words
    for part in ("Accuracy over gap", "Stopping layer", "Accuracy against time", "Tracks", "Terms"):
        assert part in words
    assert "lightglue on sift, full depth" in words and "nan" not in words.lower().split()


def test_tables_and_plots_fit_a_phone_or_say_that_they_scroll(finished: Path) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    assert '<meta name="viewport" content="width=device-width' in text
    assert text.count("<table") == text.count('<div class="wide"><table') > 3
    assert ".scrolls::before" in text and "classList.toggle('scrolls'" in text
    style = text[text.index("<style>") : text.index("</style>")]
    assert max(float(w) for w in re.findall(r"min-width: ([0-9.]+)rem", style)) < 10
    assert all(
        float(least) <= 20 for least in re.findall(r"minmax\(min\(100%, ([0-9.]+)rem\)", style)
    )
    assert text.count("<svg") == text.count("<div><svg") > 10
    # each plot's elements have names of their own
    names = re.findall(r'<(?:clipPath|path|g) id="([a-z]*[0-9a-f]{10,})"', text)
    assert len(names) == len(set(names))


def test_the_gallery_shows_pairs_of_either_end(finished: Path) -> None:
    page = Page((finished / "report.html").read_text(encoding="utf-8"))
    # full depth, adaptive, nearest with and without the ratio test
    assert sorted(page.kinds) == sorted(["easy", "median", "worst"] * 4)
    pictures = [a for a in page.addresses if a.startswith("data:image/jpeg;base64,")]
    assert len(pictures) == 12
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1]))).convert("RGB")
    assert image.width == 1000
    found = image.getcolors(image.width * image.height) or []
    assert any(g > 100 and g > r + 60 and g > b + 30 for _, (r, g, b) in found)  # type: ignore[misc]


def test_plots_open(finished: Path) -> None:
    names = {path.stem for path in (finished / "plots").glob("*.png")}
    assert {"accuracy", "pose", "savings", "stop_layers", "trade_off", "parts", "tracks"} <= names
    for name in names:
        with Image.open(finished / "plots" / f"{name}.png") as image:
            assert image.width > 600 and len(set(image.convert("L").tobytes())) > 10
        root = ElementTree.parse(finished / "plots" / f"{name}.svg").getroot()
        assert root.tag.endswith("svg")


def test_figures_are_those_of_the_table(finished: Path) -> None:
    summary = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    table = pd.read_parquet(finished / "pairs.parquet")
    for entry in summary["combinations"]:
        rows = table[table["combination"] == entry["id"]]
        assert entry["overall"]["f1"] == pytest.approx(rows["f1"].mean(), rel=1e-5)
        assert entry["overall"]["pairs"] == len(rows) == 6
        assert entry["tracks"]["longest"] <= 7
    adaptive = [e for e in summary["combinations"] if e["adaptive"]]
    assert [e["swept"] for e in adaptive].count(False) == 1 and len(adaptive) == 5
    saved = next(e for e in adaptive if not e["swept"])["saved"]
    assert sum(saved["stop_layers"].values()) == 6 and saved["num_layers"] == 3


def test_the_same_run_gives_the_same_report(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "run"))
    names = ["report.html", "results.json", "plots/accuracy.svg", "plots/accuracy.png"]
    before = [(copy / name).read_bytes() for name in names]
    for name in names:
        (copy / name).unlink()
    write_report(copy)
    assert [(copy / name).read_bytes() for name in names] == before


def test_without_its_dataset_a_run_has_no_gallery(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "run"))
    known = json.loads((copy / "run.json").read_text())
    known["datasets"][0]["path"] = str(tmp_path / "gone")
    (copy / "run.json").write_text(json.dumps(known))
    page = Page(write_report(copy).read_text(encoding="utf-8"))
    assert page.kinds == [] and "Accuracy over gap" in " ".join(page.words)


def test_what_is_no_run_has_no_report(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        write_report(tmp_path)
    copy = Path(shutil.copytree(finished, tmp_path / "run"))
    (copy / "pairs.parquet").unlink()
    with pytest.raises(InputError, match="no finished run"):
        write_report(copy)
