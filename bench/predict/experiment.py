"""Pose models against a protocol, in this process: the rows that a command or a report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.predict.figures import Errors, Row, errors_of, rows_of, window_columns
from bench.predict.pose_models import checked_forecast, load_pose_model
from bench.predict.protocols import PoseProtocol
from bench.predict.types import Episodes, PoseModel, Trainable
from satgen.errors import InputError

TRAIN_SEQUENCES = 20_000
"""Sequences to learn from, for a model that does not say how many it wants."""


@dataclass(frozen=True)
class Evaluation:
    """The errors of one model on one batch of a protocol.

    Attributes:
        model, protocol: their names.
        episodes: the batch.
        errors: of its forecasts.
    """

    model: str
    protocol: str
    episodes: Episodes
    errors: Errors

    def rows(self) -> list[Row]:
        """Rows of figures by motion, noise and horizon."""
        return rows_of(self.model, self.protocol, self.episodes, self.errors)

    def columns(self) -> dict[str, Any]:
        """A table with a row a sequence and horizon."""
        return window_columns(self.model, self.protocol, self.episodes, self.errors)


def load_models(names: Iterable[str]) -> dict[str, PoseModel]:
    """Models by name, in order.

    Raises:
        InputError: a name that is none, or one given twice.
    """
    models: dict[str, PoseModel] = {}
    for name in names:
        if name in models:
            raise InputError(f"pose model {name!r}: given twice")
        models[name] = load_pose_model(name)
    if not models:
        raise InputError("pose models: at least one must be given")
    return models


def fit_models(models: Mapping[str, PoseModel], protocol: PoseProtocol) -> None:
    """Train those that learn, on the protocol's training sequences."""
    drawn: dict[int, Episodes] = {}
    for model in models.values():
        if isinstance(model, Trainable):
            count = int(getattr(model, "train_sequences", TRAIN_SEQUENCES))
            if count not in drawn:
                drawn[count] = protocol.training(count)
            model.fit(drawn[count])


def evaluate(
    models: Mapping[str, PoseModel],
    protocol: PoseProtocol,
    episodes: Iterable[Episodes] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Evaluation]:
    """Each model on each batch of a protocol, batch by batch.

    Args:
        models: by name, ready to forecast.
        episodes: batches; the protocol's own unless given.
        progress: called with a line before each forecast.

    Raises:
        InputError: a model that forecasts what is no pose, or that cannot forecast these sequences.
    """
    for batch in protocol.episodes() if episodes is None else episodes:
        for name, model in models.items():
            if progress is not None:
                progress(f"{name}: {batch.motion[0]} at {batch.noise_deg[0]:g} deg")
            forecast = checked_forecast(name, model, batch.observed, batch.future)
            yield Evaluation(name, protocol.name, batch, errors_of(forecast, batch))


def pose_rows(names: Iterable[str], protocol: PoseProtocol) -> list[Row]:
    """Models by name, trained where they must be, against a protocol: all rows."""
    models = load_models(names)
    fit_models(models, protocol)
    return [row for found in evaluate(models, protocol) for row in found.rows()]
