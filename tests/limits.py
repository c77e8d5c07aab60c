"""How long a test waits for something before it gives up: never a measure of speed."""

from __future__ import annotations

PATIENCE_S = 900.0
"""Seconds for a command, a process or a condition: it is only there to end a test that hangs, so it
is far beyond what even a busy machine needs."""
