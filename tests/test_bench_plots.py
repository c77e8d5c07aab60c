"""Plots of summaries that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from bench.plots import LEAST_SPAN, PANEL_INCHES, draw
from bench.summary import summarise
from tests.test_bench_summary import ADAPTIVE, FULL, PLAIN, description, row, rows

SUMMARY = summarise(rows(), description(PLAIN, FULL, ADAPTIVE))


def with_settings(f1: float) -> dict[str, Any]:
    """A summary with a setting of early exit more, of a sweep."""
    summary = {**SUMMARY, "combinations": [dict(e) for e in SUMMARY["combinations"]]}
    _, full, adaptive = summary["combinations"]
    other = {**adaptive, "swept": True, "depth_confidence": 0.5}
    other["overall"] = {**adaptive["overall"], "match_ms": 3.0, "flops": 20.0}
    summary["combinations"] = [full, adaptive, other]
    for place, entry in enumerate(summary["combinations"]):
        entry["overall"] = {**entry["overall"], "f1": f1 + 0.001 * place}
    return summary


def test_two_points_are_no_trade_off() -> None:
    plots = draw(SUMMARY)
    assert {"accuracy", "savings", "stop_layers", "parts"} <= set(plots)
    assert "trade_off" not in plots


@pytest.mark.parametrize("f1", [0.2, 0.7])
def test_tenths_of_a_per_cent_are_no_cliff(f1: float) -> None:
    plot = draw(with_settings(f1))["trade_off"]
    for panel in plot.whole.axes:
        low, high = panel.get_ylim()
        assert high - low >= LEAST_SPAN and low < 100.0 * f1 < high
    assert "does not begin at 0" in plot.note


def test_a_panel_apart_is_as_wide_as_a_phone() -> None:
    for plot in draw(with_settings(0.5)).values():
        assert len(plot.panels) == len(plot.whole.axes)
        assert {figure.get_size_inches()[0] for figure in plot.panels} == {PANEL_INCHES}
        assert len(plot.keys) == len({key.label for key in plot.keys}) > 0
        assert all(key.colour.startswith("#") for key in plot.keys)


def test_conditions_show_how_many_pairs_there_are_and_how_sure_they_are() -> None:
    import pandas as pd

    assert "conditions" not in draw(SUMMARY)  # one phase, one elevation, one rotation a gap
    table = pd.DataFrame(
        row(PLAIN, i, 1, elevation_deg=15.0 * (-1) ** i, f1=0.5 + 0.1 * (i % 3)) for i in range(12)
    )
    plot = draw(summarise(table, description(PLAIN)))["conditions"]
    (panel,) = plot.whole.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        "-30…0\nn = 6", "0…30\nn = 6",
    ]  # fmt: skip
    assert panel.containers[0].has_yerr
    assert "same gap" in panel.get_title(loc="left")
