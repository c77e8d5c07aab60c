"""The rooms of the source tree: who imports whom, and that a class's name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("satgen", "matchers", "bench")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
DOOR = ("satgen", "satgen.api", "satgen.cli")
"""What alone of satgen may use matchers and bench: these and what lies below the last."""

HEAVY = {
    "torch",
    "cv2",
    "pandas",
    "pyarrow",
    "pyrender",
    "trimesh",
    "matplotlib",
    "scipy",
    "OpenGL",
}
RENDERS = (
    "satgen.run",
    "satgen.worker",
    "satgen.pool",
    "satgen.single_frame",
    "satgen.frame_maker",
)


def name_of(path: Path) -> str:
    """A module's dotted name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def imported(node: ast.AST, *, at_once: bool) -> Iterator[str]:
    """Modules that a module imports; `at_once`: only those that its own import imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0 and child.module is not None
            yield child.module
            for alias in child.names:
                if f"{child.module}.{alias.name}" in TREES:
                    yield f"{child.module}.{alias.name}"
        elif at_once and (
            isinstance(child, (ast.FunctionDef, ast.Lambda))
            or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        ):
            continue
        else:
            yield from imported(child, at_once=at_once)


def reached(module: str, *, at_once: bool = True) -> dict[str, str]:
    """All modules that importing one leads to, ours and others', and from which of ours.

    What the door hands out is not followed: it loads that for whoever asks.
    """
    found, todo = {module: module}, [module]
    while todo:
        here = todo.pop()
        if here == "satgen" and not at_once:
            continue
        above = [here.rpartition(".")[0]] if "." in here else []
        for other in (*above, *imported(TREES[here], at_once=at_once)):
            if other not in found:
                found[other] = here
                if other in TREES:
                    todo.append(other)
    return found


def room_of(module: str) -> str:
    return module.partition(".")[0]


def below(module: str, *tops: str) -> bool:
    return any(module == top or module.startswith(f"{top}.") for top in tops)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    higher = ROOMS[ROOMS.index(room) + 1 :]
    for module, tree in TREES.items():
        door = module in DOOR or below(module, "satgen.cli")
        if room_of(module) == room and not door:
            wrong = [other for other in imported(tree, at_once=False) if room_of(other) in higher]
            assert not wrong, f"{module} imports {wrong}"


def test_the_door_loads_nothing_until_it_is_used() -> None:
    assert set(reached("satgen")) <= {"satgen", "__future__", "importlib", "typing"}


def test_matchers_use_the_reader_and_not_the_renderer() -> None:
    for module, tree in TREES.items():
        if room_of(module) == "matchers":
            for other in imported(tree, at_once=False):
                assert not below(other, "satgen.rendering", "satgen.modelling", "satgen.cli"), (
                    module
                )


def test_only_the_command_line_is_above_the_benchmark() -> None:
    for module, tree in TREES.items():
        if room_of(module) == "bench":
            assert not any(below(o, "satgen.cli") for o in imported(tree, at_once=False)), module


BUILDERS = {"satgen.cli.targets", "satgen.targets.generated"}
"""What alone uses what builds targets: a command, and the cache of random craft when one is not in
it."""


def test_only_what_builds_targets_uses_what_builds_them() -> None:
    for module, tree in TREES.items():
        if not below(module, "satgen.modelling"):
            used = any(below(o, "satgen.modelling") for o in imported(tree, at_once=False))
            assert not used or module in BUILDERS, module
            assert not any(below(o, "satgen.modelling") for o in imported(tree, at_once=True))
    for module in RENDERS:  # whatever is imported inside functions, too
        found = reached(module, at_once=False)
        assert {by for other, by in found.items() if below(other, "satgen.modelling")} <= {
            "satgen.targets.generated",
            *(other for other in found if below(other, "satgen.modelling")),
        }


@pytest.mark.parametrize(
    "module", ["satgen", "satgen.cli", *(m for m in TREES if below(m, "satgen.cli"))]
)
def test_help_loads_no_heavy_library(module: str) -> None:
    found = reached(module)
    heavy = {other: by for other, by in found.items() if room_of(other) in HEAVY}
    assert not heavy, f"{module} loads {heavy}"


def test_reading_a_dataset_loads_no_heavy_library() -> None:
    found = reached("satgen.dataset")
    assert not [other for other in found if room_of(other) in HEAVY]
    assert not [other for other in found if below(other, "satgen.rendering", "satgen.trajectory")]


def test_rendering_loads_no_torch() -> None:
    for module in RENDERS:
        assert not [other for other in reached(module, at_once=False) if room_of(other) == "torch"]


def test_no_two_classes_have_one_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
    for module, tree in TREES.items():  # nor is a class called as another module's type
        for node in tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    assert ast.unparse(target) not in homes, f"{module}: {ast.unparse(target)}"
