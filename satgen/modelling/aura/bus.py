"""The bus: eggcrate body, equipment panels and their radiators, decks, propulsion, adapter."""

from __future__ import annotations

from satgen.modelling import shapes as sh
from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.forms import bell_nozzle, bolts, facing, open_box
from satgen.modelling.aura.layout import AFT_X, BUS_HALF, DECK_Z, FORWARD_X, PANEL_FACE, ZENITH_Z
from satgen.modelling.fittings import tag

BAYS = (-1.80, -0.60, 0.60, 1.80)
"""x of the middles of the equipment bays, 1.2 m each."""
RADIATORS_COLD = (
    (0.92, 0.98, 0.0, "osr"),
    (1.00, 1.06, 0.0, "white_paint"),
    (1.00, 0.74, -0.14, "osr"),
    (0.86, 1.00, 0.0, "white_paint"),
)
"""(width, height, z, surface) of the radiators on the side away from the Sun, aft to forward."""
RADIATORS_SUN = (
    (0.80, 0.62, 0.22, "white_paint"),
    None,
    (0.74, 0.90, 0.0, "white_paint"),
    (0.62, 0.70, -0.16, "osr"),
)
"""The same for the Sun's side, where the array's drive takes one bay."""


def add_bus(a: Assembly) -> None:
    """The body and everything built into its faces."""
    _core(a)
    _longerons(a)
    _bulkheads(a)
    _side_panels(a)
    _radiators(a)
    _battery_louvre(a)
    _zenith_deck(a)
    _nadir_deck(a)
    _propulsion(a)
    _thrusters(a)
    _adapter(a)


def _core(a: Assembly) -> None:
    core = a.part("bus_core", "bus")
    size = [2.0 * h for h in BUS_HALF]
    core.add(sh.box(size), "mli_silver")


def _longerons(a: Assembly) -> None:
    """The graphite-epoxy corner beams that the panels and decks bolt to."""
    beam = sh.box((4.87, 0.075, 0.075))
    for name, y, z in (
        ("bus_longeron_nadir_right", 1, 1),
        ("bus_longeron_nadir_left", -1, 1),
        ("bus_longeron_zenith_right", 1, -1),
        ("bus_longeron_zenith_left", -1, -1),
    ):
        part = a.part(name, "structure").add(beam.translate((0, 0.835 * y, 0.648 * z)), "cfrp")
        heads = [(x, y * 0.866, z * 0.646) for x in (-2.34, -1.2, 0.0, 1.2, 2.34)]
        part.add(bolts(heads, 0.012, "y"), "titanium")


def _bulkheads(a: Assembly) -> None:
    forward = a.part("bus_forward_bulkhead", "bus")
    plate = sh.blanket_box((0.09, 1.60, 1.26), puff=0.006, cell=0.32, seed=2, radius=0.02)
    forward.add(plate.translate((FORWARD_X - 0.045, 0, 0)), "mli_gold")
    aft = a.part("bus_aft_bulkhead", "bus")
    plate = sh.blanket_box((0.09, 1.60, 1.26), puff=0.006, cell=0.32, seed=3, radius=0.02)
    aft.add(plate.translate((AFT_X + 0.045, 0, 0)), "mli_gold")


def _side_panels(a: Assembly) -> None:
    for side, name in ((1, "right"), (-1, "left")):
        for k, x in enumerate(BAYS):
            panel = a.part(f"bus_panel_{name}_{k + 1}", "bus")
            cover = sh.blanket_box(
                (1.165, 0.07, 1.20), 0.006, 0.40, 10 * k + side + 5, radius=0.018
            )
            y = side * (PANEL_FACE - 0.035)
            panel.add(cover.translate((x, y, 0)), "mli_gold")
        seams = a.part(f"bus_panel_seams_{name}", "structure")
        for x in (-1.2, 0.0, 1.2):
            strip = sh.box((0.045, 0.03, 1.22))
            seams.add(strip.translate((x, side * (PANEL_FACE + 0.002), 0)), "aluminium")
            heads = [(x, side * (PANEL_FACE + 0.012), z) for z in (-0.5, 0.0, 0.5)]
            seams.add(bolts(heads, 0.011, "y"), "steel_dark")
        for k, x in enumerate(BAYS):
            mark = facing(tag(14 + k + (side > 0) * 4, 0.11), "+y" if side > 0 else "-y")
            at = (x + 0.40, side * (PANEL_FACE + 0.007), -0.575)
            seams.add(mark.translate(at), "labels")


def _radiators(a: Assembly) -> None:
    for side, name, table in ((1, "right", RADIATORS_COLD), (-1, "left", RADIATORS_SUN)):
        for k, entry in enumerate(table):
            if entry is None:
                continue
            w, h, z, surface = entry
            part = a.part(f"radiator_{name}_{k + 1}", "radiator")
            at = (BAYS[k], side * (PANEL_FACE + 0.008), z)
            plate = facing(sh.plate(w, h, 0.04), "+y" if side > 0 else "-y")
            part.add(plate.translate(at), surface)
            for sx in (-1, 1):
                edge = sh.box((0.025, 0.052, h + 0.024))
                part.add(edge.translate((at[0] + sx * w / 2, at[1], z)), "aluminium")
                edge = sh.box((w - 0.02, 0.050, 0.024))
                part.add(edge.translate((at[0], at[1], z + sx * h / 2)), "aluminium")


def _battery_louvre(a: Assembly) -> None:
    louvre = a.part("battery_louvre", "radiator")
    shape = facing(sh.louvre(0.80, 0.46, 10, depth=0.05), "-y")
    louvre.add(shape.translate((BAYS[0], -PANEL_FACE - 0.034, -0.34)), "aluminium")


def _zenith_deck(a: Assembly) -> None:
    for k, x in enumerate((-1.6, 0.0, 1.6)):
        part = a.part(f"zenith_blanket_{k + 1}", "bus")
        pad = sh.blanket_box((1.58, 1.56, 0.07), 0.012, 0.30, 31 + k, radius=0.025)
        part.add(pad.translate((x, 0, ZENITH_Z + 0.035)), "mli_gold")


def _nadir_deck(a: Assembly) -> None:
    deck = a.part("nadir_deck", "structure")
    deck.add(sh.box((4.84, 1.80, 0.055)).translate((0, 0, DECK_Z - 0.034)), "cfrp")
    for k, x in enumerate((-1.6, 0.0, 1.6)):
        part = a.part(f"nadir_blanket_{k + 1}", "bus")
        pad = sh.blanket_box((1.58, 1.66, 0.06), 0.012, 0.34, 41 + k, radius=0.025)
        part.add(pad.translate((x, 0, DECK_Z - 0.012)), "mli_gold")


def _propulsion(a: Assembly) -> None:
    module = a.part("propulsion_module", "bus")
    body = sh.blanket_box((0.40, 1.44, 1.16), 0.012, 0.20, 51, radius=0.05)
    module.add(body.translate((AFT_X - 0.17, 0, 0)), "mli_gold")
    tank = a.part("propellant_tank", "structure")
    tank.add(sh.sphere(0.42, 40, 12).translate((-2.92, 0, 0)), "mli_silver")
    tank.add(sh.cylinder(0.06, 0.10, 14).rotate("y", 90).translate((-3.36, 0, 0)), "titanium")
    valves = a.part("propulsion_valve_panel", "bus")
    valves.add(sh.box((0.24, 0.12, 0.36)).translate((-2.62, 0.745, 0.0)), "anodised")
    for z in (-0.11, 0.0, 0.11):
        port = sh.cylinder(0.026, 0.09, 10).rotate("x", 90).translate((-2.62, 0.825, z))
        valves.add(port, "titanium")


def _thrusters(a: Assembly) -> None:
    """Four pods on the aft corners, each with a primary and a redundant 5 N engine."""
    for name, y, z in (
        ("nadir_right", 1, 1),
        ("nadir_left", -1, 1),
        ("zenith_right", 1, -1),
        ("zenith_left", -1, -1),
    ):
        pod = a.part(f"thruster_pod_{name}", "thruster")
        arm = sh.box((0.26, 0.10, 0.10), 0.012)
        pod.add(arm.translate((-2.56, 0.74 * y, 0.56 * z)), "aluminium")
        block = sh.box((0.14, 0.26, 0.15), 0.014)
        pod.add(block.translate((-2.72, 0.74 * y, 0.56 * z)), "mli_black")
        for dy in (-0.07, 0.07):
            bell = bell_nozzle(0.018, 0.046, 0.13)
            bell = bell.aim((-1.0, 0.12 * y, 0.16 * z))
            pod.add(bell.translate((-2.775, 0.74 * y + dy, 0.56 * z)), "steel_dark")
        line = [
            (-2.62, 0.66 * y, 0.50 * z),
            (-2.70, 0.60 * y, 0.44 * z),
            (-2.80, 0.50 * y, 0.36 * z),
        ]
        pod.add(sh.pipe(line, 0.012, 6), "titanium")


def _adapter(a: Assembly) -> None:
    cone = a.part("launch_adapter_cone", "structure")
    profile = [(0.565, 0.0), (0.700, 0.52), (0.672, 0.52), (0.537, 0.0)]
    cone.add(sh.revolve(profile, 40).rotate("y", -90).translate((-2.80, 0, 0)), "cfrp")
    ring = a.part("launch_adapter_ring", "structure")
    profile = [(0.655, 0), (0.711, 0), (0.711, 0.10), (0.745, 0.11), (0.745, 0.15), (0.655, 0.15)]
    ring.add(sh.revolve(profile, 40).rotate("y", -90).translate((-3.305, 0, 0)), "aluminium")
    fittings = a.part("separation_fittings", "structure")
    for y, z in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        lug = sh.box((0.12, 0.09, 0.09)).rotate("x", 45.0)
        fittings.add(lug.translate((-3.34, 0.515 * y, 0.515 * z)), "titanium")
    connectors = a.part("separation_connectors", "structure")
    for y in (-1, 1):
        box = open_box(0.16, 0.22, 0.10, 0.02).rotate("y", -90)
        connectors.add(box.translate((-3.38, 0.735 * y, 0.0)), "anodised")
