"""Where the time of a training's steps goes: some of them watched by `torch.profiler`.

The steps that are watched are the run's own, which they do not change; the first ones, in which
memory is found, code compiled and graphs captured, are let pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from satgen.errors import RunError

SKIPPED, WATCHED = 30, 10
"""Steps that pass before, and that are watched."""

LISTED = 12
"""Operations that a report names."""

BACK = "backward"
"""The part whose operations a thread of its own hands over to a GPU."""

REPLAYED = "forward and backward"
"""The part whose operations a graph hands over to a GPU."""

_WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")
"""Calls in which the host waits for a GPU."""


@dataclass(frozen=True)
class StepReport:
    """What some steps spent their time on; seconds are of all of them.

    Attributes:
        steps: that were watched.
        seconds: that they took.
        host_s: by part, of the host.
        device_s: by part, of a GPU; empty without one. What no other part gave to it, `BACK` did;
            or `REPLAYED`, where nothing says which operations were a graph's.
        waits: times that the host waited for the GPU.
        operations: the largest ones: name, calls, and seconds of the GPU, or of the CPU without
            one.
    """

    steps: int
    seconds: float
    host_s: dict[str, float]
    device_s: dict[str, float] = field(default_factory=dict)
    waits: int = 0
    operations: Sequence[tuple[str, int, float]] = ()

    def __str__(self) -> str:
        each = 1e3 / self.steps
        lines = [
            f"{self.steps} steps of {each * self.seconds:.2f} ms, {self.steps / self.seconds:.1f} "
            "a second"
        ]
        device = sum(self.device_s.values())
        rest = {"the rest": self.seconds - sum(self.host_s.values())}
        for name, host in (self.host_s | rest).items():
            line = f"  {name:<18} {each * host:9.3f} ms {100.0 * host / self.seconds:5.1f} %"
            if device:
                spent = self.device_s.get(name, 0.0)
                line += f"   on the GPU {each * spent:9.3f} ms {100.0 * spent / device:5.1f} %"
            lines.append(line)
        if device:
            lines.append(
                f"  the GPU is at work {100.0 * device / self.seconds:.1f} % of the time, and is "
                f"waited for {self.waits / self.steps:g} times a step"
            )
        lines.append(f"largest operations, ms a step on the {'GPU' if device else 'CPU'}:")
        for name, calls, seconds in self.operations:
            lines.append(f"  {each * seconds:9.3f} {calls / self.steps:7.1f} calls  {name[:100]}")
        return "\n".join(lines)


class StepProfiler:
    """Watches steps of a training, once, and tells where their time went.

    Args:
        parts: names of the ranges (`torch.profiler.record_function`) that a step is made of.
        tell: takes the report.
        trace: file for Chrome's trace viewer (chrome://tracing, ui.perfetto.dev), or None.
    """

    def __init__(
        self,
        parts: Sequence[str],
        tell: Callable[[StepReport], None],
        trace: Path | None = None,
    ) -> None:
        self._parts, self._tell, self._trace = tuple(parts), tell, trace
        self._profile: profile | None = None
        self._began = 0.0
        self._step = 0
        self.done = False

    def before(self, step: int, steps: int) -> None:
        """Called before a step of a stage, of so many: begins and ends where it is time to."""
        if self.done:
            return
        if self._profile is None:
            # at the latest, so that there is something to tell of a short stage as well
            if step >= min(SKIPPED, max(steps - WATCHED, steps // 2)):
                self._begin(step)
        elif step - self._step >= WATCHED:
            self.end(step)

    def end(self, step: int) -> None:
        """Stop watching, before a step, and tell.

        Raises:
            RunError: the trace cannot be written.
        """
        if self._profile is None:
            return
        _finish()
        watched, self._profile = self._profile, None
        watched.stop()
        self.done = step > self._step
        if not self.done:
            return
        seconds = time.perf_counter() - self._began
        self._tell(self._report(watched, step - self._step, seconds))
        if self._trace is not None:
            try:
                watched.export_chrome_trace(str(self._trace))
            except (OSError, RuntimeError) as error:
                raise RunError(f"profile {self._trace}: cannot be written ({error})") from None

    def _begin(self, step: int) -> None:
        kinds = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            kinds.append(ProfilerActivity.CUDA)
        self._profile = profile(activities=kinds)
        self._profile.start()
        _finish()
        self._step, self._began = step, time.perf_counter()

    def _report(self, watched: profile, steps: int, seconds: float) -> StepReport:
        events = [event for event in watched.key_averages() if event.key not in self._parts]
        ranges = {
            event.key: event
            for event in watched.key_averages()
            if event.key in self._parts and not _on_gpu(event)
        }
        kernels = [event for event in events if _on_gpu(event)]
        host = {name: ranges[name].cpu_time_total / 1e6 for name in self._parts if name in ranges}
        device: dict[str, float] = {}
        if kernels:
            device = {name: ranges[name].device_time_total / 1e6 for name in host}
            told = BACK in device and device.get(REPLAYED, 0.0) > 0.0
            untold = REPLAYED if REPLAYED in device and not told else BACK
            others = sum(spent for name, spent in device.items() if name != untold)
            whole = sum(event.self_device_time_total for event in kernels) / 1e6
            device[untold] = max(whole - others, 0.0)
        largest = [
            (event.key, event.count, event.self_device_time_total / 1e6) for event in kernels
        ] or [(event.key, event.count, event.self_cpu_time_total / 1e6) for event in events]
        return StepReport(
            steps,
            seconds,
            host,
            device,
            sum(event.count for event in events if event.key in _WAITS),
            sorted(largest, key=lambda operation: -operation[2])[:LISTED],
        )


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _on_gpu(event: Any) -> bool:
    """Whether an event is work of the GPU itself."""
    return "CUDA" in str(event.device_type)
