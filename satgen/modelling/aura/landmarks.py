"""Aura's named landmarks: corners and tips that can be seen."""

from __future__ import annotations

from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.fittings import OMNI_AFT, OMNI_FORWARD
from satgen.modelling.aura.layout import (
    FIRST_PANEL,
    HIRDLS_AT,
    OMI_AT,
    PANEL_CHORD,
    PANEL_PITCH,
    PANEL_SPAN,
    PANELS,
    TES_AT,
    mls_dish_point,
    wing_point,
)
from satgen.modelling.aura.mls import DISH_LONG, DISH_WIDE, SPECTROMETER_BOX, THZ_BOX
from satgen.modelling.aura.nadir import TES_SHADE


def add_landmarks(a: Assembly) -> None:
    """All landmarks, each on the surface of a part."""
    _bus(a)
    _wing(a)
    _mls(a)
    _nadir(a)
    for name, (_, head), up in (("forward", OMNI_FORWARD, -1.0), ("aft", OMNI_AFT, 1.0)):
        a.landmark(f"sband_{name}_omni_tip", (head[0], head[1], head[2] + up * 0.187))


def _bus(a: Assembly) -> None:
    for x, fore in ((2.43, "forward"), (-2.43, "aft")):
        for y, side in ((0.868, "right"), (-0.868, "left")):
            for z, level in ((0.681, "nadir"), (-0.681, "zenith")):
                a.landmark(f"bus_corner_{fore}_{level}_{side}", (x, y, z))
    a.landmark("adapter_ring_nadir", (-3.455, 0.0, 0.745))
    a.landmark("adapter_ring_zenith", (-3.455, 0.0, -0.745))


def _wing(a: Assembly) -> None:
    inner, outer = FIRST_PANEL + 0.01, FIRST_PANEL + (PANELS - 0.5) * PANEL_PITCH + PANEL_SPAN / 2
    half = PANEL_CHORD / 2
    for chord, edge in ((half, "zenith"), (-half, "nadir")):
        a.landmark(f"wing_tip_{edge}", wing_point(chord, outer, 0.0))
        a.landmark(f"wing_root_{edge}", wing_point(chord, inner, 0.0))
        middle = FIRST_PANEL + 0.5 * PANELS * PANEL_PITCH + 0.01
        a.landmark(f"wing_middle_{edge}", wing_point(chord, middle, 0.0))


def _mls(a: Assembly) -> None:
    a.landmark("mls_primary_top", mls_dish_point(DISH_LONG / 2, 0.0))
    a.landmark("mls_primary_bottom", mls_dish_point(-DISH_LONG / 2, 0.0))
    a.landmark("mls_primary_left", mls_dish_point(0.0, -DISH_WIDE / 2))
    a.landmark("mls_primary_right", mls_dish_point(0.0, DISH_WIDE / 2))
    x, y, z = THZ_BOX
    a.landmark("mls_thz_corner", (x[1] - 0.008, y[1] - 0.008, z[0] + 0.008))
    x, y, z = SPECTROMETER_BOX
    a.landmark("mls_spectrometer_corner", (x[1] - 0.006, y[1] - 0.006, z[1] - 0.006))


def _nadir(a: Assembly) -> None:
    x, y, z = HIRDLS_AT
    for dy, side in ((0.77, "right"), (-0.77, "left")):
        a.landmark(f"hirdls_shield_forward_{side}", (x + 0.565, y + dy, z + 1.30))
    a.landmark("hirdls_shield_aft_left", (x - 0.565, y - 0.77, z + 1.30))
    x, y, z = TES_AT
    w, d, _ = TES_SHADE
    for dx, fore in ((w / 2, "forward"), (-w / 2, "aft")):
        tip = (x - 0.06 + dx, y + 0.72 + 2 * d, z + 1.245)
        a.landmark(f"tes_shade_tip_{fore}", tip)
    a.landmark("tes_well_corner", (x - 0.65, y - 0.51, z + 1.255))
    x, y, z = OMI_AT
    a.landmark("omi_corner", (x - 0.245, y - 0.195, z + 0.455))
