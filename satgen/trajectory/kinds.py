"""The kinds of trajectory that there are."""

from __future__ import annotations

from satgen.errors import InputError
from satgen.trajectory.file import PoseFile
from satgen.trajectory.grid import Grid
from satgen.trajectory.motion import Motion
from satgen.trajectory.orbit import Orbit
from satgen.trajectory.spiral import Spiral
from satgen.trajectory.tumble import Tumble

KINDS: dict[str, type[Motion]] = {
    motion.kind: motion for motion in (Spiral, Grid, Orbit, Tumble, PoseFile)
}
"""The kinds of motion by name; a new kind is a class and a place here."""

INERTIAL_KINDS = tuple(kind for kind, motion in KINDS.items() if motion.inertial)


def motion_of(text: str) -> Motion:
    """The motion that a text asks for: spiral, grid, orbit, tumble or file:PATH.

    Raises:
        InputError: any other text, or a file that cannot be read.
    """
    kind, _, argument = text.partition(":")
    if kind not in KINDS:
        known = ", ".join(KINDS).removesuffix(PoseFile.kind)
        raise InputError(f"trajectory {text!r}: must be {known}or file:PATH")
    return KINDS[kind].named(argument)
