"""Closed shapes to build a satellite from: boxes, blankets, barrels, dishes, panels, booms.

Every function returns a `Shape`, centred on the origin with its axis along z unless it says
otherwise, in metres. A shape is a closed solid or a closed thin shell: back faces are never drawn,
so nothing may rely on them. Vertices are doubled along hard edges (each side keeps its own normal)
and along texture seams; welded by position every shape is watertight.

Texture coordinates are metres on the surface, u to the right and v up when looking at the outside,
so (u, v, normal) is right-handed; a material divides them by its tile size. Where `uv_unit` is set
they are already in texture units.
"""

from satgen.modelling.shapes.blankets import TAPE_M, blanket_box
from satgen.modelling.shapes.dishes import dish, elliptic_dish
from satgen.modelling.shapes.fittings import hex_honeycomb, louvre
from satgen.modelling.shapes.mesh import (
    MAX_PIECE,
    Mesh,
    Shape,
    corner_normals,
    faceted,
    join,
    rotation,
)
from satgen.modelling.shapes.panels import CELLS_PER_TILE, solar_panel
from satgen.modelling.shapes.rods import pipe, strut, truss
from satgen.modelling.shapes.solids import box, plate, prism
from satgen.modelling.shapes.turned import (
    baffle,
    cone,
    cylinder,
    hemisphere,
    nozzle,
    revolve,
    ring,
    sphere,
    tube,
)

__all__ = [
    "CELLS_PER_TILE",
    "MAX_PIECE",
    "TAPE_M",
    "Mesh",
    "Shape",
    "baffle",
    "blanket_box",
    "box",
    "cone",
    "corner_normals",
    "cylinder",
    "dish",
    "elliptic_dish",
    "faceted",
    "hemisphere",
    "hex_honeycomb",
    "join",
    "louvre",
    "nozzle",
    "pipe",
    "plate",
    "prism",
    "revolve",
    "ring",
    "rotation",
    "solar_panel",
    "sphere",
    "strut",
    "truss",
    "tube",
]
