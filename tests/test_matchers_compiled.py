"""matchers.compiled: compiled once a shape, checked, and done without where it does not work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from matchers.compiled import CompiledByShape


def doubled(x: Tensor) -> tuple[Tensor, Tensor]:
    return x + x, x.sum()


@torch.compiler.disable
def apart(x: Tensor) -> Tensor:
    return x * 3


def broken(x: Tensor) -> tuple[Tensor, Tensor]:
    return apart(x), x.sum()


def shape_of(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)


def test_each_shape_is_compiled_once_however_many_there_are() -> None:
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(inputs)
        return graph.forward

    run = CompiledByShape(doubled, shape_of, {"backend": backend})
    for _ in range(2):
        for count in range(1, 21):  # more than are kept for one function by default
            x = torch.arange(float(count))
            assert torch.equal(run(x)[0], 2 * x)
    assert run.shapes == len(graphs) == 20


def test_what_cannot_be_compiled_runs_as_it_is() -> None:
    run = CompiledByShape(broken, shape_of, {"backend": "eager", "fullgraph": True})
    x = torch.ones(3)
    with pytest.warns(UserWarning, match="not compiled"):
        assert run(x)[0].tolist() == [3.0, 3.0, 3.0]
    assert run(x)[0].tolist() == [3.0, 3.0, 3.0]


def test_code_that_answers_otherwise_is_not_used() -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        return lambda *given: tuple(value + 0.1 for value in graph.forward(*given))

    run = CompiledByShape(doubled, shape_of, {"backend": backend})
    x = torch.ones(3)
    with pytest.warns(UserWarning, match="answers otherwise"):
        run(x)
    assert run(x)[0].tolist() == [2.0, 2.0, 2.0]
