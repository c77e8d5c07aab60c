"""How LightGlue is trained (§3.4 and the appendix of its paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from matchers.assignment import log_double_softmax
from matchers.lightglue import LayerScores, LightGlue
from matchers.lightglue_blocks import first_layers, infer_sizes, rename
from matchers.lightglue_config import LightGlueConfig
from matchers.specs import FeaturesSpec
from matchers.training.bank import PairSide, masks
from matchers.training.config import TrainConfig
from matchers.training.initial import attend, begin_projection, compare, silence
from matchers.training.losses import confidence_loss, lightglue_loss
from matchers.training.spec import Decay, LossAndAssignment, TrainingSpec
from matchers.truth.batched import Labels

MATCHABILITY = 1.0
"""Logit of a keypoint's having a match, where a training begins."""


def build(config: TrainConfig, features: FeaturesSpec) -> nn.Module:
    """LightGlue with random weights and a projection of the descriptors."""
    assert features.descriptor_size is not None
    return LightGlue(
        LightGlueConfig(
            input_dim=features.descriptor_size,
            project=True,
            dim=config.dim,
            num_layers=config.layers,
            num_heads=config.heads,
            scale_orientation=features.oriented,
        )
    )


@torch.no_grad()
def start(model: Any, features: FeaturesSpec) -> None:
    """Have it compare descriptors and do nothing else, after each of its layers."""
    begin_projection(model.input_proj)
    for layer in model.transformers:
        silence(layer.self_attn.ffn[-1])
        silence(layer.cross_attn.ffn[-1])
        attend(layer.cross_attn.heads, layer.cross_attn.to_qk)
    for assignment in model.log_assignment:
        compare(assignment.final_proj)
        nn.init.zeros_(assignment.matchability.weight)
        nn.init.constant_(assignment.matchability.bias, MATCHABILITY)


def objective(
    model: LightGlue, first: PairSide, second: PairSide, labels: Labels, stage: str
) -> LossAndAssignment:
    """The loss of the correspondences, or (stage "confidence") of the classifiers."""
    scores = model.layer_scores(first.features, second.features)
    if stage == "confidence":
        assignments = [_log_assignment(scores, layer) for layer in range(len(scores.tokens))]
        logits = model.layer_confidences(scores)
        both = masks(first, second)
        loss = confidence_loss(logits, assignments, *both, model.config.filter_threshold)
    else:
        loss = lightglue_loss(scores, labels)

    @torch.no_grad()
    def confidences() -> list[tuple[Tensor, Tensor]]:
        return model.layer_confidences(scores)

    return LossAndAssignment(
        loss, torch.no_grad()(lambda: _log_assignment(scores, -1)), confidences
    )


def _log_assignment(scores: LayerScores, layer: int) -> Tensor:
    return log_double_softmax(
        scores.similarity[layer],
        scores.matchability0[layer],
        scores.matchability1[layer],
        scores.mask0,
        scores.mask1,
    )


def sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the network's dim, layers and heads off a table of tensors."""
    found = infer_sizes(rename(state))
    return {"dim": found["dim"], "layers": found["num_layers"], "heads": found["num_heads"]}


def load(model: LightGlue, state: Mapping[str, Tensor]) -> None:
    """Fill it from weights, of a deeper LightGlue from the first layers."""
    model.load_weights(first_layers(state, model.config.num_layers))


def stage_trains(name: str, stage: str) -> bool:
    """Whether a stage trains a parameter: the classifiers are trained last, with everything else
    frozen, so that they cannot harm the correspondences (§3.4)."""
    return name.startswith("token_confidence.") == (stage == "confidence")


TRAINING = TrainingSpec(
    build=build,
    start=start,
    objective=objective,
    # 20 of 40 epochs, then a factor of 10 in 10; 30 of 50, then likewise (§4, and code)
    decays={
        "homography": Decay(0.5, 1e-2),
        "pose": Decay(0.6, 1e-2),
        "confidence": Decay(0.5, 1e-1),
    },
    sizes=sizes,
    load=load,
    threshold=lambda model: float(model.config.filter_threshold),
    stage_trains=stage_trains,
    layered=frozenset({"confidence"}),  # a single layer has nothing to be sure of
    decayed=True,
    # in bfloat16 similarities have eight bits, too few to tell matches apart
    widened=("log_assignment", "token_confidence"),
    replayed=True,
)
