"""The command `satgen match`: its options, and what it prints."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from matchers.lightglue_config import LightGlueConfig
from matchers.specs import FEATURES_CHOICE, MATCHER_CHOICE, MAX_KEYPOINTS, MOST_KEYPOINTS
from satgen.cli.common import duration, echo_json, features_or_default, json_option
from satgen.cli.options import PATH, options_of
from satgen.errors import InputError, RunError
from satgen.outputs import check_outside

if TYPE_CHECKING:
    from matchers.match import MatchedPair
    from matchers.types import Matches

T = TypeVar("T")


@click.command("match", short_help="Match two images, and draw the matches.")
@click.argument("image_a", type=PATH)
@click.argument("image_b", type=PATH)
@click.option(
    "--features",
    help=f"{FEATURES_CHOICE}.  [default: aliked if it has been downloaded, else sift]",
)
@click.option(
    "--matcher",
    default="lightglue",
    show_default=True,
    help=f"{MATCHER_CHOICE}.",
)
@click.option(
    "--weights",
    help="The matcher's: official, satgen or a file.  [default: satgen if bundled, else official]",
)
@click.option("--features-weights", help="The extractor's: official, satgen or a file.")
@click.option(
    "--max-keypoints",
    default=MAX_KEYPOINTS,
    show_default=True,
    type=click.IntRange(1, MOST_KEYPOINTS),
    help="Keypoints of an image, the best.",
)
@click.option(
    "--resize",
    type=click.IntRange(8, 16384),
    help="Bring the long side to so many pixels first (LightGlue's training: 1024).  [aliked, "
    "superpoint]",
)
@options_of(LightGlueConfig)
@click.option("--no-adaptive", is_flag=True, help="LightGlue: all layers, no pruning.")
@click.option("--no-mask", is_flag=True, help="Look for keypoints beside the target, too.")
@click.option(
    "--turns",
    is_flag=True,
    help="Try the second image in each of its quarter turns and keep the best: for cameras that "
    "roll, at four times the work.",
)
@click.option("--device", help="cpu, cuda or mps.  [default: the best there is]")
@click.option("--out", type=PATH, help="Picture to write.")
@click.option("--npz", type=PATH, help="NumPy file to write.")
@json_option
def command(
    image_a: Path,
    image_b: Path,
    features: str | None,
    matcher: str,
    weights: str | None,
    features_weights: str | None,
    max_keypoints: int,
    resize: int | None,
    depth_confidence: float | None,
    width_confidence: float | None,
    no_adaptive: bool,
    no_mask: bool,
    turns: bool,
    device: str | None,
    out: Path | None,
    npz: Path | None,
    as_json: bool,
) -> None:
    """Match two images; print the numbers, and draw or save the matches.

    Of a dataset's frame (DATASET/rgb/000361.png) only the target is looked at. Where both images
    are frames of one target, matches are judged by depth and poses: correct within 3 pixels.
    Precision, recall and F1 are those of `satgen bench` for this pair. Matches are coloured by the
    verdict, else by confidence; keypoints that LightGlue pruned by the layer after which they were
    dropped.

    The NumPy file has keypoints0 and keypoints1 (N×2, pixels from the centre of the top-left one),
    matches (K×2, rows into these), scores (K) and stop_layer (0: the matcher leaves at none).

    \b
    Examples:
      satgen match a.png b.png --out matches.png
      satgen match datasets/aura/rgb/000361.png datasets/aura/rgb/000371.png --out matches.png
      satgen match a.png b.png --features sift --matcher nearest --npz matches.npz --json
    """
    options = _matcher_options(matcher, no_adaptive, depth_confidence, width_confidence)
    _check_outputs(out, npz, (image_a, image_b))
    from satgen.installed import require

    require("satgen match", "torch", "cv2", "safetensors")
    from matchers.image_matchers import match_images
    from matchers.match import MatchedPair, PairImage, loaded, loaded_image_matcher, takes_images
    from matchers.own import features_of, matches_of
    from matchers.turned import match_turned

    of_images = takes_images(matcher, features, turns, weights or features_weights, resize)
    features = None if of_images else features_or_default(features)
    sides = (PairImage.read(image_a, not no_mask), PairImage.read(image_b, not no_mask))
    if of_images:
        pair = loaded_image_matcher(matcher, max_keypoints, device, options)
    else:
        find, pair = loaded(
            features, matcher, weights, features_weights, max_keypoints, resize, device, options
        )
    seconds: dict[str, float] = {}
    turn: int | None = None

    def timed(name: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        done = work()
        seconds[name] = time.perf_counter() - start
        return done

    def matched() -> Matches:
        matches = matches_of(pair, *found)
        matches.scores.cpu()
        return matches

    a, b = sides
    if of_images:
        both = timed("match", lambda: match_images(pair, a.image, b.image, a.mask, b.mask))
        found, matches = [both.features0, both.features1], both.matches
    else:
        found = [timed("features_a", lambda: features_of(find, a.image, a.mask))]
    if turns:
        best = timed("match", lambda: match_turned(find, pair, found[0], b.image, b.mask))
        found.append(best.features)
        matches, turn = best.matches, best.degrees
    elif not of_images:
        found.append(timed("features_b", lambda: features_of(find, b.image, b.mask)))
        matches = timed("match", matched)

    detected = not of_images or both.detected
    result = MatchedPair(sides, (found[0], found[1]), matches, turn_deg=turn, detected=detected)
    answer: dict[str, Any] = {
        "images": [str(image_a), str(image_b)],
        "features": features,
        "matcher": matcher,
        "keypoints": [len(side) for side in found],
        "matches": len(matches),
        "mean_score": float(matches.scores.mean()) if len(matches) else None,
        **({} if turn is None else {"turn_deg": turn}),
        **_adaptation(matches),
        "truth": _truth(result),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "device": str(found[0].device),
    }
    text = _lines(answer)
    if npz is not None:
        _write_npz(npz, result)
    if out is not None:
        from satgen.preview import save_picture

        means = ", ".join(filter(None, (features, matcher)))
        title = f"{image_a.name} - {image_b.name}, {means}"
        save_picture(result.picture((f"{title}: {text[0]}", *text[1:-1])), out)
    if as_json:
        echo_json(answer)
        return
    click.echo("\n".join(text))
    for path in (out, npz):
        if path is not None:
            click.echo(str(path))


def _matcher_options(
    matcher: str, no_adaptive: bool, depth: float | None, width: float | None
) -> dict[str, Any]:
    """How an adaptive matcher is to adapt."""
    given = {"depth_confidence": depth, "width_confidence": width}
    options = {name: value for name, value in given.items() if value is not None}
    if not options and not no_adaptive:
        return {}
    from matchers.specs import matcher_spec

    variants = matcher_spec(matcher).variants
    if not any(variant.adaptive for variant in variants):
        name = "no-adaptive" if no_adaptive else next(iter(options)).replace("_", "-")
        raise InputError(f"--{name} with --matcher {matcher}: it does not adapt")
    if no_adaptive:
        if options:
            raise InputError("--no-adaptive and a confidence: give one or the other")
        return next(dict(v.options) for v in variants if not v.adaptive)
    return options


def _check_outputs(out: Path | None, npz: Path | None, inputs: tuple[Path, Path]) -> None:
    """Refuse what could only fail, or would harm, after the work is done."""
    if out is not None:
        from satgen.preview import picture_type

        if picture_type(out) is None:
            raise InputError(f"--out {out}: must end in .png, .jpg or another type of picture")
    if npz is not None and npz.suffix.lower() != ".npz":
        raise InputError(f"--npz {npz}: must end in .npz")
    for path in (out, npz):
        if path is None:
            continue
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file to write")
        check_outside(path)
        if any(path.resolve() == image.resolve() for image in inputs):
            raise InputError(f"{path} is one of the images: name another file to write")


def _truth(result: MatchedPair) -> dict[str, Any] | None:
    """The truth's figures, and of which frames; None where it is not known."""
    a, b = (side.frame for side in result.sides)
    if result.figures is None or a is None or b is None:
        return None
    where = {"dataset": a.source, "indices": [a.index, b.index]}
    if b.source != a.source:
        where["other_dataset"] = b.source
    return where | result.figures


def _adaptation(matches: Matches) -> dict[str, Any]:
    """What LightGlue's early exit and pruning did."""
    done = matches.adaptation
    if done is None:
        return {}
    pruned = [int((layers < done.stop_layer).sum()) for layers in (done.layers0, done.layers1)]
    return {
        "stop_layer": done.stop_layer,
        "num_layers": done.num_layers,
        "pruned": pruned,
        "alive": [list(pair) for pair in done.alive],
    }


def _lines(answer: dict[str, Any]) -> list[str]:
    """The answer as lines for a terminal."""
    n0, n1 = answer["keypoints"]
    first = f"{n0} and {n1} keypoints, {answer['matches']} matches"
    if answer["mean_score"] is not None:
        first += f", mean score {answer['mean_score']:.3f}"
    lines = [first]
    if "turn_deg" in answer:
        lines.append(f"the second image turned by {answer['turn_deg']} degrees, clockwise")
    if "stop_layer" in answer:
        p0, p1 = answer["pruned"]
        lines.append(
            f"left after layer {answer['stop_layer']} of {answer['num_layers']}, "
            f"{p0} and {p1} keypoints pruned"
        )
    truth = answer["truth"]
    if truth is not None:
        shares = "no keypoint has a match"
        if truth["f1"] is not None:
            shares = (
                f"precision {truth['precision']:.1%}, recall {truth['recall']:.1%} of "
                f"{truth['possible']} possible, F1 {truth['f1']:.1%}"
            )
        elif truth["precision"] is not None:
            shares = f"precision {truth['precision']:.1%}"
        lines.append(
            f"{truth['correct']} correct, {truth['wrong']} wrong, {truth['not_known']} not known; "
            f"{shares}"
        )
    seconds = answer["seconds"]
    if "features_a" not in seconds:
        lines.append(f"features and matching {duration(seconds['match'])}, on {answer['device']}")
        return lines
    if "features_b" in seconds:
        features = f"{duration(seconds['features_a'])} and {duration(seconds['features_b'])}"
        work = f"matching {duration(seconds['match'])}"
    else:
        features = duration(seconds["features_a"])
        work = f"features and matching of four turns {duration(seconds['match'])}"
    lines.append(f"features {features}, {work}, on {answer['device']}")
    return lines


def _write_npz(path: Path, result: MatchedPair) -> None:
    """Write the arrays, whole or not at all."""
    import io

    import numpy as np

    from satgen.atomic import write_atomic

    done = result.matches.adaptation
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        keypoints0=result.keypoints0,
        keypoints1=result.keypoints1,
        matches=result.indices,
        scores=result.scores,
        stop_layer=np.int64(0 if done is None else done.stop_layer),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
