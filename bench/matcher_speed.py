"""Matching speed beside other implementations: `python -m bench.matcher_speed`.

Every implementation matches the same features of the same rendered frames, taking turns, so that a
machine that is busy with other work slows all alike: read the ratios. LightGlue runs with the
official ALIKED weights everywhere; SuperGlue's speed does not depend on its weights, which are
random. Peak memory is what a process of its own takes over its size before.

kornia and transformers are in the extra `dev`. `--official` names a clone of cvg/LightGlue, and
`--official-superglue` one of magicleap/SuperGluePretrainedNetwork, to be run beside them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
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

if TYPE_CHECKING:
    import torch

    from matchers.types import Features

FRAMES = 5
"""Consecutive frames of the sequence, a degree apart."""

SIZE = 1024
"""Side of the frames that features are taken from: room for 2048 of them."""


@dataclass(frozen=True)
class Timing:
    """Times of one implementation on one task, milliseconds."""

    task: str
    name: str
    ms: tuple[float, ...]
    peak_mb: float | None = None

    @property
    def median(self) -> float:
        """Median time of the rounds."""
        return statistics.median(self.ms)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--points", multiple=True, type=int, help="Keypoints.  [default: 512 1024 2048]")
@click.option("--rounds", default=5, show_default=True, help="Turns that each one gets.")
@click.option("--threads", default=2, show_default=True, help="PyTorch's threads.")
@click.option("--official", type=click.Path(path_type=Path), help="A clone of cvg/LightGlue.")
@click.option(
    "--official-superglue",
    type=click.Path(path_type=Path),
    help="A clone of magicleap/SuperGluePretrainedNetwork.",
)
@click.option("--no-memory", is_flag=True, help="Leave the peak memory out.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@click.option("--memory-of", hidden=True, nargs=3, default=None)
def main(
    points: tuple[int, ...],
    rounds: int,
    threads: int,
    official: Path | None,
    official_superglue: Path | None,
    no_memory: bool,
    as_json: bool,
    memory_of: tuple[str, str, str] | None,
) -> None:
    """Time LightGlue, SuperGlue, the sequence matcher and ALIKED beside other implementations.

    Example: python -m bench.matcher_speed --points 512 --rounds 10
    """
    import torch

    torch.set_num_threads(threads)
    others = {"lightglue": official, "superglue": official_superglue}
    if memory_of is not None:
        task, name, folder = memory_of
        click.echo(_memory(task, name, Path(folder), others))
        return
    results: list[Timing] = []
    with tempfile.TemporaryDirectory() as scratch:
        frames = _frames(Path(scratch))
        for task, runs in _tasks(frames, points or (512, 1024, 2048), others):
            found = _measure(task, runs, rounds)
            if not no_memory:
                found = [_with_memory(r, frames, others, threads) for r in found]
            results += found
            if not as_json:
                click.echo(_lines(found))
    if as_json:
        click.echo(json.dumps([{**vars(r), "median_ms": r.median} for r in results]))


Runs = dict[str, Callable[[], Any]]


def _measure(task: str, runs: Runs, rounds: int) -> list[Timing]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return [Timing(task, name, tuple(ms)) for name, ms in times.items()]


def _lines(found: list[Timing]) -> str:
    """A block of the table; the first entry is ours."""
    ours = found[0].median
    lines = [found[0].task]
    for r in found:
        spread = f"{min(r.ms):.0f}-{max(r.ms):.0f}"
        memory = "" if r.peak_mb is None else f"{r.peak_mb:8.0f} MB"
        lines.append(
            f"  {r.name:<34}{r.median:9.1f} ms ({spread:>11}) {1e3 / r.median:8.2f}/s"
            f"{r.median / ours:8.2f}x{memory}"
        )
    return "\n".join(lines)


# -- what is measured --------------------------------------------------------------------------


def _tasks(
    folder: Path, points: tuple[int, ...], others: dict[str, Path | None]
) -> Iterator[tuple[str, Runs]]:
    kinds = ("lightglue full", "lightglue adaptive", "superglue", "sequence full")
    names = [f"{kind} {count}" for count in points for kind in (*kinds, "sequence adaptive")]
    for task in (*names, "images full 512", "aliked 512"):
        yield task, _runs(task, folder, others)


def _runs(task: str, folder: Path, others: dict[str, Path | None]) -> Runs:
    """The implementations of a task, ours first: name and what to call."""
    kind, *rest = task.split()
    if kind == "aliked":
        return _aliked_runs(folder)
    count = int(rest[-1])
    if kind == "superglue":
        return _superglue_runs(_features(folder, count), others["superglue"])
    adaptive = rest[0] == "adaptive"
    if kind == "images":
        return _image_runs(folder, count)
    features = _features(folder, count)
    if kind == "sequence":
        return _sequence_runs(features, adaptive, others["lightglue"])
    return _lightglue_runs(features[:2], adaptive, others["lightglue"])


def _lightglue_runs(features: list[Features], adaptive: bool, official: Path | None) -> Runs:
    ours, peers = _lightglue(adaptive, official)
    first, second = features
    runs: Runs = {"satgen": lambda: ours(first, second)}
    pair = as_dict(first, second)
    for name, peer in peers.items():
        runs[name] = without_gradients(partial(peer, pair))
    return runs


def _sequence_runs(features: list[Features], adaptive: bool, official: Path | None) -> Runs:
    """Consecutive frames, from features that are there."""
    from matchers.sequence import SequenceMatcher

    ours, peers = _lightglue(adaptive, official)
    matcher = SequenceMatcher(None, ours)
    pairs = [as_dict(a, b) for a, b in pairwise(features)]
    runs: Runs = {
        "satgen sequence": lambda: list(matcher.match_frames(features)),
        "satgen pairs": lambda: [ours(a, b) for a, b in pairwise(features)],
    }
    for name, peer in peers.items():
        runs[f"{name} pairs"] = without_gradients(partial(_each, peer, pairs))
    return runs


def _each(peer: Callable[[Any], Any], pairs: list[Any]) -> list[Any]:
    return [peer(pair) for pair in pairs]


def _image_runs(folder: Path, count: int) -> Runs:
    """Consecutive frames, from images: features once a frame, or once a pair as `match` has it."""
    from matchers.registry import load_features
    from matchers.sequence import SequenceMatcher
    from satgen.dataset import Dataset

    ours, _ = _lightglue(False, None)
    extractor = load_features("aliked", max_keypoints=count)
    data = Dataset(folder)
    images = [data.rgb(index) for index in data.indices.tolist()]
    matcher = SequenceMatcher(extractor, ours)

    def pair_by_pair() -> None:
        for a, b in pairwise(images):
            ours(extractor(a), extractor(b))

    return {
        "satgen sequence, from images": lambda: list(matcher.match_frames(images)),
        "satgen pairs, from images": pair_by_pair,
    }


def _superglue_runs(features: list[Features], official: Path | None) -> Runs:
    import torch
    from transformers.models.superglue.configuration_superglue import SuperGlueConfig as HFConfig
    from transformers.models.superglue.modeling_superglue import SuperGlueForKeypointMatching

    from matchers.superglue import SuperGlue, SuperGlueConfig

    torch.manual_seed(0)
    wide = [_widened(f) for f in features[:2]]
    first, second = wide
    ours = SuperGlue(SuperGlueConfig(sinkhorn_iterations=100)).eval()
    runs: Runs = {"satgen": lambda: ours(first, second)}

    hf: Any = SuperGlueForKeypointMatching(HFConfig(sinkhorn_iterations=100))
    hf.eval()
    keypoints = torch.stack([f.keypoints for f in wide])[None]
    descriptors = torch.stack([f.descriptors for f in wide])[None]
    scores = torch.stack([f.scores for f in wide])[None]

    def run_hf() -> Any:
        return hf._match_image_pair(keypoints, descriptors, scores, SIZE, SIZE)

    runs["transformers"] = without_gradients(run_hf)
    if official is not None:
        peer = _official_superglue(official)
        pair: dict[str, Any] = {}
        for i, f in enumerate(wide):
            pair |= {
                f"keypoints{i}": f.keypoints[None],
                f"descriptors{i}": f.descriptors.T[None].contiguous(),
                f"scores{i}": f.scores[None],
                f"image{i}": torch.zeros(1, 1, SIZE, SIZE),
            }
        runs["official"] = without_gradients(lambda: peer(pair))
    return runs


def _aliked_runs(folder: Path) -> Runs:
    """One 512 × 512 frame: ours, kornia's network with a naive deformable convolution, and kornia.

    The naive one is a `grid_sample` for each tap of the kernel.
    """
    import kornia.feature
    import torch

    from matchers.registry import load_features
    from matchers.weights import load
    from matchers.weights import official as official_weights
    from satgen.dataset import Dataset

    data = Dataset(folder)
    image = data.rgb(int(data.indices[0]))[::2, ::2].copy()
    extractor = load_features("aliked", weights="official", max_keypoints=512, device="cpu")
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255.0
    peer = kornia.feature.ALIKED("aliked-n16", 512)
    peer.load_state_dict(load(official_weights("aliked-n16.pth")), strict=False)
    peer.eval()
    module = sys.modules[type(peer).__module__]

    def naive(input: Any, offset: Any, weight: Any, bias: Any = None, **_: Any) -> Any:
        return naive_deform_conv2d(input, offset, weight, bias)

    def run_naive() -> Any:
        with mock.patch.object(module, "deform_conv2d", naive):
            return peer(pixels)

    return {
        "satgen": lambda: extractor(image),
        "naive deformable convolution": without_gradients(run_naive),
        "kornia": without_gradients(partial(peer, pixels)),
    }


def naive_deform_conv2d(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Deformable convolution as a loop over the kernel's taps, a `grid_sample` each.

    Arguments as `matchers.features.deform.deform_conv2d`.
    """
    import torch
    from torch.nn import functional

    _, _, height, width = x.shape
    size = weight.shape[-1]
    v, u = torch.meshgrid(
        torch.arange(height, dtype=x.dtype), torch.arange(width, dtype=x.dtype), indexing="ij"
    )
    total = x.new_zeros(1)
    for tap in range(size * size):
        down, right = divmod(tap, size)
        y = v + (down - size // 2) + offset[:, 2 * tap]
        z = u + (right - size // 2) + offset[:, 2 * tap + 1]
        grid = torch.stack([2 * z / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
        moved = functional.grid_sample(x, grid, align_corners=True)
        total = total + functional.conv2d(moved, weight[:, :, down, right, None, None])
    return total if bias is None else total + bias[:, None, None]


# -- implementations ---------------------------------------------------------------------------


def _lightglue(adaptive: bool, official: Path | None) -> tuple[Any, dict[str, Any]]:
    """Ours, and the others by name, all with the official ALIKED weights."""
    import kornia.feature

    from matchers.registry import load_matcher
    from matchers.weights import load
    from matchers.weights import official as official_weights

    depth, width = (0.95, 0.99) if adaptive else (-1, -1)
    ours = load_matcher(
        "lightglue",
        features="aliked",
        weights="official",
        device="cpu",
        depth_confidence=depth,
        width_confidence=width,
    )
    state = load(official_weights("aliked_lightglue.pth"))
    settings: dict[str, Any] = {"depth_confidence": depth, "width_confidence": width}
    peer = kornia.feature.LightGlue
    with mock.patch(f"{peer.__module__}.load_state_dict_from_url", return_value=dict(state)):
        peers = {"kornia": peer("aliked", **settings).eval()}
    if official is not None:
        module = module_of(official / "lightglue" / "lightglue.py", "official_lightglue")
        with mock.patch("torch.hub.load_state_dict_from_url", return_value=dict(state)):
            peers["official"] = module.LightGlue(features="aliked", **settings).eval()
    return ours, peers


def _official_superglue(clone: Path) -> Any:
    module = module_of(clone / "models" / "superglue.py", "official_superglue")
    with (
        mock.patch.object(module.torch, "load", return_value={}),
        mock.patch.object(module.SuperGlue, "load_state_dict"),
        contextlib.redirect_stdout(None),
    ):
        network = module.SuperGlue({"sinkhorn_iterations": 100}).eval()
    return network


def module_of(path: Path, name: str) -> Any:
    """The module in a file of a clone.

    Raises:
        click.UsageError: there is no such file.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise click.UsageError(f"{path}: no such file; name a clone of the repository")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_gradients(run: Callable[[], Any]) -> Callable[[], Any]:
    """The same in inference mode."""
    import torch

    def inference() -> Any:
        with torch.inference_mode():
            return run()

    return inference


# -- frames and features -----------------------------------------------------------------------


def _frames(folder: Path) -> Path:
    """A few consecutive frames of Aura."""
    from satgen.options import RenderOptions
    from satgen.run import render

    options = RenderOptions(target="aura", start=4000, stop=3999 + FRAMES, width=SIZE, height=SIZE)
    render(options, folder / "aura")
    return folder / "aura"


def _features(folder: Path, count: int) -> list[Features]:
    """The best `count` ALIKED features of each frame."""
    from matchers.registry import load_features
    from satgen.dataset import Dataset

    extractor = load_features("aliked", max_keypoints=count, detection_threshold=0.0)
    data = Dataset(folder)
    found = [extractor(data.rgb(index)) for index in data.indices.tolist()]
    short = min(len(f) for f in found)
    if short < count:
        raise click.ClickException(f"a frame has {short} keypoints only, {count} were asked for")
    return found


def _widened(features: Features) -> Features:
    """The features with descriptors of 256 numbers, as SuperGlue takes them."""
    from dataclasses import replace

    import torch

    return replace(features, descriptors=torch.cat([features.descriptors] * 2, 1) / 2**0.5)


def as_dict(first: Features, second: Features) -> dict[str, Any]:
    """A pair as kornia and the official code take it."""
    return {
        f"image{i}": {
            "keypoints": f.keypoints[None],
            "descriptors": f.descriptors[None],
            "image_size": f.image_size[None],
        }
        for i, f in enumerate((first, second))
    }


# -- memory ------------------------------------------------------------------------------------


def _with_memory(
    result: Timing, frames: Path, others: dict[str, Path | None], threads: int
) -> Timing:
    words = [sys.executable, "-m", "bench.matcher_speed", "--threads", str(threads)]
    for option, key in (("--official", "lightglue"), ("--official-superglue", "superglue")):
        if others[key] is not None:
            words += [option, str(others[key])]
    words += ["--memory-of", result.task, result.name, str(frames)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return Timing(result.task, result.name, result.ms, float(done.stdout.split()[-1]))


def _memory(task: str, name: str, frames: Path, others: dict[str, Path | None]) -> float:
    """Megabytes that a process grows by while an implementation runs three times."""
    import gc

    run = _runs(task, frames, others)[name]
    gc.collect()
    with contextlib.suppress(OSError):  # Linux: forget the peak so far
        Path("/proc/self/clear_refs").write_text("5")
    before = _resident_mb("VmRSS")
    for _ in range(3):
        run()
    return _resident_mb("VmHWM") - before


def _resident_mb(field: str) -> float:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024.0
    raise click.ClickException("peak memory needs Linux; use --no-memory")


if __name__ == "__main__":
    main()
