"""One stage of a training: steps, validation, checkpoints, and going on where it was stopped.

What a step does follows from the configuration and the step's number alone: its pairs are drawn
from (seed, stage, step), its learning rate is a function of the step, and no other draw is made.
With the weights, the optimiser's state and the counters of a checkpoint a run goes on to the same
losses, on the CPU to the last bit.

A GPU is not waited for: while it goes a step, a thread prepares the next one's pairs, and losses
are read when the step after has been handed over, or where a line of the log or a file needs them.
"""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from matchers import weights
from matchers.clock import synchronise
from matchers.precision import products
from matchers.training import checkpoint
from matchers.training.bank import PairSide
from matchers.training.config import TrainConfig
from matchers.training.figures import Tally
from matchers.training.objectives import measure, trainable
from matchers.training.profiling import BACK, REPLAYED, StepProfiler
from matchers.training.replay import StepGraphs
from matchers.training.spec import LossAndAssignment
from matchers.training.validation import Validation
from matchers.truth.batched import Labels
from satgen.errors import RunError

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
LOG, VALIDATION = "log.csv", "validation.csv"

PARTS = ("pairs and labels", "forward", BACK, REPLAYED, "optimiser")
"""Parts of a step, as `torch.profiler` tells of them: a batch goes forward and backward either by
itself or by a graph."""

LOG_EVERY = 10
"""Steps that a line of the log is about."""

_TIMED_FROM, _TIMED, _TIMED_AT_MOST = 2, 5, 40
"""Steps that are gone to warm up, that are timed, and that are gone in all at most until there are
so many without a graph to be made, before a schedule is laid out."""

COLUMNS = (
    "step", "learning_rate", "loss", "precision", "recall", "stop_layer", "gradient", "angle_deg",
    "seconds",
)  # fmt: skip
"""Columns of the log: means over the steps since the last line; precision, recall and stopping
layer of the last step; the gradient's norm before clipping; seconds of work."""


@dataclass(frozen=True)
class Hardware:
    """How the steps are computed: rounding apart, nothing of it changes them.

    Attributes:
        device: cpu or cuda. On cuda products of float32 are made of TF32 (10 bits of mantissa),
            and sums in any order.
        mixed: bfloat16 where it is safe, by autocast; of LightGlue only. A CPU gains by it that
            multiplies bfloat16 in hardware (AVX-512 BF16, AMX).
        compile: try `torch.compile`, and keep it if that makes steps faster.
        save_seconds: between checkpoints.
        workers: processes that make frames ready for the extractor, see
            `matchers.training.cache.fill`.
        graphs: whether batches are replayed as graphs (`matchers.training.replay`); None: on CUDA
            they are.
    """

    device: torch.device
    mixed: bool = False
    compile: bool = False
    save_seconds: float = 120.0
    workers: int | None = None
    graphs: bool | None = None

    @property
    def replays(self) -> bool:
        """Whether graphs are used."""
        return self.device.type == "cuda" if self.graphs is None else self.graphs

    @property
    def behind(self) -> int:
        """Steps whose loss may not have been looked at when the next one begins."""
        return 0 if self.device.type == "cpu" else 1

    def autocast(self, kept: bool = True) -> AbstractContextManager[Any]:
        """Mixed precision, if it is wanted; `kept`: parameters are cast once."""
        if not self.mixed:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=kept)


class Batch(NamedTuple):
    """B pairs of images with their labels."""

    side0: PairSide
    side1: PairSide
    labels: Labels
    angle_deg: float


Draft = Callable[[], Batch]
"""A batch for which the host has done its part: calling it has the device do the rest."""

Batches = Callable[[int, float], Sequence[Draft]]
"""The batches of a step, of equal weight, from its number and the share of steps before it. It may
be called by another thread, while the device is at work."""


@dataclass
class _Progress:
    """Counters of a stage, which go into its checkpoints."""

    step: int = 0
    seconds: float = 0.0
    best: float = -float("inf")
    best_step: int = 0
    since_best: int = 0
    validated: int = 0
    losses: float = 0.0
    gradients: float = 0.0
    angles: float = 0.0
    count: int = 0
    done: bool = False


@dataclass(frozen=True)
class StageResult:
    """How a stage ended: steps run, those of the best weights, their score, and seconds of work."""

    steps: int
    best_step: int
    best: float
    seconds: float


def run_stage(
    model: nn.Module,
    stage: str,
    config: TrainConfig,
    batches: Batches,
    validate: Callable[[nn.Module, str], Validation],
    folder: Path,
    hardware: Hardware,
    progress: Callable[[int, int], None] | None = None,
    profiler: StepProfiler | None = None,
) -> StageResult:
    """Train a stage, from its checkpoint if there is one; the model ends with the best weights.

    Args:
        model: with the weights to begin with, on the device.
        stage: one of `STAGES`.
        config: of the training.
        batches: of the stage.
        validate: evaluates the model on the validation pairs.
        folder: of the stage, made if need be.
        hardware: how to compute.
        progress: called with steps done and in all.
        profiler: watches some of the steps.

    Raises:
        RunError: a file cannot be read or written, or the loss is not finite.
        KeyboardInterrupt: stopped by a signal; the last whole step was saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = config.stage_steps(stage)
    parameters = trainable(model, config.training, stage)
    decayed = config.weight_decay if config.training.decayed else 0.0
    optimiser = torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=decayed, fused=True
    )
    counters = _Progress()
    state = checkpoint.load(folder / CHECKPOINT)
    if state is not None:
        model.load_state_dict(state["model"])
        for group in state["optimiser"]["param_groups"]:
            group["fused"] = True  # as another version may not have had it
        optimiser.load_state_dict(state["optimiser"])
        counters = _Progress(**state["counters"])
    if counters.done:
        return _finish(model, folder, counters)

    logs = (
        checkpoint.Log(folder / LOG, COLUMNS, counters.step),
        checkpoint.Log(folder / VALIDATION, Validation.columns(config.gaps), counters.validated),
    )
    began, saved = time.monotonic() - counters.seconds, time.monotonic()

    def save() -> None:
        step.settle()
        counters.seconds = time.monotonic() - began
        checkpoint.save(
            folder / CHECKPOINT,
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "counters": vars(counters).copy(),
            },
        )

    step = _Step(model, stage, config, batches, parameters, optimiser, counters, hardware)
    try:
        with _arithmetic(hardware.device), _Stop() as stop:
            try:
                while not counters.done:
                    if progress:
                        progress(counters.step, steps)
                    if _due(counters, config, steps):
                        step.settle()
                        if profiler:
                            profiler.end(counters.step)
                        found = validate(model, stage)
                        with stop.later():
                            logs[1].add(found.row(counters.step, config.gaps))
                            _keep_best(model, config, found.score(stage), folder, counters)
                            counters.validated = counters.step
                            counters.done = counters.step == steps
                            counters.done |= counters.since_best >= config.patience
                    else:
                        if profiler:
                            profiler.before(counters.step, steps)
                        tally = step.gradients()
                        with stop.later():
                            step.take()
                            if counters.step % LOG_EVERY == 0 or counters.step == steps:
                                step.settle()
                                counters.seconds = time.monotonic() - began
                                logs[0].add(_line(config, stage, counters, tally))
                                counters.losses = counters.gradients = counters.angles = 0.0
                                counters.count = 0
                    if counters.done or time.monotonic() - saved >= hardware.save_seconds:
                        with stop.later():
                            save()
                        saved = time.monotonic()
            except KeyboardInterrupt:
                with stop.later():
                    step.forget()
                    save()
                raise
    finally:
        step.close()
        for log in logs:
            log.close()
    if progress:
        progress(steps, steps)
    return _finish(model, folder, counters)


def step_seconds(
    model: nn.Module, stage: str, config: TrainConfig, batches: Batches, hardware: Hardware
) -> float:
    """About how long a step takes: the median of some, whose gradients are thrown away.

    Args:
        model, stage, config, batches, hardware: see `run_stage`.

    Raises:
        RunError: the loss is not finite.
    """
    parameters = trainable(model, config.training, stage)
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate)
    counters = _Progress()
    step = _Step(model, stage, config, batches, parameters, optimiser, counters, hardware)
    times: list[float] = []
    settled: list[float] = []
    try:
        with _arithmetic(hardware.device):
            while len(settled) < _TIMED and len(times) < _TIMED_AT_MOST:
                began = time.perf_counter()
                counters.step = len(times) % config.stage_steps(stage)
                step.gradients()
                step.forget()
                synchronise(hardware.device)
                times.append(time.perf_counter() - began)
                if step.settled and len(times) > _TIMED_FROM:
                    settled.append(times[-1])
    finally:
        step.close()
    optimiser.zero_grad(set_to_none=True)
    return statistics.median(settled or times[-_TIMED:])


def _due(counters: _Progress, config: TrainConfig, steps: int) -> bool:
    """Whether it is time to validate."""
    if counters.step == counters.validated:
        return False
    return counters.step % config.validate_every == 0 or counters.step == steps


class _Step:
    """The steps of the optimiser, each in two halves: what may be broken off, and what may not."""

    def __init__(
        self,
        model: nn.Module,
        stage: str,
        config: TrainConfig,
        batches: Batches,
        parameters: list[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        counters: _Progress,
        hardware: Hardware,
    ) -> None:
        self._model, self._stage, self._config = model, stage, config
        self._parameters, self._optimiser = parameters, optimiser
        self._counters, self._hardware = counters, hardware
        self._drafts = _Ahead(batches, config.stage_steps(stage))
        self._buffers: list[Tensor] = []
        self._figures: _Figures | None = None
        self._unread: deque[_Figures] = deque()
        self._graphs: StepGraphs | None = None
        if hardware.replays:
            autocast = partial(hardware.autocast, kept=False)
            self._graphs = StepGraphs(model, config.training, stage, parameters, autocast)
        self.settled = True

    def gradients(self) -> Tally:
        """The next step's gradients; figures of its pairs where a line of the log is due."""
        model, stage, config = self._model, self._stage, self._config
        step, steps = self._counters.step, config.stage_steps(stage)
        for group in self._optimiser.param_groups:
            group["lr"] = config.rate(stage, step)
        model.train()
        # running means move in the forward pass
        self._buffers = [value.clone() for value in model.buffers()]
        self._optimiser.zero_grad(set_to_none=True)
        training = config.training
        losses, angles = [], []
        tally = Tally()
        self.settled = True
        due = (step + 1) % LOG_EVERY == 0 or step + 1 == steps
        with record_function(PARTS[0]):
            drafts = self._drafts(step)
        for draft in drafts:
            with record_function(PARTS[0]):
                batch = draft()
            outcome = self._backward(batch, len(drafts))
            losses.append(outcome.loss.detach())
            angles.append(batch.angle_deg)
            if due:
                tally += measure(model, training, outcome, batch.side0, batch.side1, batch.labels)
            del outcome  # a graph cannot be captured beside what another one's gradients hang on
        with record_function(PARTS[-1]):
            norm = torch.nn.utils.clip_grad_norm_(self._parameters, config.clip)
        self._figures = _Figures(step, torch.stack([torch.stack(losses).mean(), norm]), angles)
        if not self._hardware.behind:
            self._read(self._figures)
        return tally

    def take(self) -> None:
        """Go the step and count it."""
        assert self._figures is not None
        with record_function(PARTS[-1]):
            self._optimiser.step()
        self._buffers = []
        self._counters.step += 1
        self._unread.append(self._figures)
        self._figures = None
        self.settle(self._hardware.behind)

    def settle(self, left: int = 0) -> None:
        """Count the figures of all steps taken but the last few.

        Raises:
            RunError: one of them is not finite.
        """
        while len(self._unread) > left:
            figures = self._unread.popleft()
            loss, norm = self._read(figures)
            counters = self._counters
            counters.losses += loss
            counters.gradients += norm
            counters.angles += figures.angle_deg
            counters.count += 1

    def forget(self) -> None:
        """Undo what a step that was broken off has changed."""
        for value, before in zip(self._model.buffers(), self._buffers, strict=False):
            value.copy_(before)

    def close(self) -> None:
        """End the thread that prepares steps, and free what the steps took."""
        self._drafts.close()
        if self._graphs is not None:
            self._graphs.close()

    def _backward(self, batch: Batch, count: int) -> LossAndAssignment:
        """Add the gradients of a batch, one of so many."""
        sides = batch.side0, batch.side1, batch.labels
        if self._graphs is not None:
            replayed = self._graphs.gradients(*sides, count)
            self.settled &= self._graphs.settled
            if replayed is not None:
                return replayed
        with record_function(PARTS[1]), self._hardware.autocast():
            outcome = self._config.training.objective(self._model, *sides, self._stage)
        with record_function(PARTS[2]):
            (outcome.loss / count).backward()  # type: ignore[no-untyped-call]
        return outcome

    def _read(self, figures: _Figures) -> tuple[float, float]:
        """The loss of a step and its gradient's norm."""
        loss, norm = figures.read()
        if not (abs(loss) < float("inf") and norm < float("inf")):
            raise RunError(
                f"stage {self._stage}, step {figures.step}: the loss is {loss:g}, its gradient "
                f"{norm:g}: a smaller --lr, or another --seed, may help"
            )
        return loss, norm


class _Figures:
    """Loss and norm of the gradient of a step, (2,), on their way from the device."""

    def __init__(self, step: int, values: Tensor, angles_deg: Sequence[float]) -> None:
        self.step, self.angle_deg = step, statistics.fmean(angles_deg)
        self._there: torch.cuda.Event | None = None
        self._values = values
        if values.is_cuda:
            self._values = torch.empty(2, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()

    def read(self) -> tuple[float, float]:
        """Both numbers, once they are there."""
        if self._there is not None:
            self._there.synchronize()
        loss, norm = self._values.tolist()
        return loss, norm


class _Ahead:
    """Drafts of each step's batches; the next step's are made by a thread meanwhile."""

    def __init__(self, batches: Batches, steps: int) -> None:
        self._batches, self._steps = batches, steps
        self._pool = ThreadPoolExecutor(1, "drafts")
        self._next: tuple[int, Future[Sequence[Draft]]] | None = None

    def __call__(self, step: int) -> Sequence[Draft]:
        """The drafts of a step."""
        ahead, self._next = self._next, None
        known = ahead is not None and ahead[0] == step
        drafts = ahead[1].result() if ahead is not None and known else self._draft(step)
        if step + 1 < self._steps:
            self._next = step + 1, self._pool.submit(self._draft, step + 1)
        return drafts

    def close(self) -> None:
        """Wait for the thread to end."""
        self._pool.shutdown(cancel_futures=True)

    def _draft(self, step: int) -> Sequence[Draft]:
        return self._batches(step, step / self._steps)


def _line(config: TrainConfig, stage: str, counters: _Progress, tally: Tally) -> dict[str, Any]:
    count = max(counters.count, 1)
    return {
        "step": counters.step,
        "learning_rate": config.rate(stage, counters.step - 1),
        "loss": counters.losses / count,
        "precision": tally.precision,
        "recall": tally.recall,
        "stop_layer": tally.stop_layer,
        "gradient": counters.gradients / count,
        "angle_deg": counters.angles / count,
        "seconds": round(counters.seconds, 1),
    }


def _keep_best(
    model: nn.Module, config: TrainConfig, score: float, folder: Path, counters: _Progress
) -> None:
    if score > counters.best or not (folder / BEST).is_file():
        counters.best, counters.best_step, counters.since_best = score, counters.step, 0
        checkpoint.save_weights(folder / BEST, model.state_dict(), config.purpose)
    else:
        counters.since_best += 1


def _finish(model: nn.Module, folder: Path, counters: _Progress) -> StageResult:
    model.load_state_dict(weights.load(folder / BEST))
    model.eval()
    return StageResult(counters.step, counters.best_step, counters.best, counters.seconds)


@contextmanager
def _arithmetic(device: torch.device) -> Iterator[None]:
    """On a CPU, algorithms whose results do not depend on the order in which threads finish; on a
    GPU, where those are slow, TF32 for products of float32."""
    if device.type != "cpu":
        with products(device, "high"):
            yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _fills(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    _fills(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        _fills(before[2])


def _fills(value: bool | None = None) -> bool:
    """Whether PyTorch fills new memory in deterministic mode, which costs time; `value`: set it."""
    from torch.utils import deterministic

    settings: Any = deterministic
    if value is not None:
        settings.fill_uninitialized_memory = value
    return bool(settings.fill_uninitialized_memory)


class _Stop(AbstractContextManager["_Stop"]):
    """Answers Ctrl-C and SIGTERM with KeyboardInterrupt: at once, or after what must stay whole."""

    def __init__(self) -> None:
        self._came = False
        self._held = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._answer)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _answer(self, number: int, frame: Any) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._came = True

    @contextmanager
    def later(self) -> Iterator[None]:
        """In the `with` block, Ctrl-C is held back and answered at its end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._came and not self._held:
            self._came = False
            raise KeyboardInterrupt
