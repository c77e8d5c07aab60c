"""Points to shade: every sample has its share of its pixel, and none is shaded twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from satgen.rendering.sampling import sample_pixels, surface_table

SURFACE = np.array([1, 1, 2, 3, 3], dtype=np.uint32)
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@st.composite
def buffers(draw: st.DrawFn) -> NDArray[np.uint32]:
    """Visibility buffers (2h + 1, 2w + 1) of SURFACE's primitives."""
    h, w = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    values = st.integers(0, len(SURFACE))
    return draw(arrays(np.uint32, (2 * h + 1, 2 * w + 1), elements=values, fill=st.just(0)))


def of_surface(seen: NDArray[np.uint32], row: int, column: int, colour: NDArray) -> NDArray:
    """The pixel's radiance by definition, a surface's colour being the same everywhere."""
    total = np.zeros(3)
    for (y, x), share in (((0, 0), 0.5), *((corner, 0.125) for corner in _CORNERS)):
        primitive = int(seen[2 * row + 1 + y, 2 * column + 1 + x])
        if primitive:
            total += share * colour[SURFACE[primitive - 1]]
    return total


@given(buffers())
def test_pixels_are_half_their_centre_and_an_eighth_each_corner(seen: NDArray[np.uint32]) -> None:
    colour = np.array([[0.0, 0, 0], [1, 0, 0.25], [0, 1, 0.5], [0.125, 0, 1]], dtype=np.float32)
    samples = sample_pixels(seen, surface_table(SURFACE))
    image = samples.resolve(colour[SURFACE[samples.primitive]])
    w = seen.shape[1] // 2
    shown = dict(zip(samples.pixels.tolist(), image, strict=True))
    for row, column in np.ndindex(seen.shape[0] // 2, w):
        expected = of_surface(seen, row, column, colour)
        found = shown.get(row * w + column, np.zeros(3))
        np.testing.assert_allclose(found, expected, atol=1e-6)


@given(buffers())
def test_nothing_is_shaded_twice_and_shares_are_of_the_place_they_see(
    seen: NDArray[np.uint32],
) -> None:
    samples = sample_pixels(seen, surface_table(SURFACE))
    # Where two surfaces meet in a pixel's middle they have points of their own there.
    surface = SURFACE[samples.primitive]
    points = list(zip(surface.tolist(), samples.u.tolist(), samples.v.tolist(), strict=True))
    on_edges = [p for p in points if (p[1] % 1, p[2] % 1) in ((0.5, 0.5), (0.5, 0.0), (0.0, 0.5))]
    assert len(set(on_edges)) == len(on_edges)
    # A share's point is in its own pixel, or on that one's border.
    row, column = np.divmod(samples.pixels[samples.whole :][samples.slot], seen.shape[1] // 2)
    assert np.all(np.abs(samples.u[samples.whole :][samples.point] - column) <= 0.5)
    assert np.all(np.abs(samples.v[samples.whole :][samples.point] - row) <= 0.5)
    # All that is shaded is seen.
    assert set(samples.point.tolist()) == set(range(len(samples.primitive) - samples.whole))
