"""The command line. A command's module, and what it needs, is imported when that command runs."""

from __future__ import annotations

import importlib
from typing import Any

import click

from satgen import __version__
from satgen.errors import InputError, cut
from satgen.exits import guarded

COMMANDS = {
    "targets": "List the targets, or build their model files.",
    "render": "Render image sequences with ground truth.",
    "status": "Say how far a dataset and its shards are.",
    "merge": "Make a dataset of its shards.",
    "verify": "Prove a dataset whole, or name every bad frame.",
    "preview": "Draw a contact sheet and a film of a dataset.",
    "view": "Look at a dataset or a run in a browser.",
    "export": "Write datasets in other programs' formats.",
    "match": "Match two images, and draw the matches.",
    "bench": "Measure matching accuracy, and what early exit saves.",
    "train": "Train LightGlue or SuperGlue on datasets.",
    "predict": "Forecast poses or frames, and measure how far off they are.",
    "weights": "List the networks' weights, or fetch them.",
    "doctor": "Say what will render here, and what is missing.",
}
"""Command -> one line of help. Each is the function `command` of satgen.cli.NAME."""


def check_words(words: list[str]) -> None:
    """Refuse words of a command line that no file and no message can have.

    Raises:
        InputError: one that is not UTF-8, or has a zero byte.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{cut(word)}: is not UTF-8, which names must be") from None
        if "\0" in word:
            raise InputError(f"{cut(word)}: has a zero byte, which no name can")


class Commands(click.Group):
    """A group that knows its commands' names and one-liners without importing them."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the words before a command; what cannot be read becomes one line."""

        def made() -> click.Context:
            check_words(args)
            return super(Commands, self).make_context(info_name, args, parent, **extra)

        context: click.Context = guarded(made)
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names, in the order of help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"satgen.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in `satgen --help`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed; for an unknown one the message lists the names."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(
                f"no such command {args[0]!r}: must be one of {', '.join(COMMANDS)}", ctx
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; satgen's own errors become one line and an exit status."""
        return guarded(lambda: super(Commands, self).invoke(ctx))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="satgen")
def main() -> None:
    """Complete optical image sequences of satellites, with exact pose, depth and part labels.

    Example: satgen render --target aura
    """
