"""How much light a rough surface mirrors in all directions together, as a table for the shader.

The lobe is GGX with the height-correlated masking of Smith (Heitz, "Understanding the
masking-shadowing function in microfacet-based BRDFs", JCGT 2014) and Schlick's Fresnel term. Light
that leaves a microfacet only to meet another is lost to that model; the shader gives it back after
Turquin, "Practical multiple scattering compensation for microfacet models" (ILM, 2019), and lets
into the diffuse layer what is not mirrored, on the way in and on the way out (Kulla and Conty,
"Revisiting physically based shading at Imageworks", SIGGRAPH courses 2017).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from satgen import stored

SIDE = 32
"""Entries along the cosine, and along the roughness, 0 to 1 each, both ends among them."""

DIELECTRIC = 0.04
"""Reflectance at normal incidence of what is not metal (glTF 2.0, appendix B)."""

_STRATA = (64, 6)


def albedo_terms(
    cosine: NDArray[np.float64], roughness: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A and B, (N,): a lobe of reflectance f at normal incidence mirrors f A + B of the light that
    comes evenly from everywhere.

    Args:
        cosine: (N,) between normal and view, above 0.
        roughness: (N,), the square root of GGX's alpha.
    """
    # Directions of visible normals, in even strata (Heitz, JCGT 7.4, 2018), the view in the xz
    # plane, on one side of it; what is left to average is smooth.
    first, second = np.meshgrid(*((np.arange(n) + 0.5) / n for n in _STRATA), indexing="ij")
    cosine, alpha = cosine[:, None, None], roughness[:, None, None] ** 2
    sine = np.sqrt(1.0 - cosine**2)
    length = np.hypot(alpha * sine, cosine)
    vx, vz = alpha * sine / length, cosine / length
    radius, turn = np.sqrt(first), np.pi * (second - 0.5)
    x, y = radius * np.cos(turn), radius * np.sin(turn)
    y = (1.0 - 0.5 * (1.0 + vz)) * np.sqrt(1.0 - x**2) + 0.5 * (1.0 + vz) * y
    z = np.sqrt(np.maximum(1.0 - x**2 - y**2, 0.0))
    hx, hy, hz = -vz * y + vx * z, x, vx * y + vz * z
    hx, hy = alpha * hx, alpha * hy
    norm = np.sqrt(hx**2 + hy**2 + hz**2)
    hx, hz = hx / norm, np.maximum(hz / norm, 1e-9)
    vh = np.maximum(sine * hx + cosine * hz, 0.0)
    light = 2.0 * vh * hz - cosine
    up = np.maximum(light, 1e-9)
    to_view = up * np.sqrt(cosine**2 * (1.0 - alpha**2) + alpha**2)
    to_light = cosine * np.sqrt(up**2 * (1.0 - alpha**2) + alpha**2)
    # G2 / G1 of the view.
    share = np.where(light > 0.0, (to_view + cosine * up) / (to_view + to_light), 0.0)
    schlick = (1.0 - vh) ** 5
    return (share * (1.0 - schlick)).mean((1, 2)), (share * schlick).mean((1, 2))


@lru_cache(maxsize=1)
def table() -> NDArray[np.float32]:
    """(SIDE, SIDE, 4) float32, a row a roughness, a column a cosine: A, B, the share that a
    dielectric mirrors in all, and the inverse of what it lets in on average; kept in the cache
    folder, too."""
    name = stored.name_of("reflectance")
    found = stored.read(name)
    if found is None or "table" not in found[0]:
        values = _made_table()
        stored.write(name, {"table": values}, None)
        return values
    return found[0]["table"]


def _made_table() -> NDArray[np.float32]:
    axis = np.linspace(0.0, 1.0, SIDE)
    roughness, cosine = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
    a, b = albedo_terms(np.maximum(cosine, 1e-3), np.maximum(roughness, 1e-2))
    mirrored = (DIELECTRIC * a + b) * (1.0 + DIELECTRIC * (1.0 / (a + b) - 1.0))
    terms = np.stack([a, b, mirrored], axis=-1).reshape(SIDE, SIDE, 3)
    average = np.asarray(np.trapezoid(terms[..., 2] * 2.0 * axis, axis, axis=1))[:, None]
    let_in = np.broadcast_to(1.0 / (1.0 - average), (SIDE, SIDE))
    return np.dstack([terms, let_in]).astype(np.float32)
