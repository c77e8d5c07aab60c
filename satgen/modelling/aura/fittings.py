"""What is bolted onto the bus: antennas, attitude sensors, torquers, harness, handling points."""

from __future__ import annotations

from satgen.modelling import shapes as sh
from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.forms import bolts, open_box, smooth_skin
from satgen.modelling.aura.layout import DECK_Z, PANEL_FACE, ZENITH_Z

STAR_TRACKERS = ((1.55, 0.42, 1), (1.55, -0.42, -1))
"""(x, y, side to which it leans) of the star trackers on the zenith face."""
OMNI_FORWARD = ((2.15, 0.62, -0.66), (2.36, 0.66, -1.16))
OMNI_AFT = ((-2.20, -0.66, 0.70), (-2.42, -0.72, 1.42))
DOWNLINK_AT = (-2.15, 0.50)
BROADCAST_AT = (0.54, -0.56)


def add_fittings(a: Assembly) -> None:
    """Antennas, sensors, actuators and the small things."""
    _downlink_antenna(a)
    _broadcast_antenna(a)
    _omni(a, "forward", *OMNI_FORWARD, up=-1.0)
    _omni(a, "aft", *OMNI_AFT, up=1.0)
    for k, (x, y, lean) in enumerate(STAR_TRACKERS):
        _star_tracker(a, k + 1, x, y, lean)
    _gyro(a)
    _magnetometers(a)
    _torque_rods(a)
    _earth_sensors(a)
    _sun_sensors(a)
    _electronics(a)
    _harness(a)
    _handling(a)
    _vents(a)
    _hold_downs(a)


def _downlink_antenna(a: Assembly) -> None:
    """X-band downlink: an Earth-coverage shaped reflector on a post."""
    x, y = DOWNLINK_AT
    mast = a.part("xband_downlink_mast", "boom")
    mast.add(sh.cone(0.11, 0.07, 0.30, 20).translate((x, y, DECK_Z + 0.125)), "white_paint")
    mast.add(sh.cylinder(0.14, 0.04, 20).translate((x, y, DECK_Z + 0.025)), "aluminium")
    dish = a.part("xband_downlink_antenna", "antenna")
    bowl = smooth_skin(sh.dish(0.46, 0.07, 0.018, 28, 3))
    dish.add(bowl.translate((x, y, DECK_Z + 0.285)), "white_paint")
    dish.add(sh.cylinder(0.024, 0.20, 12).translate((x, y, DECK_Z + 0.38)), "anodised")
    splash = sh.cone(0.02, 0.065, 0.05, 20).translate((x, y, DECK_Z + 0.50))
    dish.add(splash, "gold_foil_smooth")


def _broadcast_antenna(a: Assembly) -> None:
    """X-band direct broadcast: a corrugated horn, wide open to the Earth."""
    x, y = BROADCAST_AT
    horn = a.part("xband_broadcast_antenna", "antenna")
    horn.add(sh.cylinder(0.09, 0.22, 20).translate((x, y, DECK_Z + 0.10)), "aluminium")
    profile = [(0.0, 0.0), (0.09, 0.0), (0.16, 0.14), (0.145, 0.14), (0.07, 0.02), (0.0, 0.02)]
    horn.add(sh.revolve(profile, 24).translate((x, y, DECK_Z + 0.20)), "white_paint")
    for r, z in ((0.125, 0.045), (0.150, 0.095)):
        horn.add(sh.ring(r, 0.014, 16, 4).translate((x, y, DECK_Z + 0.20 + z)), "aluminium")
    rod = sh.cylinder(0.02, 0.14, 10).translate((x, y, DECK_Z + 0.28))
    horn.add(rod, "gold_foil_smooth")


def _omni(
    a: Assembly,
    name: str,
    foot: tuple[float, float, float],
    head: tuple[float, float, float],
    up: float,
) -> None:
    boom = a.part(f"sband_{name}_boom", "boom")
    boom.add(sh.strut(foot, head, 0.022, 10), "white_paint")
    base = sh.cylinder(0.055, 0.05, 16).translate((foot[0], foot[1], foot[2]))
    boom.add(base, "aluminium")
    brace = (foot[0] - 0.25, foot[1], foot[2]) if name == "forward" else None
    brace = brace or (foot[0] + 0.30, foot[1], foot[2])
    mid = [0.45 * foot[k] + 0.55 * head[k] for k in range(3)]
    boom.add(sh.strut(brace, mid, 0.012, 8), "white_paint")
    omni = a.part(f"sband_{name}_omni", "antenna")
    x, y, z = head
    omni.add(sh.cylinder(0.085, 0.025, 20).translate((x, y, z)), "aluminium")
    body = sh.join(
        sh.cylinder(0.055, 0.13, 14).translate((0, 0, 0.07)),
        sh.hemisphere(0.055, 14, 3).translate((0, 0, 0.132)),
    )
    omni.add((body if up > 0 else body.rotate("x", 180)).translate(head), "white_paint")


def _star_tracker(a: Assembly, k: int, x: float, y: float, lean: int) -> None:
    direction = (0.15, 0.42 * lean, -0.90)
    mount = a.part(f"star_tracker_{k}_mount", "structure")
    wedge = sh.box((0.26, 0.26, 0.18), 0.012).aim(direction)
    mount.add(wedge.translate((x, y, ZENITH_Z - 0.01)), "cfrp")
    mount.add(sh.box((0.36, 0.36, 0.05)).translate((x, y, ZENITH_Z - 0.012)), "aluminium")
    body = a.part(f"star_tracker_{k}", "sensor")
    unit = sh.box((0.19, 0.19, 0.20)).aim(direction)
    at = (x + 0.01, y + 0.04 * lean, ZENITH_Z - 0.15)
    body.add(unit.translate(at), "anodised")
    shade = a.part(f"star_tracker_{k}_baffle", "sensor")
    tube = sh.baffle(0.082, 0.34, 2, 16, wall=0.008, flare=1.55).aim(direction)
    n = (0.15**2 + 0.42**2 + 0.90**2) ** 0.5
    foot = [at[i] + 0.098 * direction[i] / n for i in range(3)]
    shade.add(tube.translate(foot), "black_paint")
    lip = [at[i] + 0.425 * direction[i] / n for i in range(3)]
    shade.add(sh.ring(0.127, 0.010, 18, 4).aim(direction).translate(lip), "aluminium")


def _gyro(a: Assembly) -> None:
    gyro = a.part("inertial_reference_unit", "sensor")
    gyro.add(sh.box((0.34, 0.30, 0.17)).translate((1.50, 0.0, ZENITH_Z - 0.070)), "mli_black")
    plug = sh.cylinder(0.03, 0.05, 12).rotate("y", 90)
    for y in (-0.08, 0.08):
        gyro.add(plug.translate((1.325, y, ZENITH_Z - 0.08)), "steel_dark")


def _magnetometers(a: Assembly) -> None:
    for k, y in enumerate((-0.52, 0.52)):
        part = a.part(f"magnetometer_{k + 1}", "sensor")
        part.add(sh.strut((-2.05, y, -0.66), (-2.05, y, -0.94), 0.018, 8), "cfrp")
        part.add(sh.box((0.15, 0.09, 0.09)).translate((-2.05, y, -0.96)), "gold_foil_smooth")


def _torque_rods(a: Assembly) -> None:
    for k, (x, y, axis) in enumerate(((-0.45, 0.42, "y"), (-1.45, 0.0, "x"), (0.55, -0.45, "y"))):
        part = a.part(f"torque_rod_{k + 1}", "bus")
        rod = sh.cylinder(0.038, 0.92, 14).rotate(axis, 90.0)
        if axis == "x":
            part.add(rod.translate((x, y, ZENITH_Z - 0.055)), "black_paint")
            feet = [(x, y + d, ZENITH_Z - 0.02) for d in (-0.33, 0.33)]
            foot = sh.box((0.11, 0.05, 0.10))
        else:
            part.add(rod.translate((x, y, ZENITH_Z - 0.055)), "black_paint")
            feet = [(x + d, y, ZENITH_Z - 0.02) for d in (-0.33, 0.33)]
            foot = sh.box((0.05, 0.11, 0.10))
        for at in feet:
            part.add(foot.translate(at), "aluminium")


def _earth_sensors(a: Assembly) -> None:
    for k, y in enumerate((-0.66, 0.66)):
        part = a.part(f"earth_sensor_{k + 1}", "sensor")
        part.add(sh.box((0.20, 0.17, 0.17)).translate((2.24, y, DECK_Z + 0.08)), "mli_silver")
        eye = sh.baffle(0.05, 0.07, 1, 10, wall=0.006).translate((2.24, y, DECK_Z + 0.155))
        part.add(eye, "baffle_black")


def _sun_sensors(a: Assembly) -> None:
    spots = (
        ((2.30, PANEL_FACE - 0.02, -0.56), (0.6, 0.7, -0.4)),
        ((2.30, -PANEL_FACE + 0.02, -0.56), (0.6, -0.7, -0.4)),
        ((-2.30, PANEL_FACE - 0.02, -0.56), (-0.6, 0.7, -0.4)),
        ((-2.30, -PANEL_FACE + 0.02, -0.56), (-0.6, -0.7, -0.4)),
        ((-2.30, PANEL_FACE - 0.02, 0.52), (-0.6, 0.7, 0.4)),
        ((2.30, -PANEL_FACE + 0.02, 0.52), (0.6, -0.7, 0.4)),
    )
    for k, (at, way) in enumerate(spots):
        part = a.part(f"coarse_sun_sensor_{k + 1}", "sensor")
        part.add(sh.cone(0.062, 0.045, 0.09, 8).aim(way).translate(at), "aluminium")
        n = (way[0] ** 2 + way[1] ** 2 + way[2] ** 2) ** 0.5
        eye = [at[i] + 0.045 * way[i] / n for i in range(3)]
        part.add(sh.cylinder(0.034, 0.018, 8).aim(way).translate(eye), "glass_lens")


def _electronics(a: Assembly) -> None:
    """Boxes outside the eggcrate, under their own blankets."""
    boxes = (
        ("transponder_box", (0.75, 0.40, -0.06), (0.40, 0.34, 0.20), "mli_silver"),
        ("array_drive_electronics", (-0.95, -0.52, -0.06), (0.46, 0.28, 0.18), "mli_black"),
        ("solid_state_recorder_box", (-0.15, -0.36, -0.06), (0.42, 0.36, 0.22), "mli_silver"),
    )
    for name, (x, y, dz), size, surface in boxes:
        part = a.part(name, "bus")
        box = sh.blanket_box(size, 0.006, 0.20, len(name), radius=0.02)
        part.add(box.translate((x, y, ZENITH_Z + dz)), surface)


def _harness(a: Assembly) -> None:
    z = DECK_Z + 0.024
    runs = {
        "harness_nadir_right": [(2.2, 0.82, z), (0.9, 0.83, z), (0.6, 0.82, z), (-2.2, 0.83, z)],
        "harness_nadir_left": [(2.2, -0.82, z), (0.4, -0.83, z), (0.1, -0.82, z), (-2.2, -0.83, z)],
        "harness_zenith": [
            (2.25, 0.20, ZENITH_Z - 0.004),
            (0.9, 0.17, ZENITH_Z - 0.004),
            (0.6, 0.10, ZENITH_Z - 0.004),
            (-0.9, 0.12, ZENITH_Z - 0.004),
            (-2.25, 0.22, ZENITH_Z - 0.004),
        ],
    }
    for name, points in runs.items():
        part = a.part(name, "structure")
        part.add(sh.pipe(points, 0.022, 8), "harness")
        for k in range(len(points) - 1):
            p, q = points[k], points[k + 1]
            mid = [0.5 * (p[i] + q[i]) for i in range(3)]
            part.add(sh.box((0.05, 0.075, 0.052)).translate(mid), "aluminium")


def _handling(a: Assembly) -> None:
    for k, (x, y) in enumerate(((1.9, 0.72), (1.9, -0.72), (-1.9, 0.72), (-1.9, -0.72))):
        part = a.part(f"lifting_point_{k + 1}", "structure")
        part.add(sh.box((0.14, 0.10, 0.05)).translate((x, y, ZENITH_Z - 0.015)), "titanium")
        eye = sh.ring(0.042, 0.014, 10, 4).rotate("x", 90).translate((x, y, ZENITH_Z - 0.072))
        part.add(eye, "titanium")
    panel = a.part("test_connector_panel", "structure")
    x, z = 1.75, 0.545
    frame = open_box(0.34, 0.10, 0.07, 0.016).rotate("x", -90)
    panel.add(frame.translate((x, PANEL_FACE + 0.023, z)), "anodised")
    for k in range(4):
        plug = sh.cylinder(0.024, 0.05, 12).rotate("x", 90)
        panel.add(plug.translate((x - 0.105 + 0.07 * k, PANEL_FACE + 0.028, z)), "steel_dark")


def _vents(a: Assembly) -> None:
    for k, (x, y) in enumerate(((-2.0, 0.0), (0.15, 0.46), (2.1, -0.25))):
        part = a.part(f"vent_{k + 1}", "bus")
        part.add(sh.cylinder(0.065, 0.05, 14).translate((x, y, ZENITH_Z - 0.012)), "aluminium")
        mesh = sh.cylinder(0.045, 0.02, 12).translate((x, y, ZENITH_Z - 0.036))
        part.add(mesh, "baffle_black")


def _hold_downs(a: Assembly) -> None:
    """Posts on the Sun's side that held the folded panels for the launch."""
    spots = (
        (-2.12, 0.0),
        (-1.32, 0.44),
        (-0.30, -0.44),
        (-0.30, 0.44),
        (1.06, 0.46),
        (1.06, -0.46),
    )
    for k, (x, z) in enumerate(spots):
        part = a.part(f"array_hold_down_{k + 1}", "structure")
        y = -PANEL_FACE
        part.add(sh.box((0.16, 0.05, 0.16)).translate((x, y - 0.012, z)), "aluminium")
        post = sh.cone(0.05, 0.034, 0.20, 10).rotate("x", 90).translate((x, y - 0.12, z))
        part.add(post, "titanium")
        cap = sh.cylinder(0.046, 0.03, 10).rotate("x", 90).translate((x, y - 0.225, z))
        part.add(cap, "anodised")
    part = a.part("panel_grounding_points", "structure")
    points = [(x, s * (PANEL_FACE + 0.004), 0.57) for x in (-0.1, 1.1) for s in (-1, 1)]
    part.add(bolts(points, 0.024, "y"), "steel_dark")
