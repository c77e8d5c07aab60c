"""Compiled code in a training: kept where it is faster, gone without a trace where it is not."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from matchers.lightglue import LightGlue
from matchers.training import run as running
from matchers.training import trial
from matchers.training.checkpoint import read_log
from matchers.training.config import TrainConfig
from matchers.training.trainer import Hardware
from matchers.training.trial import compile_if_faster
from satgen.splits import SplitConfig
from tests.datasets import make

torch.set_num_threads(1)


class Stub(nn.Module):
    """A network whose steps take as long as they are said to."""

    def __init__(self, times: dict[str, float]) -> None:
        super().__init__()
        self.times, self.kind = times, "plain"
        self.linear = nn.Linear(1, 1)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        self.kind, self.made = "compiled", True

    def seconds(self) -> float:
        if self.kind not in self.times:
            raise RuntimeError("no compiler\nat all")
        return self.times[self.kind]


@pytest.mark.parametrize(("compiled", "kept"), [(0.5, True), (0.99, False), (2.0, False)])
def test_compiled_code_is_kept_if_it_is_faster(compiled: float, kept: bool) -> None:
    model = Stub({"plain": 1.0, "compiled": compiled})
    before = dict(vars(model))
    assert compile_if_faster(model, model.seconds) == kept
    assert model.kind == ("compiled" if kept else "plain")
    if not kept:
        assert vars(model) == before


def test_a_compiler_that_fails_is_told_of_and_done_without() -> None:
    model = Stub({"plain": 1.0})
    with pytest.warns(UserWarning, match=r"not compiled \(RuntimeError: no compiler\)$"):
        assert not compile_if_faster(model, model.seconds)
    assert model.kind == "plain"


def test_a_compiled_training_is_the_same_but_for_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aura = make(
        Path("aura"), tmp_path / "aura", target="aura", start=3000, stop=3059, width=96, height=96
    )
    config = TrainConfig(
        dim=16, layers=2, heads=2, batch=2, accumulate=1, max_keypoints=24, warmup=2, frames=8,
        versions=1, validate_every=100, steps=10, homography_steps=0, confidence_steps=1,
        validation_pairs=1, test_pairs=1, gaps=(1,), split=SplitConfig(guard_deg=3.0),
    )  # fmt: skip
    monkeypatch.setattr(running, "WORTH_S", 0.0)
    monkeypatch.setattr(trial, "GAIN", 1e9)
    # traced, and run as it is: a C++ compiler is another test's
    plain = LightGlue.compile
    monkeypatch.setattr(LightGlue, "compile", partialmethod(plain, backend="aot_eager"))
    made: list[bool] = []
    monkeypatch.setattr(
        running,
        "compile_if_faster",
        lambda *given: made.append(compile_if_faster(*given)) or made[-1],
    )
    logs = []
    for compiles in (False, True):
        out = tmp_path / str(compiles)
        hardware = Hardware(torch.device("cpu"), compile=compiles)
        running.train([aura], config, out, cache=tmp_path / "cache", hardware=hardware)
        logs.append(read_log(out / "pose" / "log.csv")[-1])
    assert made == [True]
    for name in ("loss", "gradient"):
        assert float(logs[1][name]) == pytest.approx(float(logs[0][name]), rel=1e-4)
