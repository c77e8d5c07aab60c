"""satgen.modelling.assembly: parts, texture shifts, measures, and the checks on a target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from satgen.modelling import shapes as s
from satgen.modelling.assembly import Assembly, connected_pieces
from satgen.modelling.materials import MATERIALS


def small() -> Assembly:
    facts = {
        "length": {"value": 2.0, "unit": "m", "source": "a book", "measure": "extent_x:body"},
        "span": {"value": 5.05, "unit": "m", "source": "a book", "measure": "extent_y"},
        "mass": {"value": 3.0, "unit": "kg", "source": "a book"},
    }
    a = Assembly("small", "Small", "x forward", facts)
    a.part("body", "bus").add(s.box((2, 1, 1)), "aluminium")
    a.part("wing +y", "solar_array").add(s.plate(1, 2, 0.02).translate((0, 1.5, 0)), "cfrp")
    a.part("wing -y", "solar_array").add(s.plate(1, 2, 0.02).translate((0, -1.5, 0)), "cfrp")
    a.landmark("corner", (1.0, 0.5, 0.5))
    return a


def test_labels_classes_and_counts() -> None:
    a = small()
    assert [p.label for p in a.parts] == [1, 2, 3]
    assert a.triangles == 36
    assert np.allclose(a.bounds, [[-1, -2.5, -0.5], [1, 2.5, 0.5]])
    assert a.problems(strict=False) == []
    a.check(strict=False)


def test_measures_and_their_tolerance() -> None:
    a = small()
    assert a.measure("extent_x:body") == pytest.approx(2.0)
    assert a.measure("extent_y:wing*") == pytest.approx(5.0)
    assert a.measure("extent_y:wing +*") == pytest.approx(2.0)
    assert a.measure("extent_(0,3,0):wing*") == pytest.approx(5.0)
    assert a.measure("extent_(1,1,0):body") == pytest.approx((2.0 + 1.0) / 2.0**0.5)
    assert a.measure("extent_x:body plus 0.25") == pytest.approx(2.25)
    with pytest.raises(ValueError, match="matches no part"):
        a.measure("extent_y:nothing")
    with pytest.raises(ValueError, match="unknown measure"):
        a.measure("volume")
    assert not any("over 5 %" in p for p in a.problems())
    a.facts = {"span": {"value": 5.4, "unit": "m", "source": "a book", "measure": "extent_y"}}
    assert any("over 5 %" in p for p in a.problems())


def test_strict_check_names_every_shortfall() -> None:
    a = small()
    a.landmark("adrift", (5.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="fewer than 40") as caught:
        a.check()
    for text in ("3 parts", "36 triangles", "2 landmarks", "'adrift' is 4.000 m off"):
        assert text in str(caught.value)


def test_defects_are_found() -> None:
    a = Assembly("broken")
    good = s.box((1, 1, 1))
    a.part("inside out", "bus").add(replace(good, faces=good.faces[:, ::-1]), "aluminium")
    flat = replace(good, faces=np.array([[0, 0, 1]], dtype=np.int32))
    a.part("flat", "bus").add(flat, "aluminium")
    a.part("nan", "bus").add(replace(good, vertices=good.vertices * np.nan), "aluminium")
    a.part("empty", "bus")
    text = "; ".join(a.problems(strict=False))
    for wanted in ("against the winding", "degenerate", "not finite", "'empty' has no shape"):
        assert wanted in text


def test_wrong_names_are_refused() -> None:
    a = small()
    with pytest.raises(ValueError, match="two parts"):
        a.part("body", "bus")
    with pytest.raises(ValueError, match="class"):
        a.part("x", "blanket")
    with pytest.raises(ValueError, match="unknown material"):
        a.part("y", "bus").add(s.box((1, 1, 1)), "gold")
    with pytest.raises(ValueError, match="two landmarks"):
        a.landmark("corner", (0, 0, 0))
    with pytest.raises(ValueError, match="not finite"):
        a.landmark("nowhere", (np.nan, 0, 0))
    a.facts = {"mass": {"value": 1.0}}
    assert any("lacks source, unit" in p for p in a.problems(strict=False))


def test_texture_shifts_differ_between_pieces_and_keep_its_scale() -> None:
    a = Assembly("tex")
    part = a.part("one", "bus").add(s.box((1, 1, 1)), "mli_gold").add(s.box((1, 1, 1)), "mli_gold")
    first, second = (shape for _, shape in part.pieces)
    assert not np.allclose(first.uv, second.uv)
    assert len({tuple(np.round(first.uv[i], 6)) for i in first.faces[:, 0]}) == 6
    tri, uv = first.vertices[first.faces], first.uv[first.faces]
    length = np.linalg.norm(tri[:, 1] - tri[:, 0], axis=1)
    tile = MATERIALS["mli_gold"].tile_m
    assert np.allclose(np.linalg.norm(uv[:, 1] - uv[:, 0], axis=1) * tile, length)
    again = Assembly("tex").part("one", "bus").add(s.box((1, 1, 1)), "mli_gold")
    assert np.array_equal(again.pieces[0][1].uv, first.uv)


def test_trim_wears_the_tape_and_the_rest_keeps_off_it() -> None:
    shape = s.join(s.blanket_box((1.9, 1.5, 0.8), 0.01, 0.2), s.box((0.4, 0.3, 0.2), 0.02))
    assert 0 < shape.trimmed.sum() < len(shape.vertices)
    placed = Assembly("tex").part("one", "bus").add(shape, "mli_gold").pieces[0][1]
    low, high = MATERIALS["mli_gold"].tape_v or (0.0, 0.0)
    piece = connected_pieces(len(placed.vertices), placed.faces)
    for k in range(piece.max() + 1):
        v = placed.uv[piece == k, 1]
        if shape.trimmed[piece == k].all():
            assert v.mean() == pytest.approx((low + high) / 2, abs=0.02)
            assert low - 1e-6 <= v.min() and v.max() <= high + 1e-6
        else:
            assert not shape.trimmed[piece == k].any()
            assert v.min() >= high - 1e-6 and v.max() <= 1.0 + low + 1e-6


def test_grid_materials_shift_by_whole_cells() -> None:
    front = s.solar_panel(1.0, 1.0, 0.02, 10, 10)["front"]
    part = Assembly("tex").part("one", "solar_array").add(front, "solar_cells")
    uv = part.pieces[0][1].uv
    top = front.normals[:, 2] > 0.9
    assert np.allclose(uv[top] * s.CELLS_PER_TILE, np.round(uv[top] * s.CELLS_PER_TILE))


def test_pieces_match_an_independent_component_search() -> None:
    shape = s.join(s.blanket_box((1, 1, 2), 0.01, 0.2), s.truss((0, 0, 0), (0, 0, 2), 0.3, 3, 0.02))
    label = connected_pieces(len(shape.vertices), shape.faces)
    edges = np.concatenate([shape.faces[:, [0, 1]], shape.faces[:, [1, 2]]])
    groups = trimesh.graph.connected_components(edges, nodes=np.arange(len(shape.vertices)))
    assert len(groups) == label.max() + 1
    for group in groups:
        assert len(set(label[group])) == 1


def test_surface_distance_matches_trimesh() -> None:
    a = small()
    mesh = trimesh.util.concatenate(
        [trimesh.Trimesh(x.vertices, x.faces, process=False) for p in a.parts for _, x in p.pieces]
    )
    points = np.random.default_rng(0).uniform(-3, 3, (60, 3))
    points[:3] = [[0, 0, 0], [1, 0.5, 0.5], [0.2, 0.1, 0.5]]
    tri = mesh.triangles
    for p in points:
        closest = trimesh.triangles.closest_point(tri, np.broadcast_to(p, (len(tri), 3)))
        wanted = np.linalg.norm(closest - p, axis=1).min()
        assert a.surface_distance(p) == pytest.approx(wanted, abs=1e-9)
