"""The network that is trained, what a stage trains of it, and figures of what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from matchers import weights
from matchers.specs import features_spec
from matchers.training.bank import PairSide, masks
from matchers.training.config import TrainConfig
from matchers.training.figures import Tally, stop_layers, tally
from matchers.training.spec import LossAndAssignment, TrainingSpec
from matchers.truth.batched import Labels
from satgen.errors import InputError


def build(config: TrainConfig, initial: Path | None = None) -> nn.Module:
    """The network to begin with, at nearest neighbours or at weights.

    Args:
        config: of the training, on which alone its weights depend without `initial`.
        initial: weights to begin with; of a deeper LightGlue the first layers.

    Raises:
        InputError: weights that cannot be read or do not fit; features of an unknown size.
    """
    training, features = config.training, features_spec(config.features)
    if features.descriptor_size is None:
        raise InputError(f"features {config.features!r}: must say their descriptor_size")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = training.build(config, features)
        training.start(model, features)
    if initial is not None:
        state = weights.load(initial)
        weights.check_purpose(initial, *config.purpose)
        try:
            training.load(model, state)
        except InputError as error:
            raise InputError(f"weights {initial}: {str(error)[:200]}") from None
    return model


def keep_full_precision(model: nn.Module, modules: tuple[str, ...], device_type: str) -> None:
    """Have some modules compute in float32 under autocast, as they do without.

    Args:
        model: has lists of modules of these names, which are changed.
        modules: their names.
        device_type: of the autocast.
    """
    for name, module in model.named_modules():
        owner, _, number = name.partition(".")
        if owner in modules and number.isdigit():
            module.forward = _widened(module.forward, device_type)


def _widened(forward: Callable[..., Any], device_type: str) -> Callable[..., Any]:
    """A module's forward without autocast, on float32."""

    def run(*inputs: Any) -> Any:
        wide = [x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs]
        with torch.autocast(device_type, enabled=False):
            return forward(*wide)

    return run


def trainable(model: nn.Module, training: TrainingSpec, stage: str) -> list[nn.Parameter]:
    """Freeze what a stage does not train; the rest."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(training.stage_trains(name, stage))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def measure(
    model: Any,
    training: TrainingSpec,
    result: LossAndAssignment,
    first: PairSide,
    second: PairSide,
    labels: Labels,
) -> Tally:
    """Figures of a batch; the stopping layer at the network's own α, without pruning."""
    mask0, mask1 = masks(first, second)
    stops = None
    if result.confidences is not None:
        alpha = model.config.depth_confidence
        stops = stop_layers(result.confidences, mask0, mask1, 1.0 if alpha is None else alpha)
    return tally(result.log_assignment, labels, training.threshold(model), mask0, mask1, stops)
