"""How SuperGlue is trained (§4 and the appendix of its paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from matchers.specs import FeaturesSpec
from matchers.superglue import SuperGlue, SuperGlueConfig
from matchers.superglue_blocks import as_linear, infer_sizes
from matchers.training.bank import PairSide
from matchers.training.config import TrainConfig
from matchers.training.initial import TEMPERATURE, attend, begin_projection, compare, silence
from matchers.training.losses import superglue_loss
from matchers.training.spec import Decay, LossAndAssignment, TrainingSpec
from matchers.truth.batched import Labels
from satgen.errors import InputError

ENCODER = (32, 64, 128, 256)
"""Widths of the keypoint encoder's hidden layers, as far as they do not exceed the tokens'."""


def build(config: TrainConfig, features: FeaturesSpec) -> nn.Module:
    """SuperGlue with random weights and a projection of the descriptors.

    Raises:
        InputError: it is to be narrower than its keypoint encoder.
    """
    encoder = tuple(width for width in ENCODER if width <= config.dim)
    if not encoder:
        raise InputError(f"dim {config.dim}: must be {ENCODER[0]} or more of SuperGlue")
    return SuperGlue(
        SuperGlueConfig(
            descriptor_dim=config.dim,
            input_dim=features.descriptor_size,
            project=True,
            keypoint_encoder=encoder,
            num_layers=2 * config.layers,
            num_heads=config.heads,
            sinkhorn_iterations=config.sinkhorn_iterations,
        )
    )


@torch.no_grad()
def start(model: Any, features: FeaturesSpec) -> None:
    """Have it compare descriptors, and positions not at all."""
    begin_projection(model.input_proj)
    silence(model.kenc.encoder[-1])
    for number, layer in enumerate(model.gnn.layers):
        silence(layer.mlp[-1])
        if number % 2:
            attend(layer.heads, *layer.attn.proj[:2])
    compare(model.final_proj)
    nn.init.constant_(model.bin_score, features.dustbin * TEMPERATURE)


def objective(
    model: SuperGlue, first: PairSide, second: PairSide, labels: Labels, stage: str
) -> LossAndAssignment:
    """The loss of the correspondences (eq. 8)."""
    assignment = model.log_assignment(first.features, second.features)
    return LossAndAssignment(superglue_loss(assignment, labels), lambda: assignment)


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the network's dim, and its number of pairs of a self and a cross layer, off a table of
    tensors."""
    found = infer_sizes(as_linear(state))
    return {"dim": found["descriptor_dim"], "layers": found["num_layers"] // 2}


def load(model: SuperGlue, state: Mapping[str, Tensor]) -> None:
    """Fill a network from a table of tensors."""
    model.load_weights(state)


TRAINING = TrainingSpec(
    build=build,
    start=start,
    objective=objective,
    decays={
        # 200 of 900 thousand steps, then 0.999998 a step (appendix)
        "homography": Decay(0.22, 0.25),
        # there 50 of 900 thousand, then 0.999992: of short trainings too little would be left
        "pose": Decay(0.5, 1e-2),
    },
    sizes=sizes,
    load=load,
    threshold=lambda model: float(model.config.match_threshold),
    replayed=True,
)
