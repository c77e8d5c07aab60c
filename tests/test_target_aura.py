"""Aura's model: its sizes and counts, and that its instruments are where they belong."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from satgen.modelling.assembly import Assembly
from satgen.modelling.aura import assemble
from satgen.modelling.materials import MATERIALS
from tests.test_shapes import assert_sound

PUBLIC = {
    "x": 6.91,
    "y": 17.37,
    "z": 4.70,
}
"""Deployed sizes, metres: nasa.gov, Aura spacecraft details."""


@cache
def aura() -> Assembly:
    return assemble()


@pytest.mark.parametrize("axis", "xyz")
def test_deployed_size_within_five_per_cent(axis: str) -> None:
    extent = np.ptp(aura().bounds[:, "xyz".index(axis)])
    assert extent == pytest.approx(PUBLIC[axis], rel=0.05)


def test_every_fact_cites_a_source_and_holds() -> None:
    facts = aura().facts
    assert len(facts) >= 8
    for fact in facts.values():
        assert str(fact["source"]).strip()
        if "measure" in fact:
            got = aura().measure(str(fact["measure"]))
            assert got == pytest.approx(float(fact["value"]), rel=0.05)


def test_stowed_width_and_mirror_are_tied_to_the_mesh() -> None:
    facts = aura().facts
    for name, public in (("stowed_width", 2.28), ("mls_primary_length", 1.60)):
        assert facts[name]["value"] == public
        assert aura().measure(str(facts[name]["measure"])) == pytest.approx(public, rel=0.01)


def test_mls_reflector_is_bare_metal_on_ribs() -> None:
    parts = {p.name: p for p in aura().parts}
    assert {m for m, _ in parts["mls_primary_reflector"].pieces} == {"reflector"}
    assert len(parts["mls_primary_ribs"].pieces) >= 8
    for _, shape in parts["mls_primary_ribs"].pieces:
        assert_sound(shape)
    assert MATERIALS["reflector"].material().metallic > 0.9


def test_counts() -> None:
    a = aura()
    assert len(a.parts) >= 70
    assert 15_000 <= a.triangles <= 40_000
    assert len(a.landmarks) >= 24
    assert sum(p.name.startswith("array_panel_") for p in a.parts) == 12


def test_the_instruments_are_there() -> None:
    for instrument in ("mls", "hirdls", "tes", "omi"):
        assert sum(p.name.startswith(instrument) for p in aura().parts) >= 4


def test_instruments_face_where_they_should() -> None:
    """MLS on the velocity face; HIRDLS, TES and OMI on the nadir deck; the wing to one side."""
    for part in aura().parts:
        low, high = part.bounds
        if part.name.startswith("mls_"):
            assert low[0] > 2.3
        if part.name.startswith(("hirdls_", "tes_", "omi_")):
            assert low[2] > 0.6
        if part.name.startswith("array_panel_"):
            assert high[1] < -2.0
