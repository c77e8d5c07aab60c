"""What a training has to know of a matcher: each one's is told by its own module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

    from matchers.specs import FeaturesSpec
    from matchers.training.bank import PairSide
    from matchers.training.config import TrainConfig
    from matchers.truth.batched import Labels


class Decay(NamedTuple):
    """A learning rate that is held for a share of the steps and then falls exponentially."""

    hold: float
    end: float

    def factor(self, progress: float) -> float:
        """The factor of the learning rate after a share of the steps."""
        fallen = max(progress - self.hold, 0.0) / (1.0 - self.hold)
        return float(self.end ** min(fallen, 1.0))


@dataclass(frozen=True)
class LossAndAssignment:
    """What a training objective answers for a batch.

    Attributes:
        loss: (), with gradients.
        assign: makes `log_assignment`, which not every step looks at.
        confide: makes `confidences`; None of a network that has none.
    """

    loss: Tensor
    assign: Callable[[], Tensor]
    confide: Callable[[], list[tuple[Tensor, Tensor]]] | None = None

    @cached_property
    def log_assignment(self) -> Tensor:
        """(B, M+1, N+1) of the last layer, without gradients."""
        return self.assign().detach()

    @cached_property
    def confidences(self) -> list[tuple[Tensor, Tensor]] | None:
        """Logits of the confidence classifiers of the layers but the last, without gradients."""
        if self.confide is None:
            return None
        return [(one.detach(), other.detach()) for one, other in self.confide()]


@dataclass(frozen=True, eq=False)
class TrainingSpec:
    """How a matcher is trained.

    Attributes:
        build: the network with random weights, which takes all its draws from torch's generator.
        start: sets weights so that the training begins at nearest neighbours.
        objective: the network, both images of a batch's pairs, their labels and the stage, to the
            loss.
        decays: of the learning rate, by the stages that there are, in the order of `STAGES`.
        sizes: the fields of `TrainConfig` that a table of tensors decides.
        load: fills a network from a table of tensors to begin with; see `objectives.build`.
        threshold: probability that a match must exceed.
        stage_trains: whether a stage trains the parameter of a name.
        layered: stages that need more than one layer.
        decayed: whether weights decay.
        widened: names of the modules that must compute in float32 under autocast; None: the
            matcher is not to be trained in mixed precision.
        replayed: whether a GPU may replay forward pass, loss and gradients of one batch as a graph
            with the values of others: they follow from the tensors, in training mode, by the same
            operations each time; and under `matchers.graphs.assuming` the GPU is not waited for.
            A side's depth maps are None then.
    """

    build: Callable[[TrainConfig, FeaturesSpec], nn.Module]
    start: Callable[[Any, FeaturesSpec], None]
    objective: Callable[[Any, PairSide, PairSide, Labels, str], LossAndAssignment]
    decays: Mapping[str, Decay]
    sizes: Callable[[Mapping[str, Tensor]], dict[str, int]]
    load: Callable[[Any, Mapping[str, Tensor]], None]
    threshold: Callable[[Any], float]
    stage_trains: Callable[[str, str], bool] = lambda name, stage: True
    layered: frozenset[str] = field(default_factory=frozenset)
    decayed: bool = False
    widened: tuple[str, ...] | None = None
    replayed: bool = False
