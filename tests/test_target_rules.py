"""What every bundled target must be: one solid thing from outside, with landmarks to be seen."""

from __future__ import annotations

import importlib
from functools import cache

import pytest

from satgen.modelling.assembly import CLASSES
from satgen.targets.registry import TARGETS
from tests import target_checks as checks

pytestmark = pytest.mark.parametrize("name", TARGETS)


@cache
def solid(name: str) -> checks.Solid:
    return checks.Solid(importlib.import_module(f"satgen.modelling.{name}").assemble())


def test_no_problems(name: str) -> None:
    assert solid(name).assembly.problems() == []


def test_parts_have_names_of_their_own_and_every_class(name: str) -> None:
    parts = solid(name).assembly.parts
    assert len({p.name for p in parts}) == len(parts)
    assert {p.cls for p in parts} == set(CLASSES)


def test_landmarks_lie_on_the_surface(name: str) -> None:
    assert checks.far_landmarks(solid(name)) == {}


def test_landmarks_can_be_seen(name: str) -> None:
    assert checks.hidden_landmarks(solid(name)) == []


def test_nothing_floats(name: str) -> None:
    assert checks.floating_parts(solid(name)) == []


def test_no_back_face_is_seen_from_outside(name: str) -> None:
    count, parts = checks.back_faces_seen(solid(name))
    assert count <= 2, parts


def test_no_faces_flicker(name: str) -> None:
    assert checks.coplanar_overlaps(solid(name)) == {}
