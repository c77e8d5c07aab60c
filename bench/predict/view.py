"""The site of a prediction run: forecasts beside the truth, or their errors as they grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.config import TASKS, FrameRules, PredictConfig
from bench.predict.frame_forecasts import source_key
from bench.predict.run import MODELS, POSES, PredictResult
from bench.predict.table import source_words
from bench.result import clean
from bench.run_site import fields_of, run_site
from satgen.dataset import Dataset
from satgen.errors import InputError, cut
from satgen.preview import spread
from satgen.runfolder import IDENTITY, dataset_identity
from satgen.view.packs import UNREADABLE, encoded_colours_exactly, join_pack
from satgen.view.site import Site, SiteFile, cache_key, json_bytes

if TYPE_CHECKING:
    import pandas as pd

    from bench.predict.frame_forecasts import FrameRunner

POSE_KIND, FRAMES_KIND = TASKS
"""The kinds of site that show a prediction run, by its task."""

MOST_EXPORTED = 48
"""Windows of frames whose forecasts are written into an exported page, evenly chosen."""

_FIGURES = ("psnr_silhouette", "psnr", "ssim", "iou")
"""Figures of frames that the page shows, those that the table has."""


def predict_site(folder: Path, width: int, *, exported: bool = False) -> Site:
    """The site of a prediction run.

    Args:
        folder: of the run.
        width: of the widest image that is shown as it is, pixels.
        exported: it is for a folder, so that forecasts are made of some windows only.

    Raises:
        InputError: it is not finished; its datasets are gone or others, where frames are forecast.
    """
    result = PredictResult(folder)
    kind = str(result.description["task"])
    found = run_site(result, kind, width)
    if kind == FRAMES_KIND:
        _check_same(result, found.entries, found.datasets)
        _add_frames(found.site, result, found.names, exported)
    else:
        _add_poses(found.site, result, found.names)
    return found.site


# -- frames --------------------------------------------------------------------------------------


def _check_same(
    result: PredictResult, entries: Mapping[str, Path], there: Mapping[str, Dataset]
) -> None:
    """Refuse datasets other than those of the run: its forecasts are made again from them."""
    known = result.description[IDENTITY]["datasets"]
    for name, path in entries.items():
        if name not in there:
            raise InputError(f"{result.folder}: forecasts frames of {path}, which is no dataset")
        if dataset_identity(path) != known[name]:
            raise InputError(
                f"{result.folder}: forecasts frames of {path}, which has changed since"
            )


def _add_frames(
    site: Site, result: PredictResult, names: Mapping[str, str], exported: bool
) -> None:
    table = result.windows
    keys = _forecast_keys(table)
    windows = list(table[["dataset", "start"]].drop_duplicates().itertuples(index=False, name=None))
    count = len(windows)
    if exported:
        windows = [windows[n] for n in spread(np.arange(count), MOST_EXPORTED)]
    horizons = sorted(int(h) for h in table["horizon"].unique())
    figures = [name for name in _FIGURES if name in table]
    values = _figures_of(table, windows, keys, horizons, figures)
    protocol = result.description["protocol"]
    place = cache_key(result.description[IDENTITY])
    asked = tuple(key[:3] for key in keys)
    described = []
    for number, (dataset, start) in enumerate(windows):
        path = f"forecasts/{number:05d}.pack"
        make = partial(_window_bytes, result.folder.resolve(), str(dataset), int(start), asked)
        keep = f"{place}/forecasts/{dataset}-{start}.pack"
        site.files[path] = SiteFile(make, keep, ahead=False)
        described.append(
            {
                "dataset": names[dataset],
                "start": int(start),
                "file": path,
                "figures": [
                    dict(zip(figures, clean(one.tolist(), 5), strict=True))
                    for one in values[number]
                ],
            }
        )
    site.description["forecasts"] = {
        "models": [label for *_, label in keys],
        "horizons": horizons,
        "observed": protocol["observed"],
        "step": protocol["step"],
        "size": protocol["size"],
        "figures": figures,
        "windows": len(described),
        "of": count,
    }
    site.files["forecasts/windows.json"] = SiteFile(partial(json_bytes, described))


def _forecast_keys(table: pd.DataFrame) -> list[tuple[str, str, float, str]]:
    """Model, source of poses, noise and label of each forecast of a window, model by model."""
    order = {str(name): place for place, name in enumerate(dict.fromkeys(table["model"]))}
    found = []
    for row in table[["model", "poses", "noise_deg"]].drop_duplicates().itertuples(index=False):
        poses = "" if row.poses is None or row.poses != row.poses else str(row.poses)
        noise = float("nan") if row.noise_deg is None else float(row.noise_deg)
        words = source_words(poses, noise)
        found.append(
            (str(row.model), poses, noise, f"{row.model}, {words}" if words else row.model)
        )
    return sorted(found, key=lambda key: order[key[0]])


def _figures_of(
    table: pd.DataFrame,
    windows: list[tuple[str, int]],
    keys: list[tuple[str, str, float, str]],
    horizons: list[int],
    figures: list[str],
) -> NDArray[np.float64]:
    """Figures (W, K, F, H) of windows, by forecast, figure and horizon; NaN where there is none."""
    window_at = {window: place for place, window in enumerate(windows)}
    key_at = {_key(*key[:3]): place for place, key in enumerate(keys)}
    mine = table[[w in window_at for w in zip(table["dataset"], table["start"], strict=True)]]
    forecasts = zip(mine["model"], mine["poses"].fillna(""), mine["noise_deg"], strict=True)
    window = [window_at[w] for w in zip(mine["dataset"], mine["start"], strict=True)]
    key = [key_at[_key(*forecast)] for forecast in forecasts]
    horizon = np.searchsorted(horizons, mine["horizon"])
    shape = len(windows), len(keys), len(figures), len(horizons)
    found: NDArray[np.float64] = np.full(shape, np.nan)
    found[window, key, :, horizon] = mine[figures]
    return found


def _window_bytes(
    folder: Path, dataset: str, start: int, keys: tuple[tuple[str, str, float], ...]
) -> bytes:
    """A pack of a window: the frame that was seen last, the truth at each horizon, and for each
    forecast its frames at each horizon. The images have the protocol's size; those of a model that
    cannot forecast here any more are missing."""
    runner = _runner(folder)
    spans = runner.windows.windows.spans
    number = next(n for n in runner.windows.numbers(dataset) if spans[n, 1] == start)
    truth = runner.batch(dataset, [number], runner.sources[0])
    frames = [truth.observed.frames[0, -1], *truth.truth[0]]
    images = [encoded_colours_exactly(_eight_bit(frame)) for frame in frames]
    found: dict[tuple[str, str, str], Any] = {}
    for name in dict.fromkeys(model for model, *_ in keys):
        try:
            evaluated = runner.forecasts(dataset, [number], [name])
        except InputError:  # such as one that renders a target which has changed since
            continue
        for one in evaluated:
            label, noise = source_key(one.source)
            found[_key(name, label or "", noise)] = one.forecast.frames[0]
    for key in keys:
        if (forecast := found.get(_key(*key))) is None:
            images += [UNREADABLE] * len(truth.truth[0])
        else:
            images += [encoded_colours_exactly(_eight_bit(frame)) for frame in forecast]
    return join_pack(images)


def _key(model: str, poses: str, noise: float | None) -> tuple[str, str, str]:
    """A forecast, whether its noise is None or NaN."""
    return model, poses, "" if noise is None or noise != noise else f"{noise:.9g}"


def _eight_bit(frame: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A frame (C, S, S) of 0…1 as (S, S, 3) uint8."""
    pixels = np.rint(255.0 * np.clip(frame, 0.0, 1.0)).astype(np.uint8)
    return np.moveaxis(np.broadcast_to(pixels, (3, *pixels.shape[1:])), 0, -1)


@lru_cache(maxsize=2)
def _runner(folder: Path) -> FrameRunner:
    """The windows and models of a run, as it had them."""
    from bench.predict.frame_learned import NETWORKS
    from bench.predict.frame_protocols import FrameProtocol
    from bench.predict.frame_run import frame_experiment, runner_of
    from bench.predict.frame_training import BEST

    description = PredictResult(folder).description
    identity = description[IDENTITY]
    config, protocol, rules = (
        fields_of(identity[name]) for name in ("config", "protocol", "rules")
    )
    # A run's folder is data: to look at it runs nothing of somebody's own that it names.
    config["models"] = tuple(name for name in config["models"] if ":" not in str(name))
    for key in ("poses", "features"):
        if ":" in str(config[key]):
            raise InputError(
                f"{folder}: its poses were found by {cut(str(config[key]))}, which is not ours"
            )
    if not config["models"]:
        raise InputError(f"{folder}: none of its models is ours, to forecast with again")
    try:
        experiment = frame_experiment(
            PredictConfig(**config),
            [Path(entry["path"]) for entry in description["datasets"]],
            FrameProtocol(**protocol),
            rules=FrameRules(**rules),
        )
    except TypeError as error:
        raise InputError(f"{folder}: a run of another version ({error})") from None
    models = tuple(
        (name, folder / MODELS / name / BEST if name in NETWORKS else path)
        for name, path in experiment.setup.models
    )
    poses = folder / POSES if experiment.tracker is not None else None
    return runner_of(replace(experiment.setup, models=models, poses=poses))


# -- poses ---------------------------------------------------------------------------------------


def _add_poses(site: Site, result: PredictResult, names: Mapping[str, str]) -> None:
    by_motion = {
        str(entry["motion"]): names[entry["name"]]
        for entry in result.description["datasets"]
        if entry["name"] in names
    }
    groups, blocks, at = [], [], 0
    for (motion, noise), mine in result.windows.groupby(["motion", "noise_deg"], sort=False):
        models = [str(name) for name in mine["model"].unique()]
        horizons = sorted(int(h) for h in mine["horizon"].unique())
        starts = mine.drop_duplicates("window").sort_values("window")
        numbers = starts["window"].to_numpy()
        block = np.full((len(models), len(numbers), len(horizons)), np.nan, dtype="<f4")
        places = (
            mine["model"].map({name: n for n, name in enumerate(models)}).to_numpy(),
            np.searchsorted(numbers, mine["window"].to_numpy()),
            np.searchsorted(horizons, mine["horizon"].to_numpy()),
        )
        block[places] = mine["error_deg"].to_numpy(dtype="<f4")
        groups.append(
            {
                "motion": str(motion),
                "noise_deg": clean(float(noise), 6),
                "dataset": by_motion.get(str(motion)),
                "models": models,
                "horizons": horizons,
                "starts_s": clean(starts["start_s"].tolist(), 9),
                "offset": at,
            }
        )
        blocks.append(block)
        at += block.size
    site.description["forecasts"] = {
        "observed": result.description["protocol"]["observed"],
        "groups": len(groups),
    }
    site.files["forecasts/groups.json"] = SiteFile(partial(json_bytes, groups))
    site.files["forecasts/errors.bin"] = SiteFile(partial(_joined, tuple(blocks)))


def _joined(blocks: tuple[NDArray[np.float32], ...]) -> bytes:
    return b"".join(block.tobytes() for block in blocks)
