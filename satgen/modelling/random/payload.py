"""What the satellite carries on its deck: telescope, instruments, dishes, radar, a second body."""

from __future__ import annotations

import math

import numpy as np

from satgen.modelling import shapes
from satgen.modelling.fittings import dish_feed
from satgen.modelling.forms import bolts, curved_blanket, framed
from satgen.modelling.random.craft import Craft
from satgen.modelling.random.draw import Draw
from satgen.modelling.random.mounts import Array, Box, Face, Placing, around
from satgen.modelling.shapes import Shape


def add_payload(c: Craft) -> None:
    """The main payload, then smaller instruments where there is room."""
    {
        "telescope": _telescope,
        "instruments": _instrument_deck,
        "comms": _comms,
        "radar": _radar,
        "reflector": _reflector,
        "module": _module,
    }[c.design.payload](c)


def add_instruments(c: Craft) -> None:
    """Instruments on decks and sides, as many as there is room for; at least one."""
    draw = c.draw("instruments")
    wanted = draw.integer(3, 6) if c.design.payload == "instruments" else draw.integer(1, 3)
    faces = [c.top, c.top, *c.sides, c.bottom]
    done = 0
    for _ in range(4 * wanted):
        done += _instrument(c, draw, draw.choice(faces))
        if done >= wanted:
            return
    for scale in (0.25, 0.16, 0.11):  # where everything is full, small ones
        for face in (c.top, *c.sides, c.bottom):
            if done:
                return
            done += _instrument(c, draw, face, scale)


def _deck_size(c: Craft) -> float:
    return min(c.design.width, c.design.depth)


def _telescope(c: Craft) -> None:
    """A barrel with baffles inside, blankets outside, mirrors, sometimes a cover or a sunshade."""
    draw, e = c.draw("payload"), c.unit
    radius = draw.uniform(0.26, 0.44) * _deck_size(c)
    length = radius * draw.uniform(1.6, 4.2)
    wall = max(0.03, 0.05 * radius)
    if draw.chance(0.3):
        radius *= 0.8
        x = draw.sign() * 0.16 * _deck_size(c)
    else:
        x = 0.0
    base = c.part("telescope_bench", "structure")
    stand = 0.12 * e
    ring = shapes.cylinder(1.08 * radius, stand + 0.04, 36, 0.008)
    base.add(c.top.put(ring, x, 0.0, stand / 2.0 - 0.02), draw.choice(("anodised", "cfrp")))
    barrel = c.part("telescope_barrel", "instrument")
    tube = shapes.baffle(radius, length, draw.integer(3, 5), 36, wall)
    barrel.add(c.top.put(tube, x, 0.0, stand), "baffle_black")
    skin = c.part("telescope_blankets", "instrument")
    rows = max(1, round(length / max(0.8, 0.3 * length)))
    pieces = max(5, math.ceil(2 * math.pi * radius / 1.3))
    dark = draw.chance(0.3)
    for r in range(rows):
        low, high = stand + length * r / rows + 0.004, stand + length * (r + 1) / rows - 0.004
        material = "paint_black" if dark and r == rows - 1 else c.palette.payload
        for k in range(pieces):
            a = 360.0 / pieces
            sheet = curved_blanket(
                (k * a + 0.15, (k + 1) * a - 0.15),
                (low, high),
                (radius + 0.022, radius + 0.022),
                draw.integer(0, 10**6),
                thickness=0.03,
                puff=0.010,
                cell=max(0.12, 0.16 * radius),
            )
            skin.add(c.top.put(sheet, x, 0.0), material)
    for r in range(1, rows):
        band = shapes.tube(radius + 0.045, radius + 0.005, 0.035 * e, 36)
        skin.add(c.top.put(band, x, 0.0, stand + length * r / rows), "aluminium")
    rim = c.part("telescope_rim", "instrument")
    hoop = shapes.tube(radius + 0.05, radius - 0.8 * wall, 0.05 * e, 36)
    rim.add(c.top.put(hoop, x, 0.0, stand + length), draw.choice(("aluminium", "paint_black")))
    mirror = c.part("primary_mirror", "instrument")
    bowl = shapes.dish(1.5 * radius, 0.10 * radius, 0.03, 32, 5)
    mirror.add(c.top.put(bowl, x, 0.0, stand + wall + 0.04), "osr")
    top = stand + length + 0.025 * e
    for k in range(4):
        t = math.pi / 2.0 * k + 0.4
        edge = radius + 0.045
        c.landmark(
            f"aperture_{k + 1}",
            c.top.placing.point((x + edge * math.cos(t), edge * math.sin(t), top - 0.004)),
        )
    c.top.take(x, 0.0, 2.3 * radius, 2.3 * radius)
    reach = 1.1 * radius
    c.space.take(c.top.placing.box((x - reach, -reach, 0.0), (x + reach, reach, top)))
    if draw.chance(0.4):
        _cover(c, draw, x, radius, top)


def _cover(c: Craft, draw: Draw, x: float, radius: float, top: float) -> None:
    """The aperture's cover, open, on a hinge at the rim."""
    lid = shapes.cylinder(1.04 * radius, 0.04, 36, 0.008).translate((1.04 * radius + 0.06, 0, 0))
    angle = draw.uniform(60.0, 110.0)
    turn = draw.uniform(0.0, 360.0)
    opened = lid.rotate("y", -angle).translate((radius + 0.06, 0.0, 0.02)).rotate("z", turn)
    part = c.part("aperture_cover", "structure")
    part.add(c.top.put(opened, x, 0.0, top), c.palette.payload)
    arm = shapes.box((0.16, 0.3 * radius, 0.06), 0.006).translate((radius + 0.06, 0.0, -0.01))
    part.add(c.top.put(arm.rotate("z", turn), x, 0.0, top), "aluminium")
    c.space.take(
        (
            opened.bounds[0] + c.top.placing.point((x, 0, top)),
            opened.bounds[1] + c.top.placing.point((x, 0, top)),
        )
    )


def _instrument_deck(c: Craft) -> None:
    """Nothing large: the deck belongs to many instruments, one of them a scanning imager."""
    draw, e = c.draw("payload"), c.unit
    w = draw.uniform(0.3, 0.5) * c.design.width
    d = draw.uniform(0.3, 0.5) * c.design.depth
    h = draw.uniform(0.5, 1.0) * min(w, d)
    x = draw.uniform(-0.15, 0.15) * c.design.width
    y = draw.uniform(-0.15, 0.15) * c.design.depth
    part = c.part("imager", "instrument")
    body = shapes.blanket_box((w, d, h + 0.04), 0.010, max(0.14, 0.3 * w), draw.integer(0, 10**6))
    part.add(c.top.put(body, x, y, h / 2.0 - 0.02), c.palette.payload)
    hood = c.part("imager_hood", "instrument")
    radius = 0.26 * min(w, d)
    tube = shapes.baffle(radius, 0.7 * radius + 0.1, 2, 28, 0.012 * e, draw.uniform(1.0, 1.4))
    hood.add(c.top.put(tube, x - 0.15 * w, y, h - 0.05), "paint_black")
    lens = shapes.hemisphere(0.7 * radius, 18, 3).scale((1, 1, 0.4))
    hood.add(c.top.put(lens, x - 0.15 * w, y, h - 0.03), "glass_lens")
    cool = c.part("imager_radiator", "radiator")
    plate, border = framed(0.2 * w, 0.7 * d, 0.03)
    cool.add(c.top.put(plate, x + 0.34 * w, y, h + 0.008), "osr")
    cool.add(c.top.put(border, x + 0.34 * w, y, h + 0.008), "aluminium")
    for k, (a, b) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        lug = shapes.box((0.07 * e, 0.07 * e, 0.09), 0.006)
        at = (x + a * (w / 2 - 0.01), y + b * (d / 2 - 0.01))
        cool.add(c.top.put(lug, *at, 0.01), "aluminium")
        cap = shapes.cylinder(0.02 * e, 0.03, 8)
        corner = (x + a * 0.42 * w, y + b * 0.42 * d)
        if a < 0:
            hood.add(c.top.put(cap, *corner, h + 0.008), "steel_dark")
            c.landmark(f"imager_cap_{k + 1}", c.top.placing.point((*corner, h + 0.023)))
    c.top.take(x, y, w + 0.1, d + 0.1)
    c.space.take(c.top.placing.box((x - w / 2, y - d / 2, 0.0), (x + w / 2, y + d / 2, h + 0.5)))


def _comms(c: Craft) -> None:
    """Deployed reflectors beside the bus, and the tower of feeds that lights them."""
    draw = c.draw("payload")
    sides = c.free_sides()
    diameter = draw.uniform(0.6, 1.0) * c.design.size
    wanted = draw.integer(1, 2)
    tower_h = draw.uniform(0.25, 0.5) * c.design.size
    w = 0.34 * _deck_size(c)
    part = c.part("feed_tower", "antenna")
    body = shapes.blanket_box(
        (w, w, tower_h + 0.04), 0.01, max(0.15, 0.25 * w), draw.integer(0, 10**6)
    )
    part.add(c.top.put(body, lift=tower_h / 2.0 - 0.02), c.palette.payload)
    cap = shapes.box((1.06 * w, 1.06 * w, 0.05), 0.008)
    part.add(c.top.put(cap, lift=tower_h), "aluminium")
    for k, (a, b) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        c.landmark(
            f"feed_tower_{k + 1}",
            c.top.placing.point((a * 0.53 * w, b * 0.53 * w, tower_h + 0.014)),
        )
    horns = c.part("feed_horns", "antenna")
    size = 0.16 * w
    horn = shapes.nozzle(0.5 * size, size, 2.2 * size, 18, 0.012)
    for side in (-1.0, 1.0):
        for across in (-0.27, 0.27):
            tilted = horn.rotate("y", 55.0 * side)
            horns.add(c.top.put(tilted, side * 0.49 * w, across * w, 0.82 * tower_h), "foil_smooth")
    c.top.take(0.0, 0.0, 1.3 * w, 1.3 * w)
    c.space.take(c.top.placing.box((-0.7 * w, -0.7 * w, 0), (0.7 * w, 0.7 * w, tower_h + 0.2)))
    for face in sorted(sides, key=lambda f: -abs(float(f.outward[0])))[:wanted]:
        _side_reflector(c, draw, face, diameter)


def _side_reflector(c: Craft, draw: Draw, face: Face, diameter: float) -> None:
    """A reflector that folded out of a side; its dish looks up, and in a little."""
    e, radius = c.unit, diameter / 2.0
    out = face.outward
    for shrink in (1.0, 0.8, 0.62, 0.45):
        r = radius * shrink
        z = -0.25 * c.design.height
        middle = face.placing.point((0.0, z, 0.0)) + out * (r + 0.28 * e)
        box = around([middle], 1.02 * r)
        box[0][2], box[1][2] = middle[2] - 0.25 * r, middle[2] + 0.6 * r
        if c.space.claim(box):
            break
    else:
        return
    beam = np.array([0.0, 0.0, 1.0]) - 0.28 * out
    deep = 0.16 * r
    part = c.next("reflector", "antenna")
    dish = shapes.dish(2 * r, deep, 0.02 + 0.006 * r, 44, 7)
    part.add(dish.aim(beam).translate(middle), c.palette.dish)
    rim = shapes.ring(0.995 * r, 0.014 * e, 44, 6).translate((0, 0, deep))
    part.add(rim.aim(beam).translate(middle), "cfrp")
    ribs = _ribs(r, deep, 0.02 + 0.006 * r, 0.018 * e, 6)
    part.add(shapes.join(*ribs).aim(beam).translate(middle), "cfrp")
    hub = shapes.cylinder(0.16 * r, 0.10 * e, 20, 0.008).translate((0, 0, -0.05 * e))
    part.add(hub.aim(beam).translate(middle), "anodised")
    boom = c.next("reflector_boom", "boom")
    foot = face.placing.point((0.0, z, -0.01))
    tip = middle - 0.07 * e * beam / np.linalg.norm(beam)
    boom.add(shapes.strut(foot, tip, 0.045 * e, 12), draw.choice(("cfrp", c.palette.paint)))
    plate = shapes.box((0.26 * e, 0.26 * e, 0.05), 0.008)
    boom.add(face.put(plate, 0.0, z, 0.01), "aluminium")
    face.take(0.0, z, 0.32 * e, 0.32 * e)
    number = sum(p.name.startswith("reflector_") and "boom" not in p.name for p in c.assembly.parts)
    for k in range(3):
        t = 2.0 * math.pi * k / 3.0 + 0.3
        at = np.array([0.995 * r * math.cos(t), 0.995 * r * math.sin(t), deep + 0.014 * e])
        c.landmark(f"reflector_{number}_rim_{k + 1}", _aimed(at, beam, middle))


def _ribs(radius: float, deep: float, thick: float, rod: float, count: int) -> list[Shape]:
    """Rods along the back of a dish that opens toward +z, from near its hub to near its rim."""
    steps = np.linspace(0.12, 0.93, 6)
    slope = 2.0 * deep * steps / radius
    down = thick * np.hypot(1.0, slope) + 0.6 * rod
    path = np.stack([radius * steps, 0.0 * steps, deep * steps**2 - down], axis=-1)
    rib = shapes.pipe(path, rod, 6)
    return [rib.rotate("z", 360.0 * k / count) for k in range(count)]


def _aimed(point: Array, beam: Array, at: Array) -> Array:
    """A point of a shape's own frame after `aim(beam)` and `translate(at)`."""
    one = shapes.box((1, 1, 1))
    moved = one.aim(beam)
    axes = np.linalg.lstsq(one.vertices, moved.vertices, rcond=None)[0]
    return np.asarray(point @ axes + at)


def _radar(c: Craft) -> None:
    """A long flat antenna of panels over the deck, or hung on a side."""
    draw, e = c.draw("payload"), c.unit
    length = draw.uniform(1.2, 2.2) * c.design.size
    width = draw.uniform(0.35, 0.7) * min(c.design.depth, c.design.width)
    turn = (
        0.0
        if any(abs(math.sin(math.radians(w.azimuth_deg))) > 0.5 for w in c.design.wings)
        else 90.0
    )
    stand = 0.22 * e + 0.1
    placing = Placing.of(
        c.top.placing.point((0, 0, stand)),
        shapes.rotation("z", turn) @ np.array([1.0, 0, 0]),
        shapes.rotation("z", turn) @ np.array([0, 1.0, 0]),
    )
    count = max(3, 2 * round(length / (1.1 * width) / 2) + 1)
    pitch = length / count
    material = draw.choice((c.palette.paint, "paint_white", "foil_smooth", "paint_black"))
    thick = 0.05 * e
    for k in range(count):
        part = c.next("radar_panel", "antenna")
        x = (k - (count - 1) / 2.0) * pitch
        part.add(placing.put(shapes.box((pitch - 0.02, width, thick), 0.006), (x, 0, 0)), material)
        slots = [
            shapes.box((0.012 * e + 0.006, 0.9 * width, 0.02), 0.0).translate((s * pitch, 0, 0))
            for s in (-0.36, -0.18, 0.0, 0.18, 0.36)
        ]
        part.add(placing.put(shapes.join(*slots), (x, 0, thick / 2.0 - 0.004)), "cfrp")
        rib = shapes.box((pitch - 0.012, 0.05 * e, 0.06 * e), 0.004)
        for s in (-0.3, 0.3):
            part.add(placing.put(rib, (x, s * width, -thick / 2.0 - 0.02 * e)), "cfrp")
    frame = c.part("radar_frame", "structure")
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            foot = placing.point((0.3 * pitch * sx, 0.3 * width * sy, -stand - 0.01))
            head = placing.point((0.42 * pitch * sx, 0.3 * width * sy, -thick / 2.0))
            frame.add(shapes.strut(foot, head, 0.03 * e, 10), "cfrp")
        brace = c.next("radar_brace", "boom")
        inner = placing.point((0.42 * pitch * sx, 0.0, -stand + 0.01))
        outer = placing.point((sx * (0.5 * length - 0.6 * pitch), 0.0, -thick / 2.0 - 0.01))
        brace.add(shapes.strut(inner, outer, 0.022 * e, 8), "aluminium")
        pad = shapes.box((0.12 * e, 0.12 * e, 0.06), 0.006)
        brace.add(placing.put(pad, (0.42 * pitch * sx, 0.0, -stand)), "aluminium")
    for k, (a, b) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        corner = (a * (length / 2.0 - 0.01), b * width / 2.0, 0.0)
        c.landmark(f"radar_corner_{k + 1}", placing.point(corner))
    c.top.take(0.0, 0.0, 1.1 * pitch if turn == 0 else width, width if turn == 0 else 1.1 * pitch)
    half = np.array([length / 2.0, width / 2.0, 0.0])
    c.space.take(
        placing.box(-half - np.array([0.0, 0.0, 0.3 * e]), half + np.array([0.0, 0.0, 0.1]))
    )


def _reflector(c: Craft) -> None:
    """A dish as wide as the bus, or wider, on a cone over the deck."""
    draw, e = c.draw("payload"), c.unit
    radius = draw.uniform(0.40, 0.85) * _deck_size(c)
    deep = draw.uniform(0.25, 0.45) * radius
    tall = draw.uniform(0.2, 0.5) * radius + 0.1
    lean = draw.uniform(0.0, 0.35) if radius < 0.6 * _deck_size(c) else 0.0
    turn = draw.uniform(0.0, 2 * math.pi)
    beam = np.array([lean * math.cos(turn), lean * math.sin(turn), 1.0])
    beam /= np.linalg.norm(beam)
    at = c.top.placing.point((0, 0, tall))
    mount = c.part("main_dish_mount", "boom")
    cone = shapes.cone(0.34 * radius, 0.14 * radius, tall + 0.02, 24)
    mount.add(c.top.put(cone, lift=tall / 2.0 - 0.02), draw.choice(("cfrp", c.palette.paint)))
    joint = shapes.sphere(0.17 * radius, 18, 9)
    mount.add(joint.translate(at - 0.03 * beam), "anodised")
    dish = c.part("main_dish", "antenna")
    thick = 0.015 + 0.01 * radius
    bowl = shapes.dish(2 * radius, deep, thick, 48, 8).translate((0, 0, 0.12 * radius))
    dish.add(bowl.aim(beam).translate(at), c.palette.dish)
    rim = shapes.ring(0.995 * radius, 0.016 * e, 48, 6).translate((0, 0, deep + 0.12 * radius))
    dish.add(rim.aim(beam).translate(at), "aluminium")
    ribs = [rib.translate((0, 0, 0.12 * radius)) for rib in _ribs(radius, deep, thick, 0.02 * e, 8)]
    dish.add(shapes.join(*ribs).aim(beam).translate(at), "cfrp")
    focus = radius**2 / (4.0 * deep)
    low = 0.12 * radius
    leg = ((0.7 * radius, 0.0, low + 0.49 * deep), (0.03 * radius, 0.0, low + focus))
    dish_feed(
        c.assembly,
        "main_dish_feed",
        leg,
        (0.07 * radius, 0.04 * radius, 0.10 * radius, 18),
        low + focus,
        (beam[0], beam[1], beam[2]),
        (at[0], at[1], at[2]),
    )
    for k in range(4):
        t = math.pi / 2.0 * k + 0.2
        point = np.array(
            [
                0.995 * radius * math.cos(t),
                0.995 * radius * math.sin(t),
                deep + 0.12 * radius + 0.016 * e,
            ]
        )
        c.landmark(f"main_dish_rim_{k + 1}", _aimed(point, beam, at))
    c.top.take(0.0, 0.0, 0.72 * radius, 0.72 * radius)
    top = at + (low + focus + 0.1) * beam
    c.space.take(around([at + 0.1 * deep, top], 0.0), _spread(at, radius, focus))


def _spread(at: Array, radius: float, focus: float) -> Box:
    low = at + np.array([-radius, -radius, -0.05])
    return low, at + np.array([radius, radius, 0.2 * radius + focus])


def _module(c: Craft) -> None:
    """A second, smaller body on struts, with a sun shield around its foot at times."""
    draw, e = c.draw("payload"), c.unit
    sides = draw.choice((4, 6, 8, 8, 24))
    reach = draw.uniform(0.28, 0.42) * _deck_size(c)
    tall = reach * draw.uniform(0.9, 2.2)
    stand = draw.uniform(0.08, 0.35) * e
    turn = math.pi / sides
    outline = [
        (reach * math.cos(2 * turn * k + turn), reach * math.sin(2 * turn * k + turn))
        for k in range(sides)
    ]
    body = c.part("payload_module", "instrument")
    core = shapes.prism(outline, tall, 0.02 if sides < 20 else 0.0)
    body.add(
        c.top.put(core, lift=stand + tall / 2.0),
        draw.choice((c.palette.payload, c.palette.payload, c.palette.paint)),
    )
    lid = [(1.05 * x, 1.05 * y) for x, y in outline]
    cap = c.part("payload_lid", "structure")
    cap.add(c.top.put(shapes.prism(lid, 0.05 * e, 0.006), lift=stand + tall), "anodised")
    struts = c.part("payload_struts", "structure")
    for k in range(6):
        t = 2 * math.pi * k / 6
        r0, r1 = 0.95 * reach, 0.72 * reach
        a, b = t - 0.18, t + 0.18 * (1 if k % 2 else -1)
        foot = c.top.placing.point((r0 * math.cos(a), r0 * math.sin(a), -0.01))
        head = c.top.placing.point((r1 * math.cos(b), r1 * math.sin(b), stand + 0.03))
        struts.add(shapes.strut(foot, head, 0.028 * e, 8), "cfrp")
    top = stand + tall + 0.025 * e
    for k in range(4):
        x, y = lid[k * len(lid) // 4]
        c.landmark(f"module_corner_{k + 1}", c.top.placing.point((x, y, top - 0.008)))
    hood = c.part("payload_aperture", "instrument")
    radius = draw.uniform(0.3, 0.6) * reach
    tube = shapes.baffle(radius, draw.uniform(0.5, 1.5) * radius, 3, 28, 0.02, draw.uniform(1, 1.3))
    hood.add(c.top.put(tube, lift=top - 0.008), "paint_black")
    lens = shapes.hemisphere(0.72 * radius, 20, 3).scale((1, 1, 0.35))
    hood.add(c.top.put(lens, lift=top + 0.01), "glass_lens")
    shield = 0.0
    if draw.chance(0.4):
        shield = draw.uniform(0.75, 1.15) * _deck_size(c)
        _sun_shield(c, draw, shield, stand + 0.05 * tall)
    wide = max(1.1 * reach, shield)
    c.top.take(0.0, 0.0, 2.2 * reach, 2.2 * reach)
    c.space.take(
        c.top.placing.box(
            (-1.1 * reach, -1.1 * reach, 0), (1.1 * reach, 1.1 * reach, top + 2 * radius)
        )
    )
    if shield:
        z = stand + 0.05 * tall
        c.space.take(c.top.placing.box((-wide, -wide, z - 0.1), (wide, wide, z + 0.1)))


def _sun_shield(c: Craft, draw: Draw, reach: float, z: float) -> None:
    """Two thin sheets between spars around the module's foot."""
    e, count = c.unit, draw.choice((6, 8))
    turn = math.pi / count
    corners = [
        (reach * math.cos(2 * turn * k), reach * math.sin(2 * turn * k)) for k in range(count)
    ]
    part = c.part("sun_shield", "structure")
    for sheet, (lift, material) in enumerate(
        ((z, "foil_smooth"), (z + 0.09 * e, c.palette.payload))
    ):
        scale = 1.0 - 0.06 * sheet
        points = [(scale * x, scale * y) for x, y in corners]
        part.add(c.top.put(shapes.prism(points, 0.014, 0.002), lift=lift), material)
    spars = c.part("sun_shield_spars", "boom")
    for x, y in corners:
        rod = shapes.strut((0.3 * x, 0.3 * y, 0.0), (1.005 * x, 1.005 * y, 0.0), 0.02 * e, 8)
        spars.add(c.top.put(rod, lift=z - 0.012 * e), "aluminium")
    for k in range(0, count, 2):
        x, y = corners[k]
        c.landmark(f"sun_shield_{k // 2 + 1}", c.top.placing.point((x, y, z)))


def _instrument(c: Craft, draw: Draw, face: Face, scale: float | None = None) -> bool:
    """A box with an opening: camera, scanner or spectrometer. Whether there was room.

    One of a given scale does not mind what is in space around it.
    """
    e, needed = c.unit, scale is not None
    scale = draw.uniform(0.3, 0.75) if scale is None else scale
    w, d = scale * e * draw.uniform(0.8, 1.2), scale * e * draw.uniform(0.8, 1.2)
    h = scale * e * draw.uniform(0.6, 1.3)
    room = min(0.08, 0.4 * w)
    spot = face.claim(draw, w + room, d + room, 0.25 * room)
    if spot is None:
        return False
    x, y = spot
    box = face.placing.box((x - w / 2, y - d / 2, 0.03), (x + w / 2, y + d / 2, 1.6 * h))
    if not needed and not c.space.claim(box, margin=0.0):
        return False
    part = c.next("instrument", "instrument")
    soft = draw.chance(0.6) and min(w, d, h) > 0.2
    lifted = h / 2.0 - 0.02
    if soft:
        body = shapes.blanket_box(
            (w, d, h + 0.04), 0.006, max(0.1, 0.3 * w), draw.integer(0, 10**6), radius=0.02
        )
        part.add(
            face.put(body, x, y, lifted),
            draw.choice((c.palette.payload, c.palette.deck, c.palette.main)),
        )
    else:
        body = shapes.box((w, d, h + 0.04), 0.012)
        part.add(
            face.put(body, x, y, lifted),
            draw.choice((c.palette.paint, "anodised", "paint_black", "aluminium")),
        )
    feet = shapes.box((w + 0.07 * e, 0.06 * e, 0.05), 0.004)
    for s in (-0.3, 0.3):
        part.add(face.put(feet, x, y + s * d, 0.0), "aluminium")
    kind = draw.choice(("hood", "slit", "twin", "horn"))
    r = 0.3 * min(w, d)
    if kind == "hood":
        tube = shapes.baffle(r, draw.uniform(0.5, 1.6) * r, 2, 22, 0.008 * e, draw.uniform(1, 1.4))
        part.add(face.put(tube, x, y, h - 0.03), "paint_black")
        lens = shapes.hemisphere(0.7 * r, 14, 3).scale((1, 1, 0.4))
        part.add(face.put(lens, x, y, h + 0.003), "glass_lens")
    elif kind == "slit":
        for m, s in enumerate((-0.24, 0.24)):
            frame = shapes.box((0.7 * w, 0.16 * d, 0.05), 0.006)
            part.add(face.put(frame, x, y + s * d, h + 0.008), "anodised")
            glass = shapes.box((0.6 * w, 0.09 * d, 0.05), 0.0)
            part.add(face.put(glass, x, y + s * d, h + 0.013 + 0.001 * m), "glass_lens")
    elif kind == "twin":
        for s in (-0.24, 0.24):
            tube = shapes.tube(0.62 * r, 0.5 * r, 0.5 * r + 0.05, 20)
            part.add(face.put(tube, x + s * w, y, h + 0.25 * r - 0.012), "paint_black")
            glass = shapes.cylinder(0.55 * r, 0.04, 20)
            part.add(face.put(glass, x + s * w, y, h + 0.006), "glass_lens")
    else:
        horn = shapes.nozzle(0.35 * r, 0.8 * r, 1.1 * r, 18, 0.008 * e)
        part.add(face.put(horn, x, y, h - 0.01), "foil_smooth")
        part.add(face.put(shapes.cylinder(0.5 * r, 0.05, 16), x, y, h + 0.005), "aluminium")
    points = [(x + a * 0.42 * w, y + b * 0.42 * d) for a in (-1, 1) for b in (-1, 1)]
    part.add(face.put(bolts(points, 0.012 * e, 0.014), lift=h + 0.004), "steel_dark")
    return True
