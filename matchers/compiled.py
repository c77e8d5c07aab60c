"""Functions compiled once for each shape of what they are given, and kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from types import FunctionType
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

T = TypeVar("T")


class CompiledByShape(Generic[T]):
    """A function that `torch.compile` compiles for each shape of its arguments, none of it dynamic.

    What compiled code answers at the first call for a shape is held against what the function
    itself answers; where it cannot be compiled, or differs by more than rounding, the function is
    called as it is for this shape from then on, and a warning says so.

    Args:
        function: of a module; gives tensors, in tuples if need be, and changes none.
        key: of the arguments, all that compiled code depends on.
        options: of `torch.compile`. On CUDA what it gives is copied, for graphs reuse their memory.
    """

    def __init__(
        self, function: Callable[..., T], key: Callable[..., Hashable], options: dict[str, Any]
    ) -> None:
        self._function, self._key = function, key
        self._options = {**options, "dynamic": False}
        self._made: dict[Hashable, Callable[..., T]] = {}

    def __call__(self, *arguments: Any) -> T:
        """The function's answer."""
        key = self._key(*arguments)
        if key not in self._made:
            self._made[key] = self._compiled(arguments)
        return self._made[key](*arguments)

    @property
    def shapes(self) -> int:
        """How many shapes there have been."""
        return len(self._made)

    def _compiled(self, arguments: tuple[Any, ...]) -> Callable[..., T]:
        plain: Any = self._function
        # Compiled code is kept, and its number bounded, by code object: each shape has its own.
        own = FunctionType(
            plain.__code__.replace(), plain.__globals__, plain.__name__, plain.__defaults__,
            plain.__closure__,
        )  # fmt: skip
        made: Callable[..., T] = torch.compile(own, **self._options)

        def run(*given: Any) -> T:
            if not any(isinstance(v, Tensor) and v.is_cuda for v in tree_flatten(given)[0]):
                return made(*given)
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            copied: T = tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, made(*given))
            return copied

        try:
            differs = not _alike(run(*arguments), plain(*arguments))
        except Exception as error:  # whatever a compiler meets
            reason = next(iter(str(error).splitlines()), "")[:120]
            warnings.warn(f"not compiled ({type(error).__name__}: {reason})", stacklevel=3)
            return self._function
        if differs:
            warnings.warn("compiled code answers otherwise, and is not used", stacklevel=3)
            return self._function
        return run


def _alike(one: Any, other: Any) -> bool:
    """Whether answers are equal but for rounding, where they are numbers."""
    pairs = zip(tree_flatten(one)[0], tree_flatten(other)[0], strict=True)
    return all(
        not isinstance(a, Tensor) or not a.is_floating_point() or _near(a, b) for a, b in pairs
    )


def _near(a: Tensor, b: Tensor) -> bool:
    tolerance = 1e-3 if a.dtype in (torch.float32, torch.float64) else 5e-2
    a, b = a.float(), b.float()
    scale = b.abs().amax().clamp(min=1.0) if b.numel() else 1.0
    return bool(((a - b).abs() <= tolerance * scale).all())
