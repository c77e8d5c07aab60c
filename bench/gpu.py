"""Every figure of matching, extraction, training and rendering on a GPU: `python -m bench.gpu`.

One command, which needs no network, and ends within some minutes: what there is no time left for is
named as left out. Implementations of one task take turns on the same features of the same rendered
frames, so that a slow spell hits all alike: read the ratios. All have the weights that are bundled
for ALIKED, kornia's LightGlue and the authors' code as well. `--authors` names a clone of
cvg/LightGlue; compiled as its README says it is measured last, with ours compiled, at one size.

    python -m bench.gpu --json gpu.json
    python -m bench.gpu --device cpu --quick
"""

from __future__ import annotations

import contextlib
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import click

from bench.matcher_speed import Runs, as_dict, module_of, without_gradients
from satgen.processes import default_workers

if TYPE_CHECKING:
    import torch

    from matchers.training.profiling import StepProfiler
    from matchers.types import Features

ADAPTIVE = {"depth_confidence": 0.95, "width_confidence": 0.99}
FULL = {"depth_confidence": -1.0, "width_confidence": -1.0}
SECTIONS = ("match", "features", "bench", "train", "render", "compiled")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        points: numbers of keypoints.
        frames: consecutive ones that are matched, `large` pixels wide.
        sequence: consecutive ones for all else, `small` pixels wide.
        large, small: see there.
        rounds: in which runs take turns.
        pairs: of the benchmark, a gap.
        steps, batch: of the training, and pairs a step.
        rendered: frames for each worker.
    """

    points: tuple[int, ...] = (512, 1024, 2048)
    frames: int = 17
    sequence: int = 240
    large: int = 1024
    small: int = 512
    rounds: int = 7
    pairs: int = 120
    steps: int = 120
    batch: int = 32
    rendered: int = 100


QUICK = Scale((64,), 3, 40, 256, 160, 1, 1, 2, 2, 2)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", help="cpu, cuda or mps.  [default: the best there is]")
@click.option("--quick", is_flag=True, help="Little of everything: a proof that it runs.")
@click.option("--only", multiple=True, type=click.Choice(SECTIONS), help="May be given again.")
@click.option("--authors", type=click.Path(path_type=Path), help="A clone of cvg/LightGlue.")
@click.option("--seconds", default=330.0, show_default=True, help="Begin nothing after so many.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="File to write.")
def main(
    device: str | None,
    quick: bool,
    only: tuple[str, ...],
    authors: Path | None,
    seconds: float,
    out: Path | None,
) -> None:
    """Measure what a GPU makes of every part.

    Example: python -m bench.gpu --authors LightGlue --json gpu.json
    """
    import torch

    from matchers.registry import choose_device

    chosen, scale, began = choose_device(device), QUICK if quick else Scale(), time.monotonic()
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else platform.machine()
    result: dict[str, Any] = {
        "device": f"{chosen.type}: {name}",
        "torch": torch.__version__,
        "cores": default_workers(),
        "figures": {},
        "left_out": [],
    }
    click.echo(f"{result['device']}, torch {result['torch']}, {result['cores']} cores")
    with tempfile.TemporaryDirectory() as scratch:
        figures = GpuFigures(Path(scratch), chosen, scale, authors)
        for section in only or SECTIONS:
            for task, measure in getattr(figures, section)():
                if time.monotonic() - began > seconds:
                    result["left_out"].append(task)
                    continue
                try:
                    found = measure()
                except Exception as error:  # the others are still to be had
                    found = {"failed": f"{type(error).__name__}: {error}"[:300]}
                result["figures"][task] = found
                click.echo(f"{task}: {json.dumps(found)}")
    result["seconds"] = round(time.monotonic() - began, 1)
    if result["left_out"]:
        click.echo(f"no time for: {', '.join(result['left_out'])}")
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


Tasks = Iterator[tuple[str, Callable[[], dict[str, Any]]]]


class GpuFigures:
    """What is measured.

    Args:
        folder: for frames and runs.
        device: of the networks.
        scale: how much.
        authors: clone of the authors' code, or None.
    """

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        scale: Scale,
        authors: Path | None,
    ) -> None:
        self.folder, self.device, self.scale = folder, device, scale
        self.authors = authors

    # -- matching ------------------------------------------------------------------------------

    def match(self) -> Tasks:
        """Milliseconds a pair, and memory."""
        for count in self.scale.points:
            for adaptive in (False, True):
                how = "adaptive" if adaptive else "full"
                yield f"match {count} {how}", partial(self._match, count, adaptive)

    def compiled(self) -> Tasks:
        """The same of compiled code, at full depth and the middle size."""
        count = self.scale.points[len(self.scale.points) // 2]
        yield f"compiled {count} full", partial(self._match, count, False, True)

    def _match(self, count: int, adaptive: bool, compiled: bool = False) -> dict[str, Any]:
        features = self._features(count)
        runs = self._ours(features, adaptive, compiled)
        for name, peer in self._peers(adaptive, compiled).items():
            pairs = [as_dict(a, b) for a, b in pairwise(features)]
            runs[name] = without_gradients(partial(_each, peer, pairs))
        return self._measured(runs, len(features) - 1)

    def _ours(self, features: list[Features], adaptive: bool, compiled: bool) -> Runs:
        """Ours one by one and in batches, by type; compiled one by one alone."""
        from matchers.sequence import SequenceMatcher

        runs: Runs = {}
        for dtype in self._types():
            model = self._lightglue(adaptive, dtype)
            if compiled:
                model.compile(dynamic=False)
            word = f"satgen {dtype}{' compiled' if compiled else ''}"
            pairs = list(pairwise(features))
            runs[f"{word}, one by one"] = partial(_each_pair, model, pairs)
            for size in () if compiled else (8, 16):
                matcher = SequenceMatcher(None, model, batch_size=size)
                runs[f"{word}, sequence, batch {size}"] = partial(_all, matcher, features)
        return runs

    def _lightglue(self, adaptive: bool, dtype: str) -> Any:
        """LightGlue as it is bundled for ALIKED."""
        from matchers.registry import load_matcher

        options: dict[str, Any] = ADAPTIVE if adaptive else FULL
        return load_matcher(
            "lightglue", features="aliked", device=self.device, dtype=dtype, **options
        )

    def _peers(self, adaptive: bool, compiled: bool) -> dict[str, Any]:
        """Kornia's LightGlue, and the authors'; compiled the latter alone."""
        from matchers.registry import find_weights
        from matchers.weights import load

        file = find_weights("lightglue", "aliked", "satgen")
        state = {name: value.float() for name, value in load(file).items()}
        layers = len({name.split(".")[1] for name in state if name.startswith("transformers.")})
        settings: dict[str, Any] = (ADAPTIVE if adaptive else FULL) | {"n_layers": layers}
        found: dict[str, Any] = {}
        if not compiled:
            with contextlib.suppress(ImportError):
                import kornia.feature

                peer = kornia.feature.LightGlue
                with mock.patch(
                    f"{peer.__module__}.load_state_dict_from_url", return_value=dict(state)
                ):
                    found["kornia"] = peer("aliked", **settings).eval().to(self.device)
        if self.authors is not None:
            module = module_of(self.authors / "lightglue" / "lightglue.py", "official_lightglue")
            with mock.patch("torch.hub.load_state_dict_from_url", return_value=dict(state)):
                theirs = module.LightGlue(features="aliked", **settings).eval().to(self.device)
            if compiled:
                theirs.compile(mode="reduce-overhead")
            found["authors"] = theirs
        return found

    # -- features ------------------------------------------------------------------------------

    def features(self) -> Tasks:
        """Milliseconds an image."""
        for features in ("aliked", "sift"):
            yield f"{features} for training", partial(self._versions, features)
        for dtype in self._types():
            yield f"aliked {dtype} {self.scale.small} px", partial(self._extraction, dtype)

    def _types(self) -> tuple[str, ...]:
        return ("float32", "float16") if self.device.type == "cuda" else ("float32",)

    def _extraction(self, dtype: str) -> dict[str, Any]:
        from matchers.registry import load_features

        data = self._frames(self.scale.small)
        images = [data.rgb(index) for index in data.indices.tolist()[: 2 * self.scale.frames]]
        extractor: Any = load_features("aliked", max_keypoints=512, device=self.device, dtype=dtype)
        runs: Runs = {"one by one": lambda: [extractor(image) for image in images]}
        for size in (4, 16):
            starts = range(0, len(images), size)
            runs[f"batches of {size}"] = partial(
                _batches, extractor, [images[i : i + size] for i in starts]
            )
        return self._measured(runs, len(images))

    def _versions(self, features: str) -> dict[str, Any]:
        """Images a second, read, changed and rolled by workers, as training wants them."""
        from matchers.training.cache import CacheConfig, fill

        data = self._frames(self.scale.small)
        config = CacheConfig(features)
        indices = data.indices.tolist()
        began = time.perf_counter()
        fill(data, indices, config, self.folder / "versions", device=self.device)
        seconds = time.perf_counter() - began
        return {"images_a_second": round(len(indices) * config.versions / seconds, 1)}

    # -- the benchmark, training, rendering -----------------------------------------------------

    def bench(self) -> Tasks:
        """Pairs a second with poses."""
        for workers in dict.fromkeys((max(1, default_workers() - 1), 0)):
            yield f"bench, {workers} workers", partial(self._bench, workers)

    def _bench(self, workers: int) -> dict[str, Any]:
        from bench.config import BenchConfig
        from bench.plan import plan
        from bench.run import run

        config = BenchConfig(
            features=("aliked",), gaps=(1, 2), pairs_per_gap=self.scale.pairs, repeats=1,
            device=str(self.device),
        )  # fmt: skip
        planned = plan(config, [self._frames(self.scale.small).folder])
        seen: list[float] = []
        run(
            planned, self.folder / f"bench-{workers}", workers=workers,
            progress=lambda done, total: seen.append(time.perf_counter()),
        )  # fmt: skip
        taken = seen[-1] - seen[0]
        return {
            "pairs_a_second": round(len(planned.pairs) / taken, 2),
            "first_pair_s": round(seen[min(1, len(seen) - 1)] - seen[0], 2),
        }

    def train(self) -> Tasks:
        """Steps a second, and where a step's time goes."""
        yield "train lightglue on aliked", self._train

    def _train(self) -> dict[str, Any]:
        from matchers.training.profiling import SKIPPED, WATCHED, StepProfiler, StepReport
        from matchers.training.trainer import PARTS

        steps = self.scale.steps
        times: list[tuple[int, float]] = []
        self._trained("rate", steps, _step_clock(self.device, times))
        (first, began), (last, ended) = times
        told: list[StepReport] = []
        # another one is watched, which takes time
        watched = min(steps, SKIPPED + WATCHED)
        stages = self._trained("watched", watched, StepProfiler(PARTS, told.append))
        (report,) = told
        spent = report.device_s or report.host_s
        busy_s = sum(report.device_s.values()) / report.steps
        rate = (last - first) / (ended - began)
        return {
            "steps_a_second": round(rate, 2),
            "step_ms": round(1e3 / rate, 2),
            "device_ms": round(1e3 * busy_s, 2),
            "pairs_a_step": self.scale.batch,
            "shares": {k: round(v / sum(spent.values()), 3) for k, v in spent.items()},
            "device_busy": round(busy_s * rate, 3),
            "waits_a_step": report.waits / report.steps,
            "operations_ms": {
                name[:60]: round(1e3 * s / report.steps, 3) for name, _, s in report.operations
            },
            "stages": stages,
        }

    def _trained(self, name: str, steps: int, profiler: StepProfiler) -> list[str]:
        """Train so many steps of the stage "pose", watched; the stages that were run."""
        from matchers.training.config import TrainConfig
        from matchers.training.run import train
        from matchers.training.trainer import Hardware

        config = TrainConfig(
            features="aliked", homography_steps=0, steps=steps, confidence_steps=1, layers=5,
            dim=256, batch=self.scale.batch, accumulate=1, gaps=(1,), warmup=1,
            validate_every=10 * steps, validation_pairs=1, test_pairs=1, versions=2,
        )  # fmt: skip
        summary = train(
            [self._frames(self.scale.small).folder], config, self.folder / f"train-{name}",
            cache=self.folder / "cache",
            hardware=Hardware(self.device, mixed=self.device.type == "cuda"),
            profiler=profiler,
        )  # fmt: skip
        return list(summary.stages)

    def render(self) -> Tasks:
        """Frames a second by workers."""
        cores = default_workers()
        for workers in sorted({0, max(1, cores // 2), cores, cores * 9 // 8}):
            yield f"render, {workers} workers", partial(self._render, workers)

    def _render(self, workers: int) -> dict[str, Any]:
        from satgen.options import RenderOptions
        from satgen.run import render

        count, side = self.scale.rendered * max(1, workers), self.scale.small
        options = RenderOptions(
            target="aura", start=4000, stop=3999 + count, width=side, height=side
        )
        began = time.perf_counter()
        render(options, self.folder / f"render-{workers}", workers=workers)
        return {"frames_a_second": round(count / (time.perf_counter() - began), 2)}

    # -- frames, and time ------------------------------------------------------------------------

    def _frames(self, side: int) -> Any:
        """Consecutive frames of Aura, rendered once."""
        from satgen.dataset import Dataset
        from satgen.options import RenderOptions
        from satgen.run import render

        count = self.scale.frames if side == self.scale.large else self.scale.sequence
        folder = self.folder / f"aura-{side}"
        if not folder.exists():
            options = RenderOptions(
                target="aura", start=4000, stop=3999 + count, width=side, height=side
            )
            render(options, folder)
        return Dataset(folder)

    def _features(self, count: int) -> list[Features]:
        """The best `count` ALIKED features of each frame."""
        from matchers.registry import load_features

        extractor = load_features(
            "aliked", max_keypoints=count, device=self.device, detection_threshold=0.0
        )
        data = self._frames(self.scale.large)
        return [extractor(data.rgb(index)) for index in data.indices.tolist()]

    def _measured(self, runs: Runs, count: int) -> dict[str, Any]:
        """Median milliseconds for one of `count`, of runs that take turns, and peak memory."""
        import torch

        from matchers.clock import timed

        on_gpu = self.device.type == "cuda"
        found: dict[str, Any] = {}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for name, run in runs.items():
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(self.device)
            began = time.perf_counter()
            run()
            found[name] = {"first_s": round(time.perf_counter() - began, 2)}
            run()
            if on_gpu:
                found[name]["peak_mb"] = torch.cuda.max_memory_allocated(self.device) >> 20
        for _ in range(self.scale.rounds):
            for name, run in runs.items():
                times[name].append(1e3 * timed(run, self.device)[1] / count)
        for name, ms in times.items():
            found[name]["ms"] = round(statistics.median(ms), 3)
        return found


def _step_clock(device: torch.device, times: list[tuple[int, float]]) -> StepProfiler:
    """Notes when the second half of a stage's steps begins and ends: numbers of steps, seconds."""
    from matchers.clock import synchronise
    from matchers.training.profiling import StepProfiler

    class Clock(StepProfiler):
        def before(self, step: int, steps: int) -> None:
            if not times and step >= steps // 2:
                self._note(step)

        def end(self, step: int) -> None:
            if len(times) == 1:
                self._note(step)

        def _note(self, step: int) -> None:
            synchronise(device)
            times.append((step, time.perf_counter()))

    return Clock((), lambda report: None)


def _each(peer: Callable[[Any], Any], pairs: list[Any]) -> list[Any]:
    return [peer(pair) for pair in pairs]


def _each_pair(matcher: Any, pairs: list[tuple[Features, Features]]) -> list[Any]:
    return [matcher(a, b) for a, b in pairs]


def _all(matcher: Any, features: list[Features]) -> list[Any]:
    return list(matcher.match_frames(features))


def _batches(extractor: Any, batches: list[list[Any]]) -> list[Any]:
    return [features for images in batches for features in extractor.extract(images)]


if __name__ == "__main__":
    main()
