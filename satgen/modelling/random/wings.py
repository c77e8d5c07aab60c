"""Solar wings: drive, yoke, and panels in a row, a blanket between booms, or a fan."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from satgen.modelling import shapes
from satgen.modelling.assembly import PartBuilder
from satgen.modelling.random.craft import Craft
from satgen.modelling.random.design import Wing
from satgen.modelling.random.draw import Draw
from satgen.modelling.random.mounts import Placing
from satgen.modelling.shapes import Shape

GAP = 0.02
"""Metres between two panels."""


def add_wings(c: Craft) -> None:
    """All wings, with their roots' places on the sides and their space taken."""
    for k, wing in enumerate(c.design.wings):
        _Builder(c, wing, k + 1).build()


class _Builder:
    """One wing: its own axes are x across, y along the span, z toward where its cells look."""

    def __init__(self, c: Craft, wing: Wing, number: int) -> None:
        self.c, self.wing, self.name = c, wing, f"wing_{number}"
        self.e = c.unit
        self.draw: Draw = c.draw("wings")  # alike for all wings of a craft
        self.seed = 100 * number
        face = c.side_toward(wing.azimuth_deg)
        lift = wing.height * c.design.height / 2.0
        size = 0.36 * self.e
        room = face.height / 2.0 - size
        self.z = max(-room, min(room, lift)) if room > 0 else 0.0
        face.take(0.0, self.z, max(size, min(face.width, 0.5 * wing.chord)), size * 1.3)
        self.face = face
        root = face.placing.point((0.0, self.z, 0.0))
        out = face.outward
        cant = math.radians(wing.cant_deg)
        along = math.cos(cant) * out + math.sin(cant) * np.array([0.0, 0.0, 1.0])
        up = np.array([0.0, 0.0, 1.0]) - along[2] * along
        up /= np.linalg.norm(up)
        turn = shapes.rotation(along, wing.tilt_deg)
        up = turn @ up
        self.start = 0.30 * self.e  # of the yoke, where cant and tilt begin
        hinge = root + out * self.start
        self.turned = Placing.of(hinge, np.cross(along, up), along)
        self.first = max(wing.reach - self.start, 0.12 * self.e)

    def build(self) -> None:
        """Everything of the wing."""
        self._drive()
        kind = self.wing.kind
        half = self.wing.chord / 2.0
        end = self.first + self.wing.panels * self.wing.pitch
        pad = 0.08
        self.c.space.take(
            self.turned.box((-half - pad, self.first - pad, -pad), (half + pad, end + pad, pad)),
            self.turned.box((-0.3 * half, -self.start, -0.1), (0.3 * half, self.first, 0.1)),
        )
        {"panels": self._panels, "blanket": self._blanket, "fan": self._fan}[kind]()

    def _add(
        self, part: PartBuilder, shape: Shape, material: str, xyz: ArrayLike = (0.0, 0.0, 0.0)
    ) -> None:
        part.add(self.turned.put(shape, xyz), material)

    def _mark(self, name: str, x: float, y: float) -> None:
        self.c.landmark(f"{self.name}_{name}", self.turned.point((x, y, 0.0)))

    def _drive(self) -> None:
        e, c, face = self.e, self.c, self.face
        plate = shapes.box((0.36 * e, 0.36 * e, 0.07), 0.01)
        housing = shapes.cylinder(0.12 * e, 0.14 * e, 22, 0.01)
        shaft = shapes.cylinder(0.07 * e, 0.24 * e, 16, 0.006)
        part = c.part(f"{self.name}_drive", "structure")
        part.add(face.put(plate, 0.0, self.z, 0.005), "aluminium")
        part.add(
            face.put(housing, 0.0, self.z, 0.09 * e),
            self.draw.choice((c.palette.paint, "anodised", c.palette.deck)),
        )
        part.add(face.put(shaft, 0.0, self.z, 0.19 * e), "titanium")
        hub = shapes.box((0.22 * e, 0.12 * e, 0.10 * e), 0.01)
        yoke = c.part(f"{self.name}_yoke_hub", "boom")
        self._add(yoke, hub, self.draw.choice(("aluminium", "anodised")), (0, 0.01 * e, 0))

    def _yoke(self, kind: str) -> None:
        e, half = self.e, self.wing.chord / 2.0
        bar_y = self.first - 0.045
        part = self.c.part(f"{self.name}_yoke", "boom")
        material = self.draw.choice(("cfrp", "cfrp", "aluminium", self.c.palette.paint))
        bar = shapes.box((1.5 * half, 0.05, 0.05), 0.006)
        if kind == "mast":
            bar = shapes.box((0.9 * half, 0.05, 0.05), 0.006)
            mast = shapes.strut((0, 0.03 * e, 0), (0, bar_y, 0), 0.04 * e, 12)
            arms = [
                shapes.strut((s * 0.02, 0.55 * bar_y, 0), (s * 0.42 * half, bar_y, 0), 0.018 * e, 8)
                for s in (-1.0, 1.0)
            ]
            self._add(part, shapes.join(mast, *arms), material)
        else:
            arms = [
                shapes.strut((s * 0.07 * e, 0, 0), (s * 0.70 * half, bar_y, 0), 0.026 * e, 8)
                for s in (-1.0, 1.0)
            ]
            if kind == "braced":
                y = 0.55 * bar_y
                x = 0.07 * e + 0.55 * (0.70 * half - 0.07 * e)
                arms.append(shapes.strut((-x, y, 0), (x, y, 0), 0.017 * e, 8))
            self._add(part, shapes.join(*arms), material)
        self._add(part, bar, material, (0, bar_y, 0))
        for s in (-1.0, 1.0):  # to the panel's edge
            lug = shapes.box((0.07 * e, 0.10, 0.03), 0.004)
            self._add(part, lug, "aluminium", (s * 0.36 * half, self.first - 0.01, 0))

    def _panels(self) -> None:
        w, e, draw = self.wing, self.e, self.draw
        self._yoke(draw.choice(("mast", "arms", "braced")))
        thick = 0.03 if w.pitch < 1.6 else 0.04
        cell_w, cell_h = draw.uniform(0.05, 0.10), draw.uniform(0.04, 0.08)
        margin = draw.uniform(0.015, 0.04)
        ribs = draw.chance(0.6)
        half = w.chord / 2.0
        flap = draw.chance(0.12) and w.panels >= 2
        for k in range(w.panels):
            y = self.first + (k + 0.5) * w.pitch
            self._panel(
                f"panel_{k + 1}",
                (0.0, y),
                (w.chord, w.pitch - GAP),
                thick,
                (cell_w, cell_h),
                margin,
                ribs,
            )
        if flap:
            y = self.first + 1.5 * w.pitch
            for name, s in (("left", -1.0), ("right", 1.0)):
                x = s * (half + GAP + 0.3 * w.chord)
                self._panel(
                    f"flap_{name}",
                    (x, y),
                    (0.6 * w.chord, w.pitch - GAP),
                    thick,
                    (cell_w, cell_h),
                    margin,
                    ribs,
                )
                part = self.c.part(f"{self.name}_flap_hinge_{name}", "structure")
                for dy in (-0.3, 0.3):
                    pin = shapes.box((0.16, 0.06, thick + 0.024), 0.003)
                    at = (s * (half + GAP / 2), y + dy * w.pitch, 0.0)
                    self._add(part, pin, "aluminium", at)
        self._hinges(thick)
        self._harness(thick)
        end = self.first + w.panels * w.pitch - GAP / 2.0
        for s, side in ((-1.0, "m"), (1.0, "p")):
            self._mark(f"tip_{side}", s * half, end)
            if len(self.c.design.wings) <= 3:
                self._mark(f"root_{side}", s * half, self.first + GAP / 2.0)
        sensor = self.c.part(f"{self.name}_sun_sensor", "sensor")
        x = 0.6 * half
        block = shapes.box((0.10 * e, 0.06, 0.05), 0.005)
        self._add(sensor, block, "anodised", (x, end - 0.008, 0.0))
        eye = shapes.cone(0.03 * e, 0.016 * e, 0.03, 8)
        self._add(sensor, eye, "glass_lens", (x, end + 0.006, 0.035))

    def _panel(
        self,
        name: str,
        at: tuple[float, float],
        size: tuple[float, float],
        thick: float,
        cell: tuple[float, float],
        margin: float,
        ribs: bool,
    ) -> None:
        self.seed += 1
        nx = max(2, round((size[0] - 2 * margin) / cell[0]))
        ny = max(2, round((size[1] - 2 * margin) / cell[1]))
        made = shapes.solar_panel(size[0], size[1], thick, nx, ny, margin, self.seed)
        part = self.c.part(f"{self.name}_{name}", "solar_array")
        x, y = at
        p = self.c.palette
        for key, material in (("front", p.cells), ("edge", "cfrp"), ("back", p.back)):
            self._add(part, made[key], material, (x, y, 0.0))
        if ribs:
            rib = shapes.box((0.05, 0.92 * size[1], 0.03), 0.004)
            for s in (-0.4, 0.4):
                self._add(part, rib, "cfrp", (x + s * size[0], y, -thick / 2.0 - 0.014))
        post = shapes.cylinder(0.032 * self.e, thick + 0.045, 8)
        for sx in (-0.26, 0.26):
            for sy in (-0.3, 0.3):
                self._add(part, post, "titanium", (x + sx * size[0], y + sy * size[1], 0.0))

    def _hinges(self, thick: float) -> None:
        w, e = self.wing, self.e
        part = self.c.part(f"{self.name}_hinges", "structure")
        leaf = shapes.box((0.09 * e, 0.14, 0.02), 0.003)
        pin = shapes.cylinder(0.02, 0.12 * e, 8).rotate("y", 90.0)
        for k in range(w.panels):
            y = self.first + k * w.pitch
            for s in (-0.72, 0.0, 0.72):
                x = s * w.chord / 2.0
                if k == 0 and s == 0.0:
                    continue
                self._add(part, leaf, "aluminium", (x, y, -thick / 2.0 - 0.012))
                self._add(part, pin, "steel_dark", (x, y, -thick / 2.0 - 0.026))
            if k == 0:  # what the outer ones hold to
                for s in (-0.72, 0.72):
                    arm = shapes.box((0.05 * e, 0.1, 0.03), 0.003)
                    self._add(part, arm, "aluminium", (s * w.chord / 2.0, y - 0.04, -0.012))

    def _harness(self, thick: float) -> None:
        w, e = self.wing, self.e
        x = self.draw.uniform(0.08, 0.2) * w.chord
        z = -thick / 2.0 - 0.014
        end = self.first + w.panels * w.pitch - 0.4 * w.pitch
        path = [
            (0.05 * e, 0.04 * e, -0.05 * e),
            (x, self.first - 0.03, z - 0.012),
            (x, self.first + 0.06, z),
            (x, end, z),
        ]
        part = self.c.part(f"{self.name}_harness", "solar_array")
        material = self.draw.choice(("paint_black", "foil_smooth"))
        self._add(part, shapes.pipe(path, 0.015 * e, 6), material)
        for k in range(w.panels):
            y = self.first + (k + 0.55) * w.pitch
            box = shapes.box((0.15 * e, 0.09 * e, 0.045), 0.005)
            self._add(part, box, "anodised", (x, y, z))

    def _blanket(self) -> None:
        """A long thin blanket of cells between two booms, with a bar at its end."""
        w, e = self.wing, self.e
        self._yoke(self.draw.choice(("arms", "braced")))
        half, length = w.chord / 2.0, w.panels * w.pitch
        count = max(3, round(length / (0.45 * w.chord)))
        pitch = length / count
        cell = (self.draw.uniform(0.05, 0.10), self.draw.uniform(0.04, 0.08))
        for k in range(count):
            y = self.first + (k + 0.5) * pitch
            self._panel(
                f"blanket_{k + 1}",
                (0.0, y),
                (w.chord - 0.12, pitch - 0.006),
                0.016,
                cell,
                0.01,
                False,
            )
        end = self.first + length
        booms = self.c.part(f"{self.name}_booms", "boom")
        for s in (-1.0, 1.0):
            rod = shapes.strut(
                (s * (half - 0.035), self.first - 0.05, 0.0),
                (s * (half - 0.035), end + 0.05, 0.0),
                0.032,
                10,
            )
            self._add(booms, rod, "cfrp")
        spar = shapes.box((w.chord + 0.04, 0.09, 0.07), 0.008)
        ends = self.c.part(f"{self.name}_bars", "structure")
        self._add(ends, spar, "aluminium", (0.0, end + 0.04, 0.0))
        drum = shapes.cylinder(0.075 * e, w.chord + 0.02, 18, 0.006).rotate("y", 90.0)
        self._add(ends, drum, self.c.palette.paint, (0.0, self.first - 0.02, 0.0))
        links = self.c.part(f"{self.name}_tension", "structure")
        for k in range(count - 1):
            y = self.first + (k + 1) * pitch
            strip = shapes.box((w.chord - 0.05, 0.022, 0.034), 0.003)
            self._add(links, strip, "foil_smooth", (0.0, y, 0.0))
        for s, side in ((-1.0, "m"), (1.0, "p")):
            self._mark(f"tip_{side}", s * (half + 0.018), end + 0.075)
            if len(self.c.design.wings) <= 3:
                self._mark(f"root_{side}", s * (half + 0.008), self.first + 0.04 * e)

    def _fan(self) -> None:
        """A round fan of gores between spokes."""
        w, e = self.wing, self.e
        radius = w.pitch * w.panels / 2.0
        middle = self.first + radius
        gores = 10
        yoke = self.c.part(f"{self.name}_yoke", "boom")
        mast = shapes.strut((0, 0.02 * e, 0), (0, middle - 0.1 * radius, 0), 0.035 * e, 12)
        self._add(yoke, mast, "aluminium", (0.0, 0.0, -0.05 * e))
        a = math.pi / gores
        wedge = [
            (0.09 * radius * math.cos(s * 0.9 * a), 0.09 * radius * math.sin(s * 0.9 * a))
            for s in (-1.0, 1.0)
        ]
        rim = [
            (radius * math.cos(s * 0.985 * a), radius * math.sin(s * 0.985 * a))
            for s in (-1.0, 1.0)
        ]
        outline = [wedge[0], rim[0], rim[1], wedge[1]]
        for k in range(gores):
            turn = 360.0 * (k + 0.5) / gores
            part = self.c.part(f"{self.name}_gore_{k + 1}", "solar_array")
            skin = shapes.prism(outline, 0.008).rotate("z", turn)
            back = shapes.prism(outline, 0.008).rotate("z", turn)
            self._add(part, skin, self.c.palette.cells, (0.0, middle, 0.005))
            self._add(part, back, self.c.palette.back, (0.0, middle, -0.0025))
        spokes = self.c.part(f"{self.name}_spokes", "structure")
        for k in range(gores):
            t = 2.0 * math.pi * k / gores
            way = np.array([math.cos(t), math.sin(t), 0.0])
            rod = shapes.strut(0.05 * radius * way, 1.01 * radius * way, 0.014 * e, 6)
            self._add(spokes, rod, "cfrp", (0.0, middle, 0.0))
        hub = self.c.part(f"{self.name}_hub", "structure")
        disc = shapes.cylinder(0.12 * radius, 0.12 * e, 20, 0.008)
        self._add(hub, disc, "aluminium", (0.0, middle, 0.0))
        for k in (2, 4, 6, 8) if len(self.c.design.wings) <= 3 else (2, 3):
            t = 2.0 * math.pi * k / gores
            self._mark(
                f"spoke_{k}", 1.012 * radius * math.cos(t), middle + 1.012 * radius * math.sin(t)
            )
