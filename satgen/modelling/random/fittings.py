"""What is bolted onto the bus: thrusters, tanks, antennas, sensors, booms, boxes, cables."""

from __future__ import annotations

import math

import numpy as np

from satgen.modelling import shapes
from satgen.modelling.fittings import dish_feed
from satgen.modelling.forms import bolts
from satgen.modelling.random.craft import Craft
from satgen.modelling.random.draw import Draw
from satgen.modelling.random.mounts import Face, around


def add_propulsion(c: Craft) -> None:
    """Clusters of thrusters at the lower corners, tanks, valves."""
    draw, e = c.draw("propulsion"), c.unit
    count = 4 if c.design.form in ("box", "chamfered", "octagon") else draw.choice((3, 6))
    reach_w, reach_d = 0.40 * c.design.width, 0.40 * c.design.depth
    cant = draw.uniform(0.0, 0.5)
    pairs = draw.choice((1, 2, 2))
    for k in range(count):
        t = 2.0 * math.pi * (k + 0.5) / count
        if c.design.form in ("box", "chamfered"):
            x, y = math.copysign(reach_w, math.cos(t)), math.copysign(reach_d, math.sin(t))
        else:
            x, y = reach_w * math.cos(t), reach_d * math.sin(t)
        _cluster(c, draw, x, y, cant, pairs)
    for _ in range(draw.choice((0, 0, 2, 3))):
        _tank(c, draw)
    if draw.chance(0.4) or not any(p.cls == "thruster" for p in c.assembly.parts):
        _side_thrusters(c, draw)
    spot = c.bottom.claim(draw, 0.34 * e, 0.22 * e, 0.01)
    if spot is not None:
        x, y = spot
        part = c.part("fill_drain_valves", "thruster")
        plate = shapes.box((0.32 * e, 0.18 * e, 0.06), 0.006)
        part.add(c.bottom.put(plate, x, y, 0.01), "aluminium")
        for k in range(3):
            dx = (-0.1 + 0.1 * k) * e
            valve = shapes.cylinder(0.022 * e, 0.08 * e + 0.03, 10)
            part.add(c.bottom.put(valve, x + dx, y, 0.03 + 0.03 * e), "steel_dark")
            cap = shapes.cylinder(0.03 * e, 0.03 * e, 6)
            part.add(c.bottom.put(cap, x + dx, y, 0.045 + 0.075 * e), "titanium")


def _cluster(c: Craft, draw: Draw, x: float, y: float, cant: float, pairs: int) -> None:
    e = c.unit
    if not c.bottom.is_free(x, y, 0.13 * e, 0.13 * e):
        return
    c.bottom.take(x, y, 0.26 * e, 0.26 * e)
    length = math.hypot(x, y)
    out = np.array([x, y]) / length
    part = c.next("thruster_cluster", "thruster")
    block = shapes.box((0.20 * e, 0.20 * e, 0.11 * e), 0.01)
    turn = math.degrees(math.atan2(out[1], out[0]))
    part.add(c.bottom.put(block.rotate("z", turn), x, y, 0.035 * e), c.palette.deck)
    for k in range(pairs):
        side = 0.0 if pairs == 1 else (-1.0, 1.0)[k]
        across = np.array([-out[1], out[0]])
        at = np.array([x, y]) + side * 0.055 * e * across + 0.03 * e * out
        way = np.array([*(cant * out + 0.25 * side * cant * across), 1.0])
        way /= np.linalg.norm(way)
        bed = shapes.cylinder(0.028 * e, 0.07 * e, 10).aim(way)
        bell = shapes.nozzle(0.014 * e, 0.045 * e, 0.09 * e, 14, 0.004 * e).aim(way)
        foot = np.array([*at, 0.09 * e])
        part.add(c.bottom.placing.put(bed, foot), "titanium")
        part.add(c.bottom.placing.put(bell, foot + 0.03 * e * way), "steel_dark")


def _side_thrusters(c: Craft, draw: Draw) -> None:
    """A small thruster low on every other side."""
    for face in c.sides[:: max(1, len(c.sides) // 4)]:
        for scale in (c.unit, 0.6 * c.unit):
            size = 0.16 * scale
            spot = face.claim(draw, size, size, 0.01, (-0.9, 0.9), (-0.95, 0.95))
            if spot is None:
                continue
            part = c.next("side_thruster", "thruster")
            pad = shapes.box((size, size, 0.06), 0.006)
            part.add(face.put(pad, *spot, 0.008), "foil_smooth")
            bed = shapes.cylinder(0.03 * scale, 0.06 * scale + 0.02, 10)
            part.add(face.put(bed, *spot, 0.03 + 0.03 * scale), "titanium")
            bell = shapes.nozzle(0.014 * scale, 0.045 * scale, 0.09 * scale, 14, 0.004 * scale)
            part.add(face.put(bell, *spot, 0.035 + 0.05 * scale), "steel_dark")
            break


def _tank(c: Craft, draw: Draw) -> None:
    """A tank that bulges out of a side or of the lower deck."""
    e = c.unit
    face = draw.choice([c.bottom, *c.free_sides()])
    radius = draw.uniform(0.14, 0.3) * e
    spot = face.claim(draw, 2.1 * radius, 2.1 * radius, 0.02)
    if spot is None:
        return
    part = c.next("tank", "thruster")
    dome = shapes.sphere(radius, 26, 13)
    part.add(
        face.put(dome, *spot, 0.35 * radius),
        draw.choice(("titanium", "titanium", c.palette.main, "foil_smooth", "cfrp")),
    )
    collar = shapes.tube(1.02 * radius, 0.88 * radius, 0.05 * e, 28)
    part.add(face.put(collar, *spot, 0.012 * e), "aluminium")
    for k in range(4):
        t = math.pi / 2.0 * k + 0.4
        lug = shapes.box((0.07 * e, 0.05 * e, 0.06), 0.004)
        at = (spot[0] + radius * math.cos(t), spot[1] + radius * math.sin(t))
        part.add(face.put(lug, *at, 0.008), "aluminium")


def add_booms(c: Craft) -> None:
    """A boom with a magnetometer or an antenna at its end, or two."""
    draw, e = c.draw("booms"), c.unit
    wanted = draw.weighted({0: 1.2, 1: 1.6, 2: 0.8})
    faces = draw.shuffled([c.top, c.bottom, *c.free_sides()])
    for face in faces:
        if wanted <= 0:
            return
        x, y = draw.uniform(-0.6, 0.6) * face.width / 2, draw.uniform(-0.6, 0.6) * face.height / 2
        if not (face.holds(x, y, 0.1 * e, 0.1 * e) and face.is_free(x, y, 0.13 * e, 0.13 * e)):
            continue
        length = draw.uniform(0.45, 1.5) * c.design.size
        lean = np.array([draw.uniform(-0.5, 0.5), draw.uniform(-0.5, 0.5), 1.0])
        lean /= np.linalg.norm(lean)
        foot = face.placing.point((x, y, -0.01))
        tip = face.placing.point(np.array([x, y, 0.0]) + length * lean)
        steps = [around([foot + t * (tip - foot)], 0.1 * e) for t in np.linspace(0.08, 1.0, 12)]
        if not c.space.claim(*steps):
            continue
        face.take(x, y, 0.3 * e, 0.3 * e)
        wanted -= 1
        name = f"boom_{sum(p.name.startswith('boom_foot') for p in c.assembly.parts) + 1}"
        base = c.next("boom_foot", "structure")
        base.add(face.put(shapes.box((0.22 * e, 0.22 * e, 0.06), 0.008), x, y, 0.01), "aluminium")
        rod = c.part(name, "boom")
        if draw.chance(0.5):
            bays = max(4, min(22, round(length / (0.28 * e))))
            mast = shapes.truss(foot, tip, 0.15 * e, bays, 0.012 * e, draw.choice((3, 4)), 5)
        else:
            mast = shapes.strut(foot, tip, 0.026 * e, 10)
        rod.add(mast, draw.choice(("cfrp", "aluminium", c.palette.paint)))
        way = (tip - foot) / np.linalg.norm(tip - foot)
        if draw.chance(0.6):
            head = c.next("magnetometer", "sensor")
            box = shapes.box((0.16 * e, 0.16 * e, 0.22 * e), 0.01)
            head.add(
                box.aim(way).translate(tip + 0.06 * e * way),
                draw.choice(("foil_smooth", c.palette.payload, "paint_white")),
            )
            c.landmark(f"{name}_tip", tip + 0.17 * e * way)
        else:
            head = c.next("boom_antenna", "antenna")
            plate = shapes.cylinder(0.11 * e, 0.03, 20, 0.004)
            head.add(plate.aim(way).translate(tip + 0.005 * way), "aluminium")
            horn = shapes.cone(0.07 * e, 0.045 * e, 0.22 * e, 16)
            head.add(horn.aim(way).translate(tip + 0.12 * e * way), "paint_white")
            c.landmark(f"{name}_tip", tip + 0.23 * e * way)


def add_antennas(c: Craft) -> None:
    """A steerable dish or two, omnis on both ends, patches, helices."""
    draw = c.draw("antennas")
    faces = [c.top, *c.free_sides(), c.bottom]
    for _ in range(draw.weighted({0: 0.7, 1: 2.0, 2: 1.0})):
        _steerable(c, draw, draw.choice(faces))
    for face in (c.top, c.bottom):
        _omni(c, draw, face)
    for _ in range(draw.integer(1, 3)):
        _patch(c, draw, draw.choice((c.top, c.top, *c.sides)))
    for face in (c.top, *c.sides, c.bottom):
        for scale in (1.0, 0.5, 0.25):  # where everything is full, a small one
            if not any(p.cls == "antenna" for p in c.assembly.parts):
                _patch(c, draw, face, scale)
    if draw.chance(0.4):
        _helix(c, draw, draw.choice((c.top, *c.free_sides())))


def _steerable(c: Craft, draw: Draw, face: Face) -> None:
    """A small dish on a gimballed mast."""
    e = c.unit
    radius = draw.uniform(0.16, 0.42) * e
    spot = face.claim(draw, 0.24 * e, 0.24 * e, 0.02)
    if spot is None:
        return
    x, y = spot
    tall = radius * draw.uniform(0.9, 1.6) + 0.16 * e
    beam_local = np.array([draw.uniform(-0.5, 0.5), draw.uniform(-0.5, 0.5), 1.0])
    beam = beam_local @ face.placing.axes
    beam /= np.linalg.norm(beam)
    at = face.placing.point((x, y, tall))
    if not c.space.claim(around([at, at + 0.5 * radius * beam], 1.05 * radius)):
        return
    mast = c.next("dish_mast", "boom")
    mast.add(face.put(shapes.box((0.2 * e, 0.2 * e, 0.06), 0.008), x, y, 0.01), "aluminium")
    pole = shapes.cone(0.07 * e, 0.05 * e, tall, 18)
    mast.add(
        face.put(pole, x, y, tall / 2.0 - 0.03), draw.choice((c.palette.paint, c.palette.deck))
    )
    joint = shapes.sphere(0.078 * e, 18, 9)
    dish = c.next("dish", "antenna")
    dish.add(joint.translate(at - 0.05 * e * beam), "anodised")
    deep = 0.36 * radius
    bowl = shapes.dish(2 * radius, deep, 0.014 * e, 34, 5)
    dish.add(bowl.aim(beam).translate(at), c.palette.dish)
    rim = shapes.ring(0.99 * radius, 0.009 * e, 34, 5).translate((0, 0, deep))
    dish.add(rim.aim(beam).translate(at), "aluminium")
    focus = radius**2 / (4.0 * deep)
    leg = ((0.72 * radius, 0.0, 0.5 * deep), (0.05 * radius, 0.0, focus))
    number = sum(p.name.startswith("dish_feed") for p in c.assembly.parts) + 1
    dish_feed(
        c.assembly,
        f"dish_feed_{number}",
        leg,
        (0.13 * radius, 0.09 * radius, 0.16 * radius, 14),
        focus,
        (beam[0], beam[1], beam[2]),
        (at[0], at[1], at[2]),
    )
    tip = at + (focus + 0.08 * radius) * beam
    c.landmark(f"dish_{number}_feed", tip)


def _omni(c: Craft, draw: Draw, face: Face) -> None:
    e = c.unit
    spot = face.claim(draw, 0.16 * e, 0.16 * e, 0.02)
    if spot is None:
        return
    x, y = spot
    tall = draw.uniform(0.15, 0.7) * e
    if not c.space.claim(
        face.placing.box(
            (x - 0.09 * e, y - 0.09 * e, 0.05), (x + 0.09 * e, y + 0.09 * e, tall + 0.3 * e)
        )
    ):
        return
    boom = c.next("omni_mast", "boom")
    boom.add(face.put(shapes.box((0.15 * e, 0.15 * e, 0.06), 0.008), x, y, 0.01), "aluminium")
    boom.add(
        face.put(shapes.cylinder(0.024 * e, tall + 0.02, 10), x, y, tall / 2.0),
        draw.choice(("aluminium", c.palette.paint)),
    )
    omni = c.next("omni", "antenna")
    omni.add(face.put(shapes.cylinder(0.08 * e, 0.025, 20, 0.004), x, y, tall), "aluminium")
    horn = shapes.cone(0.05 * e, 0.034 * e, 0.18 * e, 16)
    omni.add(face.put(horn, x, y, tall + 0.09 * e), "paint_white")
    c.landmark(f"omni_{face.name}_tip", face.placing.point((x, y, tall + 0.18 * e)))


def _patch(c: Craft, draw: Draw, face: Face, scale: float = 1.0) -> None:
    e = scale * c.unit
    spot = face.claim(draw, 0.22 * e, 0.22 * e, 0.02 * scale)
    if spot is None:
        return
    part = c.next("patch_antenna", "antenna")
    post = shapes.box((0.12 * e, 0.12 * e, 0.09), 0.006)
    part.add(face.put(post, *spot, 0.02), "anodised")
    plate = shapes.cylinder(0.10 * e, 0.022, 22, 0.004)
    part.add(face.put(plate, *spot, 0.07), "aluminium")
    dome = shapes.hemisphere(0.055 * e, 14, 3).scale((1, 1, 0.6))
    part.add(face.put(dome, *spot, 0.078), "paint_white")


def _helix(c: Craft, draw: Draw, face: Face) -> None:
    """A helical antenna around its rod."""
    e = c.unit
    spot = face.claim(draw, 0.26 * e, 0.26 * e, 0.02)
    tall, radius, turns = draw.uniform(0.35, 0.8) * e, 0.07 * e, 6
    if spot is None:
        return
    x, y = spot
    box = face.placing.box(
        (x - 0.12 * e, y - 0.12 * e, 0.05), (x + 0.12 * e, y + 0.12 * e, tall + 0.1)
    )
    if not c.space.claim(box):
        return
    part = c.next("helix_antenna", "antenna")
    part.add(face.put(shapes.cylinder(0.12 * e, 0.05, 24, 0.005), x, y, 0.012), "aluminium")
    part.add(face.put(shapes.cylinder(0.018 * e, tall, 10), x, y, tall / 2.0), "paint_white")
    steps = np.linspace(0.0, 1.0, turns * 10 + 1)
    path = [
        (
            radius * math.cos(2 * math.pi * turns * t),
            radius * math.sin(2 * math.pi * turns * t),
            0.02 + 0.94 * tall * t,
        )
        for t in steps
    ]
    part.add(face.put(shapes.pipe(path, 0.009 * e, 5), x, y), "foil_smooth")
    for k in range(turns):
        bar = shapes.strut((-0.005, 0, 0), (radius + 0.004 * e, 0, 0), 0.007 * e, 6)
        part.add(face.put(bar, x, y, 0.02 + 0.94 * tall * k / turns + 0.001), "paint_white")


def add_sensors(c: Craft) -> None:
    """Star trackers with baffles, sun sensors, an Earth sensor, a gyroscope."""
    draw, e = c.draw("sensors"), c.unit
    for _ in range(draw.integer(2, 3)):
        _star_tracker(c, draw, draw.choice((c.top, *c.free_sides())))
    for k, face in enumerate(draw.shuffled([c.top, c.bottom, *c.sides])):
        if k >= 5 and any(p.cls == "sensor" for p in c.assembly.parts):
            break
        spot = face.claim(draw, 0.13 * e, 0.13 * e, 0.01)
        if spot is not None:
            part = c.next("sun_sensor", "sensor")
            base = shapes.box((0.11 * e, 0.11 * e, 0.08), 0.006)
            part.add(face.put(base, *spot, 0.02), "aluminium")
            eye = shapes.cone(0.042 * e, 0.02 * e, 0.04, 8)
            part.add(face.put(eye, *spot, 0.075), "glass_lens")
    face = draw.choice((c.top, *c.sides))
    spot = face.claim(draw, 0.24 * e, 0.24 * e, 0.02)
    if spot is not None:
        part = c.next("earth_sensor", "sensor")
        body = shapes.box((0.2 * e, 0.18 * e, 0.17 * e + 0.03), 0.012)
        part.add(face.put(body, *spot, 0.085 * e - 0.015), c.palette.deck)
        hood = shapes.tube(0.062 * e, 0.048 * e, 0.1 * e, 18)
        part.add(face.put(hood, *spot, 0.21 * e), "paint_black")
        glass = shapes.cylinder(0.052 * e, 0.02, 18)
        part.add(face.put(glass, *spot, 0.172 * e), "glass_lens")


def _star_tracker(c: Craft, draw: Draw, face: Face) -> None:
    e = c.unit
    spot = face.claim(draw, 0.3 * e, 0.3 * e, 0.02)
    if spot is None:
        return
    x, y = spot
    away = np.array([x, y]) / max(1e-6, math.hypot(x, y))
    lean = draw.uniform(0.25, 0.8)
    look = np.array([*(lean * away), 1.0]) @ face.placing.axes
    look /= np.linalg.norm(look)
    at = face.placing.point((x, y, 0.17 * e))
    length = draw.uniform(0.2, 0.34) * e
    if not c.space.claim(around([at, at + (0.1 * e + length) * look], 0.12 * e), margin=0.0):
        return
    mount = c.next("star_tracker_mount", "structure")
    stand = shapes.box((0.15 * e, 0.15 * e, 0.2 * e), 0.01)
    mount.add(face.put(stand, x, y, 0.07 * e), "anodised")
    part = c.next("star_tracker", "sensor")
    body = shapes.box((0.16 * e, 0.16 * e, 0.18 * e), 0.01).translate((0, 0, -0.03 * e))
    part.add(body.aim(look).translate(at), draw.choice(("anodised", "aluminium", c.palette.deck)))
    hood = shapes.baffle(0.07 * e, length, 2, 18, 0.006 * e, draw.uniform(1.2, 1.6))
    hood = hood.translate((0, 0, 0.05 * e))
    part.add(hood.aim(look).translate(at), "paint_black")
    lens = shapes.hemisphere(0.05 * e, 12, 2).scale((1, 1, 0.4)).translate((0, 0, 0.06 * e))
    part.add(lens.aim(look).translate(at), "glass_lens")


def add_details(c: Craft) -> None:
    """Boxes with connectors, access panels, vents, lifting points, cable runs."""
    draw, e = c.draw("details"), c.unit
    for _ in range(draw.integer(5, 10)):
        _equipment_box(c, draw, draw.choice(c.sides))
    for _ in range(draw.integer(2, 5)):
        face = draw.choice(c.sides)
        w, h = draw.uniform(0.24, 0.5) * e, draw.uniform(0.16, 0.4) * e
        spot = face.claim(draw, w, h, 0.02)
        if spot is None:
            continue
        part = c.next("access_panel", "structure")
        plate = shapes.box((w, h, 0.06), 0.005)
        part.add(
            face.put(plate, *spot, 0.0), draw.choice(("aluminium", "foil_smooth", c.palette.paint))
        )
        heads = [
            (spot[0] + a * (w / 2 - 0.03 * e), spot[1] + b * (h / 2 - 0.03 * e))
            for a in (-1, 0, 1)
            for b in (-1, 1)
        ]
        part.add(face.put(bolts(heads, 0.012 * e, 0.012), lift=0.03), "steel_dark")
    for face in draw.shuffled(c.sides)[:4]:
        spot = face.claim(draw, 0.12 * e, 0.12 * e, 0.01)
        if spot is not None:
            cup = shapes.tube(0.05 * e, 0.03 * e, 0.07, 14)
            c.next("vent", "bus").add(face.put(cup, *spot, 0.008), "anodised")
    for face in draw.shuffled(c.sides)[:4]:
        low = -0.86 if draw.chance(0.6) else 0.7
        spot = face.claim(draw, 0.17 * e, 0.17 * e, 0.01, (-0.9, 0.9), (low, low + 0.16))
        if spot is None:
            continue
        part = c.next("handling_point", "structure")
        pad = shapes.box((0.15 * e, 0.15 * e, 0.06), 0.008)
        part.add(face.put(pad, *spot, 0.01), "aluminium")
        pin = shapes.cylinder(0.036 * e, 0.12 * e + 0.03, 14, 0.006)
        part.add(face.put(pin, *spot, 0.06 * e), "titanium")
        number = sum(p.name.startswith("handling_point") for p in c.assembly.parts)
        end = face.placing.point((*spot, 0.12 * e + 0.014))
        c.landmark(f"handling_point_{number}", end)
    _cables(c, draw)


def _equipment_box(c: Craft, draw: Draw, face: Face) -> None:
    e = c.unit
    w, h = draw.uniform(0.2, 0.55) * e, draw.uniform(0.18, 0.5) * e
    proud = draw.uniform(0.06, 0.16) * e
    spot = face.claim(draw, w + 0.1 * e, h + 0.04 * e, 0.01)
    if spot is None:
        return
    x, y = spot
    part = c.next("equipment_box", "bus")
    body = shapes.box((w, h, proud + 0.04), 0.01)
    part.add(
        face.put(body, x, y, (proud - 0.04) / 2.0),
        draw.choice(("anodised", "paint_black", "paint_white", c.palette.deck, c.palette.payload)),
    )
    lug = shapes.box((0.06 * e, 0.05 * e, 0.06), 0.003)
    for a in (-1, 1):
        for b in (-0.32, 0.32):
            part.add(face.put(lug, x + a * (w / 2 + 0.02 * e), y + b * h, 0.003), "aluminium")
    plug = shapes.cylinder(0.02 * e, 0.06 * e, 10).rotate("x", 90.0)
    for k in range(draw.integer(1, 3)):
        dx = (-0.3 + 0.3 * k) * w
        part.add(face.put(plug, x + dx, y + h / 2.0, 0.55 * proud), "steel_dark")


def _cables(c: Craft, draw: Draw) -> None:
    """Cable bundles along the sides, half sunk, with clamps, around what stands there."""
    e = c.unit
    for face in draw.shuffled(c.sides)[: draw.integer(1, 3)]:
        length = draw.uniform(0.5, 0.9) * face.height
        spot = face.claim(draw, 0.08 * e, length, 0.01, (-0.95, 0.95), (-0.3, 0.3))
        if spot is None:
            continue
        x, y = spot
        part = c.next("harness", "structure")
        sway = 0.012 * e
        steps = np.linspace(-0.48, 0.48, 6)
        path = [(x + sway * math.sin(5.0 * s), y + s * length, 0.012) for s in steps]
        part.add(
            face.put(shapes.pipe(path, 0.02 * e, 7)), draw.choice(("paint_black", "foil_smooth"))
        )
        clamp = shapes.box((0.08 * e, 0.035 * e, 0.07), 0.004)
        for s in steps[1:-1:2]:
            at = (x + sway * math.sin(5.0 * s), y + s * length)
            part.add(face.put(clamp, *at, 0.009), "aluminium")
