"""The bus: core, edges, decks, what covers its sides, radiators, launch ring."""

from __future__ import annotations

import math

import numpy as np

from satgen.modelling import shapes
from satgen.modelling.assembly import PartBuilder
from satgen.modelling.forms import bolts, curved_blanket, flat_blanket, framed, octagon
from satgen.modelling.random.craft import Craft
from satgen.modelling.random.draw import Draw
from satgen.modelling.random.mounts import Face, Placing, Point

CORE_INSET = 0.02
PROUD = 0.035
"""Metres that the surface of what covers a side is in front of the core's outline."""


def add_bus(c: Craft) -> None:
    """Structure, faces and covers; sets the faces of the craft."""
    outline = bus_outline(c)
    _structure(c, outline)
    _faces(c, outline)
    if c.design.form == "cylinder":
        _barrel(c)
    else:
        _covers(c)
    _deck_blankets(c, c.top, "top", c.palette.deck)
    _deck_blankets(c, c.bottom, "base", c.palette.deck)


def bus_outline(c: Craft) -> list[Point]:
    """Corners of the bus seen from +z, counter-clockwise, metres."""
    d = c.design
    half_w, half_d = d.width / 2.0, d.depth / 2.0
    if d.form == "box":
        return [(half_w, -half_d), (half_w, half_d), (-half_w, half_d), (-half_w, -half_d)]
    if d.form == "chamfered":
        cut = c.draw("chamfer").uniform(0.14, 0.34) * min(half_w, half_d)
        square = octagon(1.0, 0.5)
        return [
            (
                math.copysign(half_w - (cut if abs(x) < 1.0 else 0.0), x),
                math.copysign(half_d - (cut if abs(y) < 1.0 else 0.0), y),
            )
            for x, y in square
        ]
    sides = {"octagon": 8, "hexagon": 6, "cylinder": 32}[d.form]
    # A side looks along +y and -y, where the wings start.
    reach = half_w / math.cos(math.pi / sides) if d.form != "cylinder" else half_w
    start = math.pi / 2.0 - math.pi / sides
    turn = [start + 2.0 * math.pi * k / sides for k in range(sides)]
    return [(reach * math.cos(t), reach * math.sin(t)) for t in turn]


def scaled(outline: list[Point], out: float) -> list[Point]:
    """A convex outline with every side moved outward by `out` metres."""
    p = np.asarray(outline)
    edge = np.roll(p, -1, axis=0) - p
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=-1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    before = np.roll(normal, 1, axis=0)
    mid = before + normal
    mid /= np.sum(mid * normal, axis=1, keepdims=True)
    return [(float(x), float(y)) for x, y in p + out * mid]


def _structure(c: Craft, outline: list[Point]) -> None:
    """The core, a post along every edge, the decks."""
    d, e = c.design, c.unit
    draw = c.draw("structure")
    body = c.part("bus_structure", "bus")
    body.add(shapes.prism(scaled(outline, -CORE_INSET), d.height - 0.02), "cfrp")
    if d.form != "cylinder":
        posts = c.part("bus_edges", "structure")
        material = draw.choice(("aluminium", "anodised", "cfrp", c.palette.paint))
        post = shapes.cylinder(0.042 * e, d.height - 0.02, 10)
        for x, y in scaled(outline, -0.024 * e):
            posts.add(post.translate((x, y, 0.0)), material)
    material = draw.choice(("anodised", "aluminium", "cfrp", c.palette.paint))
    thick = 0.06 * e
    for name, sign in (("top", 1.0), ("base", -1.0)):
        plate = shapes.prism(scaled(outline, 0.05), thick, 0.008)
        z = sign * (d.height / 2.0 - thick / 2.0 + 0.012)
        part = body if name == "base" else c.part("bus_deck_top", "structure")
        part.add(plate.translate((0.0, 0.0, z)), material)
        corners = scaled(outline, 0.05)
        step = max(1, len(corners) // 8)
        for k, (x, y) in enumerate(corners[::step]):
            c.landmark(f"deck_{name}_{k + 1}", (x, y, z + sign * (thick / 2.0 - 0.01)))


def _faces(c: Craft, outline: list[Point]) -> None:
    d, e = c.design, c.unit
    half_h = d.height / 2.0 - 0.07 * e
    up = (0.0, 0.0, 1.0)
    if d.form == "cylinder":
        count = 6 if d.layout in ("three", "six") else c.draw("pads").choice((6, 8))
        if d.layout == "cross":
            count = 8
        half_w = 0.62 * d.width / 2.0 * math.tan(math.pi / count)
        for k in range(count):
            t = math.pi / 2.0 + 2.0 * math.pi * k / count
            out = np.array([math.cos(t), math.sin(t), 0.0])
            side = np.array([-out[1], out[0], 0.0])
            placing = Placing.of(out * (d.width / 2.0 + PROUD + 0.02), side, up)
            c.sides.append(Face(f"side_{k + 1}", placing, _rectangle(half_w, 0.94 * half_h)))
    else:
        for k, (p, q) in enumerate(zip(outline, outline[1:] + outline[:1], strict=True)):
            a, b = np.array([*p, 0.0]), np.array([*q, 0.0])
            side = (b - a) / np.linalg.norm(b - a)
            out = np.cross(side, up)
            half_w = float(np.linalg.norm(b - a)) / 2.0 - 0.05 * e
            placing = Placing.of((a + b) / 2.0 + out * PROUD, side, up)
            c.sides.append(Face(f"side_{k + 1}", placing, _rectangle(half_w, half_h)))
    level = d.height / 2.0 + 0.012
    rim = scaled(outline, 0.02)
    c.top = Face("top", Placing.of((0, 0, level + 0.024), (1, 0, 0), (0, 1, 0)), rim)
    under = [(x, -y) for x, y in reversed(rim)]
    c.bottom = Face("bottom", Placing.of((0, 0, -level - 0.024), (1, 0, 0), (0, -1, 0)), under)


def _rectangle(half_w: float, half_h: float) -> list[Point]:
    return [(-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h)]


def _sheets(length: float, longest: float) -> list[tuple[float, float]]:
    """(middle, width) of blankets side by side."""
    count = max(1, math.ceil(length / longest))
    width = length / count
    return [((k - (count - 1) / 2.0) * width, width) for k in range(count)]


def _covers(c: Craft) -> None:
    """What is seen of the flat sides: blankets, painted or mirrored panels, cells."""
    draw = c.draw("covers")
    rooted = [f for f in c.sides if f not in c.free_sides()]
    scheme = draw.weighted({"foil": 5.0, "two_foils": 2.0, "panels": 2.0, "cells": 0.8})
    for k, face in enumerate(c.sides):
        kind, material = "blanket", c.palette.main
        if scheme == "two_foils" and k % 2:
            material = c.palette.payload
        if scheme == "panels" and draw.chance(0.6):
            kind, material = "panel", draw.choice((c.palette.paint, "osr", "foil_smooth", "cfrp"))
        if scheme == "cells" and face not in rooted:
            kind, material = "cells", c.palette.cells
        if scheme == "foil" and face not in rooted and draw.chance(0.12):
            kind, material = "panel", c.palette.radiator
        part = c.part(f"bus_{face.name}", "radiator" if material == "osr" else "bus")
        if kind == "blanket":
            _blankets(c, face, part, material, draw)
        else:
            _panel(c, face, part, kind, material)


def _blankets(c: Craft, face: Face, part: PartBuilder, material: str, draw: Draw) -> None:
    w, h = face.width + 0.02, face.height + 0.02
    longest = max(0.9, 0.36 * c.design.size)
    cell = max(0.14, 0.075 * c.design.size)
    for x, width in _sheets(w, longest):
        for y, height in _sheets(h, longest):
            hw, hh = width / 2.0 - 0.003, height / 2.0 - 0.003
            corners = [(x - hw, y - hh, 0.0), (x + hw, y - hh, 0.0)]
            corners += [(x + hw, y + hh, 0.0), (x - hw, y + hh, 0.0)]
            sheet = flat_blanket(corners, draw.integer(0, 10**6), cell=cell)
            part.add(face.put(sheet, lift=-0.006), material)


def _panel(c: Craft, face: Face, part: PartBuilder, kind: str, material: str) -> None:
    w, h = face.width + 0.02, face.height + 0.02
    if kind == "cells":
        nx, ny = max(2, round(w / 0.08)), max(2, round(h / 0.06))
        made = shapes.solar_panel(w, h, 0.04, nx, ny, 0.02, len(c.assembly.parts))
        part.add(face.put(made["edge"], lift=-0.025), "cfrp")
        part.add(face.put(made["front"], lift=-0.025), material)
        return
    for x, width in _sheets(w, max(1.0, 0.45 * c.design.size)):
        for y, height in _sheets(h, max(1.2, 0.5 * c.design.size)):
            plate = shapes.box((width - 0.008, height - 0.008, 0.05), 0.004)
            part.add(face.put(plate, x, y, -0.025), material)
            hx, hy = width / 2.0 - 0.04, height / 2.0 - 0.04
            heads = bolts([(x + a * hx, y + b * hy) for a in (-1, 1) for b in (-1, 1)], 0.014)
            part.add(face.put(heads), "steel_dark")


def _barrel(c: Craft) -> None:
    """Blankets around a cylinder, and a flat panel for each of its mounting faces."""
    d = c.design
    draw = c.draw("covers")
    radius = d.width / 2.0
    count = 2 * max(4, math.ceil(math.pi * radius / 1.2))
    low, high = -d.height / 2.0 + 0.055 * c.unit, d.height / 2.0 - 0.055 * c.unit
    rows = _sheets(high - low, max(1.0, 0.4 * d.size))
    cell = max(0.14, 0.07 * d.size)
    skin = c.part("bus_barrel", "bus")
    banded = draw.chance(0.3)
    for r, (z, height) in enumerate(rows):
        material = c.palette.payload if banded and r % 2 else c.palette.main
        for k in range(count):
            a = 360.0 / count
            skin.add(
                curved_blanket(
                    (k * a + 0.12, (k + 1) * a - 0.12),
                    (z - height / 2.0 + 0.003, z + height / 2.0 - 0.003),
                    (radius + PROUD - 0.006, radius + PROUD - 0.006),
                    draw.integer(0, 10**6),
                    cell=cell,
                ),
                material,
            )
    for face in c.sides:
        half = face.width / 2.0
        back = radius - math.sqrt(radius**2 - half**2) + PROUD + 0.06
        material = draw.choice((c.palette.radiator, c.palette.radiator, c.palette.paint, "cfrp"))
        plate = shapes.box((face.width, face.height, back), 0.008)
        part = c.part(f"bus_{face.name}", "radiator" if material == "osr" else "bus")
        part.add(face.put(plate, lift=-back / 2.0), material)
        hx, hy = half - 0.05, face.height / 2.0 - 0.05
        heads = bolts([(a * hx, b * hy) for a in (-1, 0, 1) for b in (-1, 1)], 0.014 * c.unit)
        part.add(face.put(heads), "steel_dark")


def _deck_blankets(c: Craft, face: Face, name: str, material: str) -> None:
    """A blanket for every side of a deck, around a plate in its middle."""
    p = np.asarray(scaled(face.outline, -0.05))
    if len(p) > 12:
        p = p[::4]
    inner = 0.2 * p
    part = c.part(f"bus_blanket_{name}", "bus")
    draw = c.draw(f"deck_{name}")
    cell = max(0.2, 0.1 * c.design.size)
    for k in range(len(p)):
        m = (k + 1) % len(p)
        corners = [(*inner[k], 0.0), (*p[k], 0.0), (*p[m], 0.0), (*inner[m], 0.0)]
        sheet = flat_blanket(corners, draw.integer(0, 10**6), thickness=0.03, cell=cell)
        part.add(face.put(sheet, lift=-0.008), material)
    middle = [(float(x), float(y)) for x, y in 1.25 * inner]
    part.add(face.put(shapes.prism(middle, 0.04, 0.004), lift=-0.012), "aluminium")


def add_radiators(c: Craft) -> None:
    """Framed mirror or paint plates, at least one, and a louvre or two."""
    draw, e = c.draw("radiators"), c.unit
    for _ in range(draw.integer(3, 8)):
        face = draw.choice(c.sides)
        width = draw.uniform(0.22, 0.62) * face.width
        height = draw.uniform(0.16, 0.42) * face.height
        if min(width, height) > 0.12:
            _radiator(c, draw, face, width, height)
    for size in (0.3, 0.2, 0.13, 0.09):  # where everything is full, a small one
        for face in (*c.sides, c.top, c.bottom):
            if any(p.cls == "radiator" for p in c.assembly.parts):
                break
            _radiator(c, draw, face, size, size)
    for _ in range(draw.integer(0, 2)):
        face = draw.choice(c.sides)
        width, height = 0.46 * e, 0.40 * e
        spot = face.claim(draw, width, height, 0.03 * e)
        if spot is not None:
            shape = shapes.louvre(width, height, draw.integer(5, 9), 0.05 * e)
            c.next("louvre", "radiator").add(face.put(shape, *spot, 0.024 * e), "aluminium")


def _radiator(c: Craft, draw: Draw, face: Face, width: float, height: float) -> None:
    e = c.unit
    spot = face.claim(draw, width + 0.06 * e, height + 0.06 * e, 0.02 * e)
    if spot is None:
        return
    plate, border = framed(width, height, 0.032, 0.026 * e)
    weights = {"osr": 1.0, "paint_white": 1.0, "paint_black": 0.4}
    weights[c.palette.radiator] = 3.0
    part = c.next("radiator", "radiator")
    part.add(face.put(plate, *spot), draw.weighted(weights))
    part.add(face.put(border, *spot), draw.choice(("aluminium", "foil_smooth", "anodised")))


def add_launch_ring(c: Craft) -> None:
    """The ring that held the satellite on its launcher, with gussets."""
    draw, e = c.draw("ring"), c.unit
    radius = draw.uniform(0.30, 0.40) * min(c.design.width, c.design.depth)
    tall, wall = draw.uniform(0.08, 0.2) * e, 0.03 * e
    material = draw.choice(("aluminium", "anodised", "titanium"))
    part = c.part("launch_ring", "structure")
    tube = shapes.tube(radius, radius - wall, tall + 0.04, 44)
    part.add(c.bottom.put(tube, lift=tall / 2.0 - 0.02), material)
    flange = shapes.tube(radius + 0.03 * e, radius - wall - 0.004, 0.03 * e, 44)
    part.add(c.bottom.put(flange, lift=tall - 0.015 * e + 0.006), material)
    gusset = shapes.box((0.08 * e, 0.016 * e, 0.8 * tall)).translate((radius + 0.03 * e, 0, 0))
    for k in range(12):
        turned = gusset.rotate("z", 30.0 * k + 15.0)
        part.add(c.bottom.put(turned, lift=0.4 * tall - 0.01), material)
    wide = 2.0 * radius + 0.14 * e  # a disc, as two rectangles
    c.bottom.take(0.0, 0.0, wide, 0.7 * wide)
    c.bottom.take(0.0, 0.0, 0.7 * wide, wide)
    for k, t in enumerate((0.3, 0.3 + 2 * math.pi / 3, 0.3 + 4 * math.pi / 3)):
        r = radius + 0.03 * e
        point = (r * math.cos(t), r * math.sin(t), tall + 0.005)
        c.landmark(f"launch_ring_{k + 1}", c.bottom.placing.point(point))
    _engine(c, draw, radius - wall)


def _engine(c: Craft, draw: Draw, room: float) -> None:
    """What is seen within the ring: a main engine, the end of a tank, or a cover."""
    e = c.unit
    kind = draw.choice(("engine", "tank", "cover"))
    if kind == "engine":
        exit_r = min(draw.uniform(0.12, 0.26) * e, 0.7 * room)
        length = exit_r * draw.uniform(1.7, 2.4)
        part = c.part("main_engine", "thruster")
        plate = shapes.cylinder(0.92 * room, 0.05, 28)
        part.add(c.bottom.put(plate, lift=0.01), "foil_smooth")
        neck = shapes.cylinder(0.55 * exit_r, 0.12 * e, 18)
        part.add(c.bottom.put(neck, lift=0.06 * e), "titanium")
        bell = shapes.nozzle(0.3 * exit_r, exit_r, length, 24, 0.03 * exit_r)
        part.add(c.bottom.put(bell, lift=0.09 * e), "steel_dark")
    elif kind == "tank":
        dome = shapes.hemisphere(0.9 * room, 28, 6).scale((1.0, 1.0, draw.uniform(0.3, 0.6)))
        collar = shapes.tube(0.96 * room, 0.82 * room, 0.05 * e, 32)
        part = c.part("propellant_tank", "thruster")
        part.add(c.bottom.put(dome, lift=-0.004), c.palette.deck)
        part.add(c.bottom.put(collar, lift=0.012 * e), "titanium")
    else:
        part = c.part("ring_cover", "structure")
        part.add(c.bottom.put(shapes.cylinder(0.9 * room, 0.06, 28, 0.006), lift=0.008), "anodised")
        bolt = [
            (0.75 * room * math.cos(t), 0.75 * room * math.sin(t)) for t in np.arange(8) * 0.785
        ]
        part.add(c.bottom.put(bolts(bolt, 0.016 * e), lift=0.038), "steel_dark")
