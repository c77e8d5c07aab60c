"""The command `satgen doctor`: what it prints."""

from __future__ import annotations

import click

from satgen.cli.common import echo_json, json_option


@click.command("doctor", short_help="Say what will render here, and what is missing.")
@json_option
def command(as_json: bool) -> None:
    """Say what renders here (EGL or OSMesa, GPU or software), what torch runs on, which weights
    are there, and what to install where something is missing.

    The exit status is 1 if rendering is not possible.

    Example: satgen doctor
    """
    from matchers import weights
    from satgen.doctor import diagnose, lines

    found = diagnose({f"{w.kind} {w.name}": weights.state(w) for w in weights.catalogue()})
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo("\n".join(lines(found)))
    if found.missing:
        raise SystemExit(1)
