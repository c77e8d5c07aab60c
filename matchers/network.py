"""What the learned matchers share: strict checkpoints, and weights arranged for inference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from satgen.errors import InputError

_GET: Any = dict.get


class Network(nn.Module, ABC):
    """A module that matches with its weights in another arrangement than it keeps them in.

    The arrangement is kept from match to match. It is never older than the weights: see
    `Arrangement`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first, self._all = Arrangement(), Arrangement()

    @abstractmethod
    def _first_block(self) -> Any:
        """The module that is run on each image alone; its `weights()` are arranged."""

    @abstractmethod
    def _arrange(self) -> Any:
        """The weights of all layers, arranged for inference."""

    def arranged_first(self) -> Any:
        """The first block's weights as they are now, arranged for inference."""
        block = self._first_block()
        return self._first.of(block, block.weights)

    def arranged(self) -> Any:
        """All layers' weights as they are now, arranged for inference."""
        return self._all.of(self, self._arrange)


class Arrangement:
    """What was made of a module's weights, kept for as long as it would be made the same again.

    Some of it are views of the weights, which show every change of them; they need to be made anew
    only where a tensor or a submodule has been replaced. The rest was computed from the weights,
    and is compared with them: their values, not a note that they were changed, because not every
    change leaves one (`parameter.data`, arrays of NumPy that share the memory). A comparison takes
    about a hundredth of a match's time.
    """

    def __init__(self) -> None:
        self._kept: tuple[_Weights, Any] | None = None

    def of(self, module: nn.Module, make: Callable[[], Any]) -> Any:
        """What `make` makes of a module's weights.

        Args:
            module: whose parameters, buffers and submodules are all that `make` looks at.
            make: gives views of the weights, and what it computes from them.
        """
        if self._kept is not None and self._kept[0].unchanged(module):
            return self._kept[1]
        with _Reads() as reads:
            made = make()
        weights = _Weights(module, reads.tensors.values())
        self._kept = None if weights.computed else (weights, made)
        return made

    def __reduce__(self) -> Any:
        """Copies begin with nothing: their weights are other ones."""
        return Arrangement, ()


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which tensors are read; to make a view of one is not to read it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensors: dict[tuple[Any, ...], Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = (args, kwargs or {})
        if not func.is_view:
            for value in tree_leaves(given):
                if isinstance(value, Tensor):
                    self.tensors.setdefault(_layout(value), value.detach())
        return func(*args, **given[1])


class _Weights:
    """A module's weights as they were.

    Args:
        module: whose.
        read: tensors of which values were used; those that are no part of the weights do not count.
    """

    def __init__(self, module: nn.Module, read: Iterable[Tensor]) -> None:
        self._module = module
        self._tables = [
            table for m in module.modules() for table in (m._modules, m._parameters, m._buffers)
        ]
        self._sizes = list(map(len, self._tables))
        self._owners = [table for table in self._tables for _ in table]
        self._names = [name for table in self._tables for name in table]
        self._slots = list(map(_GET, self._owners, self._names))
        self._tensors = [value for value in self._slots if isinstance(value, Tensor)]
        self._counted = list(filter(_is_counted, self._tensors))
        self._looked_at = [tensor for tensor in self._tensors if not _is_counted(tensor)]
        self._layouts = self._seen()
        self.computed = any(hasattr(m, "parametrizations") for m in module.modules())
        """Whether PyTorch computes some weights from others, so that nothing can be kept."""

        # whole ones: a view of a matrix may have a shape that cannot be multiplied without a copy
        used = {_place(value) for value in read}
        self._used = [value for value in self._tensors if _place(value) in used and value.is_cpu]
        self._values = _values(self._used)

    def unchanged(self, module: nn.Module) -> bool:
        """Whether a module has the very tensors, and these the values, that it had."""
        return (
            module is self._module
            and list(map(len, self._tables)) == self._sizes
            and all(map(is_, map(_GET, self._owners, self._names), self._slots))
            and self._seen() == self._layouts
            and torch.equal(_values(self._used), self._values)
        )

    def _seen(self) -> list[Any]:
        """What `_layout` says of all tensors; of those on a GPU quickly, for it waits meanwhile."""
        pointers = [tensor.data_ptr() for tensor in self._counted]
        versions = [tensor._version for tensor in self._counted]
        return [*map(_layout, self._looked_at), pointers, versions]


def _is_counted(tensor: Tensor) -> bool:
    """Whether it is elsewhere than on a CPU, where to look at numbers takes longer than a match,
    and PyTorch counts how often it has seen them change."""
    return not tensor.is_cpu and not tensor.is_inference()


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor's numbers are, and how they are to be read, or how often they have changed."""
    if _is_counted(tensor):
        return tensor.data_ptr(), tensor._version, tensor.dtype
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _place(tensor: Tensor) -> int:
    """The address of the memory that a tensor and its views share."""
    return tensor.untyped_storage().data_ptr()


def _values(tensors: Sequence[Tensor]) -> Tensor:
    """Numbers that differ where the values of tensors on the CPU differ.

    They are the tensors' vectors, and of their matrices products with a random vector: memory is
    what a comparison costs, and so each matrix is read once, and no copy of it. (A change may hide
    in the rounding of such a product, and is one of the last digit then.)
    """
    if not tensors:
        return torch.empty(0)
    tensors = [t.mv(_random(t.shape[1], t.dtype)) if t.ndim == 2 else t for t in tensors]
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


@lru_cache
def _random(count: int, dtype: torch.dtype) -> Tensor:
    """Fixed random numbers from 1 to 2, (count,)."""
    return (1.0 + torch.rand(count, generator=torch.Generator().manual_seed(0))).to(dtype)


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
    """What a matcher's `prepare` or `collate` gives for an image or a batch."""

    @property
    def batched(self) -> bool:
        """Whether it is of a batch."""


class PreparedTokens(PreparedImages, Protocol):
    """What a network's `prepare` gives: tokens, those of one image as a batch of one."""

    @property
    def tokens(self) -> Tensor:
        """The tokens, (B, N, dim)."""


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
