"""Cartography's model: its sizes and counts, and where its cameras look."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from satgen.modelling.cartography import assemble
from tests import target_checks as checks

PUBLIC = {"body_width": 2.4, "body_depth": 2.4, "body_height": 2.7}
"""Metres: Cartosat-1, 2.4 m x 2.7 m high."""


@cache
def solid() -> checks.Solid:
    return checks.Solid(assemble())


@pytest.mark.parametrize("name", PUBLIC)
def test_size_within_five_per_cent(name: str) -> None:
    fact = solid().assembly.facts[name]
    assert fact["value"] == PUBLIC[name]
    assert solid().assembly.measure(str(fact["measure"])) == pytest.approx(PUBLIC[name], rel=0.05)


def test_facts_cite_sources_and_say_what_is_assumed() -> None:
    facts = solid().assembly.facts
    assert all(str(fact["source"]).strip() for fact in facts.values())
    assert "assumption" in str(facts["solar_array_area"]["source"])


def test_no_antenna_but_those_that_sources_name() -> None:
    names = [p.name for p in solid().assembly.parts if p.cls == "antenna"]
    assert all(n.startswith(("phased_array_", "s_band_omni_", "gps_antenna_")) for n in names)


def test_counts() -> None:
    a = solid().assembly
    assert len(a.parts) >= 60
    assert 10_000 <= a.triangles <= 80_000
    assert len(a.landmarks) >= 24
    assert len({p.name for p in a.parts}) == len(a.parts)
    wings = [p.name for p in a.parts if p.name.startswith("wing_panel_")]
    assert len(wings) == 6


@pytest.mark.parametrize(("name", "tilt"), [("fore", 26.0), ("aft", -5.0)])
def test_the_cameras_look_along_their_tilt(name: str, tilt: float) -> None:
    """The plane of the hood's rim, found from its vertices, is square to the viewing direction."""
    part = next(p for p in solid().assembly.parts if p.name == f"hood_{name}")
    points = np.concatenate([shape.vertices for _, shape in part.pieces])
    axis = np.array([np.sin(np.radians(tilt)), 0.0, np.cos(np.radians(tilt))])
    along = points @ axis
    rim = points[along > along.max() - 1e-6]
    assert len(rim) >= 40
    _, _, directions = np.linalg.svd(rim - rim.mean(axis=0))
    normal = directions[2] * np.sign(directions[2, 2])
    assert np.degrees(np.arctan2(normal[0], normal[2])) == pytest.approx(tilt, abs=1e-6)
    assert normal[1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("name", "tilt"), [("fore", 26.0), ("aft", -5.0)])
def test_a_lens_is_seen_down_each_hood(name: str, tilt: float) -> None:
    s = solid()
    lens = next(k for k, p in enumerate(s.assembly.parts) if p.name == f"lens_{name}")
    hood = next(p for p in s.assembly.parts if p.name == f"hood_{name}")
    axis = np.array([np.sin(np.radians(tilt)), 0.0, np.cos(np.radians(tilt))])
    middle = hood.bounds.mean(axis=0)
    angle = np.linspace(0.0, 6.0, 20)
    across = np.array([axis[2], 0.0, -axis[0]])
    start = middle + 5.0 * axis + 0.1 * np.outer(np.cos(angle), across)
    start[:, 1] += 0.1 * np.sin(angle)
    down = np.broadcast_to(-axis, start.shape)
    face = s.mesh.ray.intersects_id(start, down, multiple_hits=False)[0]
    assert np.all(s.owner[face] == lens)
