"""The extractors and matchers that a run of the benchmark compares, loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.config import BenchConfig, Combination
from matchers.registry import (
    choose_device,
    load_features,
    load_image_matcher,
    load_matcher,
)

if TYPE_CHECKING:
    import torch

    from matchers.types import Extractor, Matcher

CountOperations = Callable[[Any, Any, Any, Any], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Lineup:
    """The extractors and matchers of a run, loaded.

    Attributes:
        combinations: in their order, those of `TRUTH` among them.
        extractors: by the names of the features.
        matchers: by combination, but for those of `TRUTH` and those that take images.
        image_matchers: those that take images, by combination.
        unadapted: of each adaptive combination the one that always does all the work.
        counts: how a matcher's operations are counted, by its name; None: nobody knows.
        device: that they are on.
    """

    combinations: tuple[Combination, ...]
    extractors: dict[str, Extractor]
    matchers: dict[Combination, Matcher]
    image_matchers: dict[Combination, Any]
    unadapted: dict[Combination, Combination]
    counts: dict[str, CountOperations | None]
    device: torch.device

    @classmethod
    def load(cls, config: BenchConfig) -> Lineup:
        """Load all that a configuration names.

        Raises:
            InputError: the device, an extractor, a matcher or weights are not to be had, or the
                weights are for something else.
        """
        features, matchers = config.used_features(), config.matcher_specs()
        combinations = config.combinations()
        return cls(
            combinations,
            {
                name: load_features(
                    spec,
                    weights=config.weights_of(name),
                    max_keypoints=config.max_keypoints,
                    device=config.device,
                )
                for name, spec in features.items()
            },
            {
                combination: load_matcher(
                    matchers[combination.matcher],
                    features=features[combination.features],
                    weights=combination.weights,
                    device=config.device,
                    **combination.options,
                )
                for combination in combinations
                if not combination.is_truth and combination.features
            },
            {
                combination: load_image_matcher(
                    matchers[combination.matcher],
                    max_keypoints=config.max_keypoints,
                    device=config.device,
                    **combination.options,
                )
                for combination in combinations
                if not combination.features
            },
            {
                one: other
                for one in combinations
                for other in combinations
                if one.adaptive and one.without_adapting(other)
            },
            {name: spec.operations for name, spec in matchers.items()},
            choose_device(config.device),
        )
