"""The weights that come with the package: whole, small, and better than nearest neighbours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from bench.config import BenchConfig
from bench.plan import plan
from bench.run import run
from matchers import weights
from matchers.registry import load_matcher
from matchers.truth.pairs import Pair, pairs_csv
from satgen.options import RenderOptions
from satgen.run import render

torch.set_num_threads(1)

OURS = weights.ours()
LARGEST = 15_000_000
"""Bytes of a file of weights that may go into the package."""

each = pytest.mark.parametrize("mine", OURS, ids=[w.name for w in OURS])


@each
def test_a_file_is_whole_small_and_has_a_card(mine: weights.Weights) -> None:
    assert weights.state(mine) == "present"
    assert mine.path.stat().st_size <= LARGEST
    card = json.loads(mine.path.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["licence"] == "Apache-2.0" and card["size"] == mine.path.stat().st_size
    for name in ("network", "data", "steps", "hardware", "held_out", "seed", "torch"):
        assert card[name] not in (None, {}, "")
    trained = {name for name, data in card["data"].items() if data["trained_on"]}
    ours = {"aura", "worldview", "cartography"}
    # two arcs of each craft; of the targets stretches, by light
    craft = {re.sub(r"-(near|far)$", "", name) for name in trained if name.startswith("random")}
    others = {name.split("-")[0] for name in trained if not name.startswith("random")}
    assert others in (set(), ours) and (others or craft) and (len(craft) >= 60 or not craft)


@each
def test_it_is_what_the_name_loads(mine: weights.Weights) -> None:
    assert mine.matcher is not None
    network = load_matcher(mine.matcher, mine.features, device="cpu")
    stored = weights.load(mine.path)
    for name, value in network.state_dict().items():  # type: ignore[attr-defined]
        assert torch.equal(value, stored[name].to(value.dtype)), name


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of a block that is held out, 10 indices apart."""
    folder = tmp_path_factory.mktemp("bundled") / "aura"
    options = RenderOptions(target="aura", start=1500, stop=1560, step=10)
    render(options, folder, workers=1)
    return folder


@each
def test_it_finds_more_than_nearest_neighbours(
    mine: weights.Weights, held_out: Path, tmp_path: Path
) -> None:
    assert mine.matcher is not None
    pairs = [Pair("aura", i, i + 20) for i in range(1500, 1541, 10)]
    (tmp_path / "pairs.csv").write_bytes(pairs_csv(pairs))
    config = BenchConfig(
        matchers=(mine.matcher, "nearest"), features=(mine.features,), repeats=1, threads=1
    )
    table = run(plan(config, [held_out], pairs_file=tmp_path / "pairs.csv"), tmp_path / "run")
    means = table.groupby("combination")["f1"].mean()
    ratio = means.pop(f"{mine.features}-nearest-r0.8")
    means.pop(f"{mine.features}-nearest")
    assert len(means) and (means > ratio + 0.05).all(), (means, ratio)
