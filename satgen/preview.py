"""Pictures to look at: a contact sheet and a film of a dataset, and the picture of a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satgen.atomic import write_atomic
from satgen.colour import srgb_encode
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.outputs import check_outside

if TYPE_CHECKING:
    from PIL import Image

    from satgen.model import TargetModel

MOST_PIXELS = 1_000_000_000
"""Of a sheet or a GIF, in all its frames."""

FILM_TYPES = (".gif", ".mp4")
PICTURE_VIEWS = ((35.0, 20.0), (125.0, 20.0), (215.0, 20.0), (305.0, -25.0))
"""Azimuth and elevation, degrees, of the views in a target's picture."""

_CAPTION_COLOUR = (235, 235, 235)
_PAPER = (24, 26, 30)


def eight_bit(image: NDArray[Any], *, linear: bool = False) -> NDArray[np.uint8]:
    """A dataset's image as a screen shows it, (H, W, 3) uint8, whatever its channels and depth.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16.
        linear: its values are linear in light, rather than sRGB's.
    """
    if linear:
        image = srgb_encode(image / float(np.iinfo(image.dtype).max)) * 255.0
        image = np.rint(image).astype(np.uint8)
    elif image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.asarray(image, dtype=np.uint8)


def spread(indices: NDArray[np.int64], count: int) -> list[int]:
    """`count` of the indices, evenly from the first to the last."""
    if count < 1:
        raise InputError(f"frames {count}: must be 1 or more")
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [int(indices[place]) for place in np.rint(places).astype(int)]


def _thumbnail(data: Dataset, index: int, width: int) -> Image.Image:
    from PIL import Image

    linear = data.config.sensor.curve == "linear"
    image = Image.fromarray(eight_bit(data.rgb(index), linear=linear))
    if width >= image.width:
        return image
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)


def contact_sheet(
    data: Dataset, frames: int = 24, width: int = 200, columns: int | None = None
) -> Image.Image:
    """Frames spread over the dataset, each with its index, azimuth and elevation.

    Args:
        data: the dataset.
        frames: how many.
        width: of one of them, pixels.
        columns: in a row; by default what makes the sheet about 3 : 2.
    """
    chosen = spread(data.indices, frames)
    table = data.frames.set_index("index")
    captions = []
    for index in chosen:
        azimuth = float(table.loc[index, "azimuth_deg"]) % 360.0
        elevation = float(table.loc[index, "elevation_deg"])
        captions.append(f"{index}   az {azimuth:.0f}°   el {elevation:+.0f}°")
    images = [_thumbnail(data, index, width) for index in chosen]
    return tiles(images, captions, columns)


def tiles(images: list[Image.Image], captions: list[str], columns: int | None) -> Image.Image:
    """Images of one size in rows, with a caption under each."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = images[0].size
    size = max(9, min(16, width // 14))
    font = ImageFont.load_default(size)
    line, gap = round(1.7 * size), 6
    if columns is None:
        columns = max(1, round(math.sqrt(1.5 * len(images) * (height + line) / width)))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new(
        "RGB", (columns * (width + gap) + gap, rows * (height + line + gap) + gap), _PAPER
    )
    draw = ImageDraw.Draw(sheet)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x = gap + (number % columns) * (width + gap)
        y = gap + (number // columns) * (height + line + gap)
        sheet.paste(image, (x, y))
        draw.text((x + 2, y + height + 2), caption, font=font, fill=_CAPTION_COLOUR)
    return sheet


def save_picture(image: Image.Image, path: str | Path) -> None:
    """Write a picture, its type by its suffix.

    Raises:
        InputError: the suffix names no type; RunError: it cannot be written.
    """
    import io

    kind = check_picture(path)
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    _write(Path(path), buffer.getvalue())


def check_picture(path: str | Path) -> str:
    """The type of picture that a path's suffix names.

    Raises:
        InputError: it names none, or the path is that of a folder.
    """
    kind = picture_type(Path(path))
    if kind is None:
        raise InputError(f"{path}: must end in .png, .jpg or another type of picture")
    _check_free(Path(path))
    return kind


def picture_type(path: Path) -> str | None:
    """The type that a path's suffix names, as Pillow knows it; None if no picture of colours can
    be written as such: some are only read, or have two colours."""
    import io

    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        return None
    try:
        Image.new("RGB", (16, 16)).save(io.BytesIO(), format=kind)
    except (KeyError, OSError, ValueError):
        return None
    return kind


def check_sizes(data: Dataset, width: int, sheet: int, film: int, path: Path) -> None:
    """Refuse a sheet or a film that takes more memory than pictures to look at are worth.

    Args:
        data: the dataset.
        width: of a frame at most, pixels.
        sheet: frames on the sheet.
        film: frames of the film.
        path: of the film; a .gif holds all its frames until it is written.

    Raises:
        InputError: there are too many pixels.
    """
    camera = data.camera
    scale = min(1.0, width / camera.width)
    frame = scale * camera.width * scale * camera.height
    counts = {"frames": sheet, "film-frames": film if path.suffix.lower() == ".gif" else 0}
    for option, count in counts.items():
        pixels = min(count, len(data)) * frame
        if pixels > MOST_PIXELS:
            other = "" if option == "frames" else ", or a film that ends in .mp4"
            raise InputError(
                f"--{option} {count}: {pixels / 1e6:.0f} megapixels, must be at most "
                f"{MOST_PIXELS // 10**6}; fewer frames, a smaller --width{other}"
            )


def check_film(path: str | Path) -> None:
    """Refuse a path that no film can be written to.

    Raises:
        InputError: its suffix is not a film's, or it is that of a folder.
    """
    if Path(path).suffix.lower() not in FILM_TYPES:
        raise InputError(f"{path}: a film must end in {' or '.join(FILM_TYPES)}")
    _check_free(Path(path))


def _check_free(path: Path) -> None:
    check_outside(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, must be a file to write")


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def film(
    data: Dataset,
    path: str | Path,
    frames: int = 180,
    width: int = 256,
    fps: int = 15,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """An animation of the sweep, GIF or MP4 by the path's suffix.

    Args:
        data: the dataset.
        path: where to.
        frames: how many, spread evenly over the dataset.
        width: pixels.
        fps: frames a second.
        progress: told about every frame.

    Raises:
        InputError: another suffix, or numbers that make no sense; RunError: it cannot be written.
    """
    path = Path(path)
    check_film(path)
    if not 1 <= fps <= 100:
        raise InputError(f"fps {fps}: must be from 1 to 100")
    chosen = spread(data.indices, frames)

    def images() -> Iterator[Image.Image]:
        for done, index in enumerate(chosen, start=1):
            yield _thumbnail(data, index, width)
            if progress is not None:
                progress(done, len(chosen))

    (_gif if path.suffix.lower() == ".gif" else _mp4)(images(), path, fps)


def _gif(images: Iterator[Image.Image], path: Path, fps: int) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    quantised = (image.quantize(128, dither=Image.Dither.NONE) for image in images)
    first = next(quantised)
    first.save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=quantised,
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )
    _write(path, buffer.getvalue())


def _mp4(images: Iterator[Image.Image], path: Path, fps: int) -> None:
    import tempfile

    import cv2

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "film.mp4"
        writer: Any = None
        for image in images:
            pixels = np.asarray(image)[..., ::-1]
            # The codec wants even sides.
            pixels = pixels[: max(2, pixels.shape[0] // 2 * 2), : max(2, pixels.shape[1] // 2 * 2)]
            if writer is None:
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                size = (pixels.shape[1], pixels.shape[0])
                writer = cv2.VideoWriter(str(part), codec, float(fps), size)
                if not writer.isOpened():
                    raise RunError("this OpenCV cannot write MP4 films; write a .gif")
            writer.write(np.ascontiguousarray(pixels))
        writer.release()
        data = part.read_bytes() if part.is_file() else b""
    if not data:
        raise RunError("this OpenCV cannot write MP4 films; write a .gif")
    _write(path, data)


def target_picture(model: TargetModel, out: str | Path, size: int = 480) -> None:
    """Draw a target from four sides, as it looks with the default sun and camera.

    Binds this process to an OpenGL context.

    Args:
        model: the target.
        out: the picture to write.
        size: side of one view, pixels.
    """
    captions = [f"azimuth {azimuth:.0f}°, elevation {el:+.0f}°" for azimuth, el in PICTURE_VIEWS]
    save_picture(tiles(target_views(model, PICTURE_VIEWS, size), captions, 2), out)


def inspection_picture(model: TargetModel, out: str | Path, size: int = 320) -> None:
    """Draw a target from four sides, as it looks and with a colour for each part; see
    `target_picture`."""
    captions = [f"azimuth {azimuth:.0f}°, elevation {el:+.0f}°" for azimuth, el in PICTURE_VIEWS]
    looks, labels = [], []
    for image, parts in _views_and_parts(model, PICTURE_VIEWS, size):
        looks.append(image)
        labels.append(part_colours(parts))
    save_picture(tiles(looks + labels, captions + ["parts"] * len(labels), len(looks)), out)


def part_colours(parts: NDArray[Any]) -> Image.Image:
    """Part labels (H, W) in colours that tell neighbours in number apart."""
    from PIL import Image

    # Hues a golden section of the circle apart.
    number = np.arange(int(parts.max(initial=0)) + 1)
    hue = (number * 0.6180339887 + 0.6) % 1.0 * 6.0
    table = np.stack([(hue + shift) % 6.0 for shift in (0.0, 4.0, 2.0)], axis=1)
    table = 255.0 * (0.25 + 0.75 * np.clip(np.abs(table - 3.0) - 1.0, 0.0, 1.0))
    table[0] = 0.0
    return Image.fromarray(np.rint(table).astype(np.uint8)[parts])


def target_sheet(models: Iterable[TargetModel], out: str | Path, size: int = 320) -> None:
    """Draw targets beside one another, each from one side; see `target_picture`."""
    images, captions = [], []
    for model in models:
        images += target_views(model, PICTURE_VIEWS[:1], size)
        captions.append(model.name)
    save_picture(tiles(images, captions, None), out)


def target_views(
    model: TargetModel, views: Sequence[tuple[float, float]], size: int
) -> list[Image.Image]:
    """Pictures of a target from azimuths and elevations, degrees; see `target_picture`."""
    return [image for image, _ in _views_and_parts(model, views, size)]


def _views_and_parts(
    model: TargetModel, views: Sequence[tuple[float, float]], size: int
) -> Iterator[tuple[Image.Image, NDArray[Any]]]:
    """Pictures of a target and the part labels (size, size) that they show."""
    from PIL import Image

    from satgen.camera import Camera
    from satgen.rendering.renderer import Renderer
    from satgen.sensor import SensorConfig, expose
    from satgen.sun import SunConfig
    from satgen.trajectory import default_distance, pose_from_angles

    camera = Camera.from_fov(size, size, 20.0)
    centre, radius = model.bounding_sphere
    phase, clock = (math.radians(angle) for angle in SunConfig().angles_deg)
    sun = np.array(
        [
            math.sin(phase) * math.sin(clock),
            -math.sin(phase) * math.cos(clock),
            -math.cos(phase),
        ]
    )
    with Renderer(model, camera) as renderer:
        for azimuth, elevation in views:
            distance = default_distance(radius, camera)
            pose = pose_from_angles(azimuth, elevation, distance, 0.0, centre)
            frame = renderer.render(pose, sun)
            image = expose(frame.linear, frame.window, (size, size), SensorConfig())
            x, y, w, h = frame.window
            parts = np.zeros((size, size), dtype=frame.parts.dtype)
            parts[y : y + h, x : x + w] = frame.parts
            yield Image.fromarray(image), parts
