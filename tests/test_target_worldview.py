"""WorldView's model: its sizes and counts, and what makes it WorldView."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from satgen.modelling.worldview import assemble
from tests import target_checks as checks

PUBLIC = {"x": 2.5, "y": 7.1, "z": 5.7}
"""Metres: DigitalGlobe's data sheet of WorldView-2 (across, span of the wings, tall)."""


@cache
def solid() -> checks.Solid:
    return checks.Solid(assemble())


@pytest.mark.parametrize("axis", "xyz")
def test_size_within_five_per_cent(axis: str) -> None:
    extent = np.ptp(solid().triangles.reshape(-1, 3)[:, "xyz".index(axis)])
    assert extent == pytest.approx(PUBLIC[axis], rel=0.05)


def test_origin_is_the_middle_of_the_body() -> None:
    low, high = solid().assembly.bounds
    assert (low + high) / 2 == pytest.approx(np.zeros(3), abs=0.03)


def test_facts_cite_sources_and_say_what_is_a_sisters() -> None:
    facts = solid().assembly.facts
    for fact in facts.values():
        assert str(fact["source"]).strip()
    for name in ("height", "width", "deployed_span"):
        assert "own figure" in str(facts[name]["note"])
    for name in ("depth", "mass"):
        assert "sister" in str(facts[name]["note"])


def test_counts() -> None:
    a = solid().assembly
    assert len(a.parts) >= 100
    assert 15_000 <= a.triangles <= 48_000
    assert len(a.landmarks) >= 24


def test_what_makes_it_worldview() -> None:
    bounds = {p.name: p.bounds for p in solid().assembly.parts}
    mirror, rim = bounds["primary_mirror"], bounds["sunshade_rim"]
    assert np.ptp(mirror[:, 0]) == pytest.approx(1.1, rel=0.03)
    assert rim[1, 2] == pytest.approx(2.85) and mirror[1, 2] < 0.7
    for side, sign in (("py", 1.0), ("my", -1.0)):
        panels = [b for n, b in bounds.items() if n.startswith(f"wing_panel_{side}_")]
        assert len(panels) == 3
        assert all(np.all(sign * b[:, 1] > 1.3) for b in panels)
    assert sum(n.startswith("star_tracker_") and "bracket" not in n for n in bounds) == 3
    assert sum(n.startswith("gyroscope_") for n in bounds) == 4
    assert sum(n.startswith("thruster_cluster_") for n in bounds) == 4


def test_the_primary_mirror_is_seen_down_the_barrel() -> None:
    """Rays along the boresight through the annulus of the pupil meet the mirror first."""
    s = solid()
    mirror = next(k for k, p in enumerate(s.assembly.parts) if p.name == "primary_mirror")
    angle = np.linspace(0.05, 6.2, 40)
    start = np.stack([0.4 * np.cos(angle), 0.4 * np.sin(angle), np.full(40, 10.0)], axis=-1)
    down = np.broadcast_to([0.0, 0.0, -1.0], start.shape)
    face = s.mesh.ray.intersects_id(start, down, multiple_hits=False)[0]
    assert np.mean(s.owner[face] == mirror) > 0.85
