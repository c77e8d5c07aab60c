"""Steps of a training that are watched: the run stays what it is, and a report tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from matchers.training.config import TrainConfig
from matchers.training.profiling import BACK, REPLAYED, WATCHED, StepProfiler, StepReport
from matchers.training.run import train
from matchers.training.trainer import PARTS, Hardware
from satgen.errors import InputError
from satgen.splits import SplitConfig
from tests.datasets import make

torch.set_num_threads(1)

CONFIG = TrainConfig(
    dim=16, layers=2, heads=2, batch=2, accumulate=1, max_keypoints=24, warmup=2, frames=8,
    versions=1, validate_every=100, steps=24, homography_steps=0, confidence_steps=1,
    validation_pairs=1, test_pairs=1, gaps=(1,), split=SplitConfig(guard_deg=3.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def aura(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aura") / "aura"
    return make(Path("aura"), folder, target="aura", start=3000, stop=3059, width=96, height=96)


def test_some_steps_are_told_of_and_the_run_is_the_same(aura: Path, tmp_path: Path) -> None:
    told: list[StepReport] = []
    trace = tmp_path / "trace.json"
    for name, profiler in (("plain", None), ("watched", StepProfiler(PARTS, told.append, trace))):
        train(
            [aura], CONFIG, tmp_path / name, cache=tmp_path / "cache",
            hardware=Hardware(torch.device("cpu")), profiler=profiler,
        )  # fmt: skip
    weights = [
        (tmp_path / n / "lightglue-sift.safetensors").read_bytes() for n in ("plain", "watched")
    ]
    assert weights[0] == weights[1]
    (report,) = told
    eager = tuple(name for name in PARTS if name != REPLAYED)
    assert report.steps == WATCHED and tuple(report.host_s) == eager
    assert all(spent > 0.0 for spent in report.host_s.values())
    assert sum(report.host_s.values()) < 1.05 * report.seconds
    text = str(report)
    assert all(f"  {name} " in text for name in eager) and "largest operations" in text
    names = {
        event["name"] for event in json.loads(trace.read_text())["traceEvents"] if "name" in event
    }
    assert set(eager) < names


def test_a_short_stage_is_told_of_as_far_as_it_goes() -> None:
    told: list[StepReport] = []
    profiler = StepProfiler(("one",), told.append)
    for step in range(4):
        profiler.before(step, 4)
        with torch.profiler.record_function("one"):
            torch.ones(3) @ torch.ones(3)
    profiler.end(4)
    assert [report.steps for report in told] == [4 - 2] and profiler.done
    profiler.before(0, 100)  # it watches once
    profiler.end(100)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ({"forward": 2.0, BACK: 0.0}, {"forward": 2.0, BACK: 8.0}),
        ({REPLAYED: 9.0}, {REPLAYED: 10.0}),
        ({REPLAYED: 0.0}, {REPLAYED: 10.0}),
        ({REPLAYED: 0.0, "forward": 1.0, BACK: 0.0}, {REPLAYED: 9.0, "forward": 1.0, BACK: 0.0}),
        ({REPLAYED: 6.0, "forward": 1.0, BACK: 0.0}, {REPLAYED: 6.0, "forward": 1.0, BACK: 3.0}),
    ],
)
def test_what_a_gpu_does_for_no_part_is_given_to_the_one_that_it_is_of(
    ranges: dict[str, float], expected: dict[str, float]
) -> None:
    def event(key: str, kind: str, spent: float) -> SimpleNamespace:
        return SimpleNamespace(
            key=key, device_type=f"DeviceType.{kind}", cpu_time_total=1e6, count=1,
            device_time_total=1e6 * spent, self_device_time_total=1e6 * spent,
        )  # fmt: skip

    events = [event(name, "CPU", spent) for name, spent in ranges.items()]
    events += [event("one", "CUDA", 7.0), event("other", "CUDA", 3.0)]
    # a range is shown on the GPU as well, which is no work of its own
    events += [event(name, "CUDA", 50.0) for name in ranges]
    profiler = StepProfiler(tuple(ranges), lambda report: None)
    watched: Any = SimpleNamespace(key_averages=lambda: events)
    report = profiler._report(watched, 1, 20.0)
    assert report.device_s == pytest.approx(expected)
    assert sum(report.device_s.values()) == pytest.approx(10.0)


@pytest.mark.parametrize("place", ["", "missing/trace.json"])
def test_a_trace_that_can_have_no_file_is_refused(tmp_path: Path, place: str) -> None:
    from matchers.training.api import profiler_for

    with pytest.raises(InputError, match=r"profile .*: must be a file in a folder that is there"):
        profiler_for(tmp_path / place)
    assert profiler_for(None) is None and list(tmp_path.iterdir()) == []
