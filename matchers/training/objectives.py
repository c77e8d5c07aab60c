"""The networks that are trained, and what a batch costs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from matchers.registry import DESCRIPTOR_SIZES
from matchers.training.bank import Side
from matchers.training.config import TrainConfig
from matchers.training.figures import Tally, stop_layers, tally
from matchers.training.initial import begin_at_nearest_neighbours
from matchers.training.losses import confidence_loss, lightglue_loss, superglue_loss
from matchers.truth.batched import Labels

SCALED = ("sift",)
"""Features with scales and orientations."""

Confidences = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Outcome:
    """What a network makes of a batch.

    Attributes:
        loss: (), with gradients.
        log_assignment: (B, M+1, N+1) of the last layer, without.
        confidences: logits of LightGlue's layers but the last, without; None of SuperGlue.
    """

    loss: Tensor
    log_assignment: Tensor
    confidences: Confidences | None = None


Objective = Callable[[Any, Side, Side, Labels, str], Outcome]


def build(config: TrainConfig) -> nn.Module:
    """The network to begin with: its weights depend on the configuration alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        input_dim = DESCRIPTOR_SIZES[config.features]
        if config.matcher == "lightglue":
            from matchers.lightglue import LightGlue, LightGlueConfig

            model: nn.Module = LightGlue(
                LightGlueConfig(
                    input_dim=input_dim,
                    project=True,
                    dim=config.dim,
                    num_layers=config.layers,
                    num_heads=config.heads,
                    scale_orientation=config.features in SCALED,
                )
            )
        else:
            from matchers.superglue import SuperGlue, SuperGlueConfig

            model = SuperGlue(
                SuperGlueConfig(
                    descriptor_dim=config.dim,
                    input_dim=input_dim,
                    project=True,
                    keypoint_encoder=tuple(w for w in (32, 64, 128, 256) if w <= config.dim),
                    num_layers=2 * config.layers,
                    num_heads=config.heads,
                    sinkhorn_iterations=config.sinkhorn_iterations,
                )
            )
        begin_at_nearest_neighbours(model, config.features)
        return model


def lightglue_outcome(model: Any, side0: Side, side1: Side, labels: Labels, stage: str) -> Outcome:
    """LightGlue's loss: of the correspondences, or (stage "confidence") of the classifiers."""
    outputs = model.layer_outputs(side0.features, side1.features)
    assignments = [output.log_assignment for output in outputs]
    confidences = [(o.confidence0, o.confidence1) for o in outputs[:-1]]
    if stage == "confidence":
        loss = confidence_loss(confidences, assignments, *masks(side0, side1), threshold(model))
    else:
        loss = lightglue_loss(assignments, labels)
    plain = [(c0.detach(), c1.detach()) for c0, c1 in confidences]
    return Outcome(loss, assignments[-1].detach(), plain)


def superglue_outcome(model: Any, side0: Side, side1: Side, labels: Labels, stage: str) -> Outcome:
    """SuperGlue's loss; it has no stage "confidence"."""
    assignment = model.log_assignment(side0.features, side1.features)
    return Outcome(superglue_loss(assignment, labels), assignment.detach())


OBJECTIVES: dict[str, Objective] = {
    "lightglue": lightglue_outcome,
    "superglue": superglue_outcome,
}


def keep_full_precision(model: nn.Module, device_type: str) -> None:
    """Have LightGlue's heads compute in float32 under autocast, as they do without.

    In bfloat16 the similarities of an assignment have eight bits, too few to tell matches apart.

    Args:
        model: its modules `log_assignment` and `token_confidence` are changed.
        device_type: of the autocast.
    """
    for name, module in model.named_modules():
        owner, _, number = name.partition(".")
        if owner in ("log_assignment", "token_confidence") and number.isdigit():
            module.forward = _widened(module.forward, device_type)


def _widened(forward: Callable[..., Any], device_type: str) -> Callable[..., Any]:
    """A module's forward without autocast, on float32."""

    def run(*inputs: Any) -> Any:
        wide = [x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs]
        with torch.autocast(device_type, enabled=False):
            return forward(*wide)

    return run


def trainable(model: nn.Module, stage: str) -> list[nn.Parameter]:
    """Freeze what a stage does not train; the rest.

    LightGlue's classifiers are trained last, with everything else frozen, so that they cannot harm
    the correspondences (§3.4).
    """
    for name, parameter in model.named_parameters():
        classifier = name.startswith("token_confidence.")
        parameter.requires_grad_(classifier == (stage == "confidence"))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def threshold(model: Any) -> float:
    """Probability that a match must exceed."""
    names = ("filter_threshold", "match_threshold")
    return float(next(getattr(model.config, name) for name in names if hasattr(model.config, name)))


def measure(model: Any, result: Outcome, side0: Side, side1: Side, labels: Labels) -> Tally:
    """Figures of a batch; LightGlue's stopping layer at the network's own α, without pruning."""
    mask0, mask1 = masks(side0, side1)
    stops = None
    if result.confidences is not None:
        alpha = model.config.depth_confidence
        stops = stop_layers(result.confidences, mask0, mask1, 1.0 if alpha is None else alpha)
    return tally(result.log_assignment, labels, threshold(model), mask0, mask1, stops)


def masks(side0: Side, side1: Side) -> tuple[Tensor, Tensor]:
    """(B, M) and (B, N) bool, False at padding."""
    mask0, mask1 = side0.features.mask, side1.features.mask
    assert mask0 is not None and mask1 is not None
    return mask0, mask1
