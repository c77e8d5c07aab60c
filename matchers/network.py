"""What the learned matchers share: strict checkpoints, and weights arranged for inference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from satgen.errors import InputError


class Network(nn.Module, ABC):
    """A module that keeps its weights in another arrangement for inference.

    What `_arrange` makes is kept until a parameter or a buffer changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._arranged: tuple[list[Tensor], list[int], Any] | None = None

    @abstractmethod
    def _arrange(self) -> Any:
        """The weights arranged for inference."""

    def arranged(self) -> Any:
        """The weights arranged for inference, made anew when one has changed."""
        tensors, versions, weights = self._arranged or ([], [], None)
        if not tensors or versions != [_version(t) for t in tensors]:
            weights = self._arrange()
            tensors = [*self.parameters(), *self.buffers()]
            self._arranged = tensors, [_version(t) for t in tensors], weights
        return weights

    def train(self, mode: bool = True) -> Any:
        """Switch to training or evaluation."""
        self._arranged = None
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As `torch.nn.Module.load_state_dict`; `load_weights` says more of what does not fit."""
        self._arranged = None
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._arranged = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


def _version(tensor: Tensor) -> int:
    """A number that grows with every change in place (inference tensors have none)."""
    return 0 if tensor.is_inference() else tensor._version


def check_options(config: type, inferred: Collection[str], options: Collection[str]) -> None:
    """Check options for a configuration that a checkpoint's tensors decide in part.

    Raises:
        InputError: one that the tensors decide, or that does not exist.
    """
    fields = set(config.__dataclass_fields__)  # type: ignore[attr-defined]
    for option in options:
        if option in inferred or option not in fields:
            free = sorted(fields - set(inferred))
            raise InputError(f"option {option!r}: must be one of {', '.join(free)}")


def check_fit(
    name: str,
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    optional: Collection[str] = (),
) -> None:
    """Check that a checkpoint is of a network: no tensor more, none less, each of its shape.

    Args:
        name: of the network, for people.
        own: the network's tensors.
        state: the checkpoint's.
        optional: keys that may be missing.

    Raises:
        InputError: naming all keys that are missing, unknown or of another shape.
    """
    shapes = [
        f"{key} {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = {
        "missing": sorted(own.keys() - state.keys() - set(optional)),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": shapes,
    }
    if any(problems.values()):
        said = [f"{what} {', '.join(keys)}" for what, keys in problems.items() if keys]
        raise InputError(f"not the weights of this {name}: {'; '.join(said)}")


class PreparedImages(Protocol):
    """What a matcher made of an image or of a batch."""

    @property
    def batched(self) -> bool:
        """Whether it is of a batch."""


class PreparedTokens(PreparedImages, Protocol):
    """What a network made of them: tokens, those of one image as a batch of one."""

    @property
    def tokens(self) -> Tensor:
        """(B, N, dim)."""


def check_sides(prepared0: PreparedTokens, prepared1: PreparedTokens) -> None:
    """Check that two sides can be matched.

    Raises:
        InputError: a batch and a single image, or batches of different sizes.
    """
    sides = (prepared0, prepared1)
    sizes = [len(side.tokens) for side in sides]
    if prepared0.batched != prepared1.batched or sizes[0] != sizes[1]:
        kinds = [
            f"a batch of {size}" if side.batched else "one image"
            for size, side in zip(sizes, sides, strict=True)
        ]
        raise InputError(f"{kinds[0]} against {kinds[1]}: give batches of the same size")


def check_single(prepared: Sequence[PreparedImages]) -> None:
    """Check that images can be put into a batch.

    Raises:
        InputError: none, or one that is a batch already.
    """
    if not prepared or any(image.batched for image in prepared):
        raise InputError("collate takes at least one prepared image, none of them a batch")
