"""The `synthetic` generator: small animated worlds, drawn in seconds and without weights.

A world is a place (a painted panorama larger than the frame) seen by a slowly moving camera, one
to three textured creatures that circle in front of it, and slowly changing light. Prompt, seed and
index decide everything, in short sides of the frame and in seconds: the same request at another
size or frame rate shows the same world. A defect spoils it by a known amount, which makes the
generator a test bench for the dimensions.
"""

from __future__ import annotations

import colorsys
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vbench_long.errors import GenerationError, UsageError
from vbench_long.generators.base import Outline, Request
from vbench_long.generators.defects import DEFECTS, Defect, Format, Look
from vbench_long.generators.options import bad_option, read_options
from vbench_long.registry import unknown
from vbench_long.video import Image

Array = NDArray[np.float32]
Random = np.random.Generator

REVISION = 1  # raised when the same request gives other pixels

_RANGES = {"width": (16, 1920), "height": (16, 1920), "fps": (1, 30), "seconds": (0.1, 60)}


@dataclass(frozen=True, slots=True)
class Options(Format):
    """What the videos look like besides their content.

    Sides of 16..1920 pixels, 1..30 frames per second, 0.1..60 seconds.

    Attributes:
        defect: a name from `DEFECTS`; empty for clean videos.
        strength: of the defect, 0 (clean, byte for byte) .. 1.

    Raises:
        UsageError: a value out of range, or a defect nobody knows.
    """

    defect: str = ""
    strength: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in {**_RANGES, "strength": (0, 1)}.items():
            if not low <= getattr(self, name) <= high:
                raise _bad(name, getattr(self, name), f"give a number from {low} to {high}")
        if self.defect and self.defect not in DEFECTS:
            raise unknown("defect", self.defect, tuple(DEFECTS))
        if self.strength and not self.defect:
            raise _bad("strength", self.strength, f"name a defect: {', '.join(DEFECTS)}")


def create(options: Mapping[str, str]) -> Synthetic:
    """Build the generator from text: ``width=720,fps=30000/1001,defect=flicker,strength=0.5``.

    Raises:
        UsageError: an unknown option, no number, out of range, or a defect without a strength.
    """
    readers: dict[str, Callable[[str], Any]] = {"width": int, "height": int, "fps": _rate}
    readers |= {"seconds": float, "defect": str, "strength": float}
    values = read_options("synthetic", options, readers)
    if values.get("defect") and "strength" not in values:
        raise _bad("defect", values["defect"], "say how strong: strength=0..1")
    return Synthetic(Options(**values))


def _rate(text: str) -> Fraction:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}|/0*[1-9][0-9]{0,8})?", text):
        raise ValueError(text)
    return Fraction(text)


def _bad(name: str, value: object, fix: str) -> UsageError:
    return bad_option("synthetic", name, value, fix)


class Synthetic:
    """Generator of drawn worlds, optionally spoiled by one defect.

    Attributes:
        fps: frames per second of every video.
        options: what was asked for.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.fps = options.fps

    def settings(self) -> dict[str, str | int | float]:
        """The options, and the revision of the drawing."""
        return {**asdict(self.options), "fps": str(self.fps), "revision": REVISION}

    def outline(self) -> Outline:
        """Size and length of every video."""
        return Outline(self.options.width, self.options.height, self.options.frames)

    def generate(self, request: Request) -> Iterator[Image]:
        """Yield the frames, each (height, width, 3) uint8 RGB and its own array.

        A negative prompt changes nothing: a drawn world has no notion of it.

        Raises:
            GenerationError: the request gives a first frame to start from.
        """
        if request.image is not None:
            raise GenerationError("synthetic starts from no image", request.prompt, "give no image")
        options = self.options
        defect = DEFECTS[options.defect] if options.strength else Defect()
        stage = Stage(request, options.width, options.height)
        frames = (
            stage.picture(float(index / options.fps), defect.look(index, options.strength, options))
            for index in range(options.frames)
        )
        return defect.apply(frames, options.strength, _stream(request, "defect"), options)


def _stream(request: Request, part: str) -> Random:
    """Random numbers of one part of the world; no part depends on how another is drawn."""
    text = json.dumps([request.prompt, request.seed, request.index, part])
    return np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))


OPTIONS = (Options,)


@dataclass(frozen=True, slots=True)
class Orbit:
    """A closed curve: reach in short sides of the frame, tempo in radians per second."""

    across: float
    down: float
    tempo: float
    phase: float

    def at(self, seconds: float) -> tuple[float, float, float]:
        """Place across and down from the frame's centre, and the phase in radians."""
        phase = self.tempo * seconds + self.phase
        wave = 0.85 * math.cos(phase) + 0.15 * math.sin(2 * phase + self.phase)
        return self.across * math.sin(phase), self.down * wave, phase


class Stage:
    """The world of one request at one size in pixels; paints any instant of it."""

    def __init__(self, request: Request, width: int, height: int) -> None:
        self._request, self._width, self._height = request, width, height
        self._short = min(width, height)
        self._words = re.findall(r"[a-z]+(?:-[a-z]+)*", request.prompt.lower())
        rng = _stream(request, "motion")
        pace = 0.02 if STILL.intersection(self._words) else 1.0
        self._camera = Orbit(0.14, 0.07, pace * rng.uniform(0.35, 0.5), rng.uniform(0, 6))
        self._light = Orbit(1, 0, rng.uniform(0.3, 0.5), rng.uniform(0, 6))
        self._radii = [rng.uniform(0.2, 0.23), *rng.uniform(0.09, 0.13, rng.integers(0, 3))]
        tempo, phase = pace * rng.choice([-1, 1]) * rng.uniform(1.05, 1.3), rng.uniform(0, 6)
        phases = phase + np.arange(len(self._radii)) * math.tau / len(self._radii)
        reaches = [self._reach(rng, radius) for radius in self._radii]
        self._orbits = [Orbit(*reach, tempo, at) for reach, at in zip(reaches, phases, strict=True)]
        self._panorama, self._bodies = self._paint(0)
        self._cutouts = [cut_out(body) for body in self._bodies]

    def _reach(self, rng: Random, radius: float) -> tuple[float, float]:
        """Across and down: wide enough to count as motion, with the subject in view."""
        reach = rng.uniform(0.30, 0.34), rng.uniform(0.23, 0.26)
        across, down = reach if self._width >= self._height else reach[::-1]
        half_width, half_height = self._width / self._short / 2, self._height / self._short / 2
        return min(across, half_width - radius), min(down, half_height - radius)

    def picture(self, seconds: float, look: Look) -> Image:
        """The frame at `seconds`, (height, width, 3) uint8 RGB."""
        picture = self._view(self._panorama, seconds)
        if look.background > 0:
            share, other = look.background, self._view(self._other[0], seconds)
            picture = cast(Image, cv2.addWeighted(picture, 1 - share, other, share, 0))
        for number, orbit in enumerate(self._orbits):
            cutout = self._cutouts[number]
            if look.subjects > 0:
                other_body = self._other[1][number]
                cutout = cut_out(mix(self._bodies[number], other_body, look.subjects))
            self._put(picture, cutout, *orbit.at(seconds))
        gains = 0.96 + self._light.at(seconds)[0] * np.array([0.04, 0.03, 0.02])
        tables = np.rint(np.clip(np.arange(256)[:, None] * gains, 0, 255)).astype(np.uint8)
        return cast(Image, cv2.LUT(picture, tables[None]))

    @cached_property
    def _other(self) -> tuple[Image, list[Array]]:
        return self._paint(1)

    def _paint(self, version: int) -> tuple[Image, list[Array]]:
        """The panorama (rows, columns, 3) and the bodies; version 1 has all of them different."""
        rng = _stream(self._request, "choice")
        kind, hue = int(rng.integers(len(PLACES))), rng.uniform()
        kind = next((THEMES[word] for word in self._words if word in THEMES), kind)
        hues = [HUES[word] for word in self._words if word in HUES] + list(rng.uniform(size=3))
        rows, columns = self._height + self._short // 4, self._width + self._short * 2 // 5
        canvas = Canvas(_stream(self._request, f"place {version}"), self._short, rows, columns)
        colours = PLACES[(kind + version) % len(PLACES)](canvas, hue + version / 2)
        bodies = []
        for number, radius in enumerate(self._radii):
            rng, unit = _stream(self._request, f"body {number} {version}"), radius * self._short
            side = 2 * math.ceil(1.5 * unit)
            bodies.append(paint_body(Canvas(rng, unit, side, side), hues[number] + 0.4 * version))
        return np.dstack([cv2.convertScaleAbs(p.clip(0), alpha=255) for p in colours]), bodies

    def _view(self, panorama: Image, seconds: float) -> Image:
        """What the camera sees; it never leaves the panorama."""
        across, down, phase = self._camera.at(seconds)
        step = 1 / (1.04 + 0.04 * math.sin(0.7 * phase))  # panorama pixels per pixel
        left = (panorama.shape[1] - step * self._width) / 2 + across * self._short
        top = (panorama.shape[0] - step * self._height) / 2 + down * self._short
        half = (step - 1) / 2  # pixel centres lie between the edges
        matrix = np.array([[step, 0, left + half], [0, step, top + half]])
        size, flags = (self._width, self._height), cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cast(Image, cv2.warpAffine(panorama, matrix, size, flags=flags))

    def _put(self, picture: Image, cutout: Array, x: float, y: float, phase: float) -> None:
        """Lay a cut-out over the picture, swaying and breathing with its phase."""
        x = (self._width - 1) / 2 + x * self._short
        y = (self._height - 1) / 2 + y * self._short
        middle = (cutout.shape[0] - 1) / 2
        degrees, scale = 10 * math.sin(0.7 * phase), 1 + 0.04 * math.sin(0.9 * phase)
        reach = 1.25 * middle  # of the turned and swollen square
        left, right = max(0, math.floor(x - reach)), min(self._width, math.ceil(x + reach))
        top, bottom = max(0, math.floor(y - reach)), min(self._height, math.ceil(y + reach))
        matrix = cv2.getRotationMatrix2D((middle, middle), degrees, scale)
        matrix[:, 2] += x - left - middle, y - top - middle
        patch = cv2.warpAffine(cutout, matrix, (right - left, bottom - top))
        under = picture[top:bottom, left:right]
        under[:] = np.rint(under * (1 - patch[..., 3:]) + patch[..., :3])


@dataclass(frozen=True, slots=True)
class Canvas:
    """A blank picture of rows x columns pixels, `unit` pixels per unit length, and its noise."""

    rng: Random
    unit: float
    rows: int
    columns: int

    def axes(self) -> tuple[Array, Array]:
        """Units from the left edge (1, columns) and from the top (rows, 1)."""
        x, y = np.arange(self.columns)[None] + 0.5, np.arange(self.rows)[:, None] + 0.5
        return (x / self.unit).astype(np.float32), (y / self.unit).astype(np.float32)

    def draws(self, *shape: int) -> Array:
        """Uniform random numbers in 0..1."""
        return self.rng.random(shape, dtype=np.float32)

    def texture(self, cells: int, decay: float, rows: int = 0) -> Array:
        """Noise of many octaves, (rows, columns), mean 0 and variance about 1.

        Args:
            cells: per unit in the coarsest octave.
            decay: amplitude of an octave over that of the next coarser; 1 gives the 1/f spectrum
                of natural images, less is smoother.
            rows: pixels; those of the canvas if 0.
        """
        size = (rows or self.rows, self.columns)
        lattice = self.rng.standard_normal((256, 256), dtype=np.float32)
        field = np.zeros((1, 1), np.float32)
        weight = sum(decay ** (2 * octave) for octave in range(8)) ** -0.5
        while True:
            down, across = (np.arange(math.ceil(n / self.unit * cells) + 2) for n in size)
            octave = lattice[np.ix_((down + 37 * cells) % 256, (across + 59 * cells) % 256)]
            field = field[: len(down), : len(across)] + weight * octave
            scale = 2 if 2 * cells <= self.unit else self.unit / cells
            width, height = round(field.shape[1] * scale), round(field.shape[0] * scale)
            field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
            if 2 * cells > self.unit:
                return cast(Array, field[: size[0], : size[1]])
            cells, weight = 2 * cells, weight * decay


def mix(start: Array, end: Array, share: Array | float) -> Array:
    """Linear blend: `start` at share 0, `end` at 1."""
    return start + (end - start) * share


def _rgb(hue: float, saturation: float, value: float) -> Array:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)[:, None, None]


def _soft(field: Array, width: float) -> Array:
    """1 where the field is positive, 0 where negative, a ramp of `width` between."""
    return cast(Array, np.clip(field / width + 0.5, 0, 1))


def _sky(canvas: Canvas, hue: float) -> Array:
    down = canvas.axes()[1] * (canvas.unit / canvas.rows)
    air = mix(_rgb(hue, 0.6, 0.75), _rgb(hue + 0.06, 0.25, 0.98), down)
    return mix(air, _rgb(0, 0, 1), _soft(canvas.texture(2, 0.65) - 0.2, 2.5))


def _hills(canvas: Canvas, hue: float) -> Array:
    """Ridges under a cloudy sky, hazier with distance."""
    picture, (_, y) = _sky(canvas, hue), canvas.axes()
    for near in (0.0, 0.25, 0.5, 0.75, 1.0):
        ridge = y[-1] * (0.3 + 0.5 * near + (0.05 - 0.02 * near) * canvas.texture(2, 0.5, rows=1))
        ground = mix(_rgb(hue, 0.3, 0.8), _rgb(hue + 0.45 + 0.1 * near, 0.65, 0.5), near)
        grain = 1 + (0.08 + 0.22 * near) * canvas.texture(6, 0.95)
        picture = mix(picture, ground * grain, _soft(y - ridge, 1.5 / canvas.unit))
    return picture


def _city(canvas: Canvas, hue: float) -> Array:
    """Rows of buildings with lit windows before a cloudy sky."""
    picture, (x, y) = _sky(canvas, hue), canvas.axes()
    for near in (0.0, 0.5, 1.0):
        edges = np.cumsum((0.15 + 0.2 * canvas.draws(256)) * (0.7 + 0.6 * near))
        house = np.searchsorted(edges, x[0] % edges[-1])
        roof = y[-1] * (0.1 + 0.3 * near + 0.3 * canvas.draws(256)[house])
        shade = (0.9 - 0.4 * near) * (0.6 + 0.4 * canvas.draws(256)[house])
        wall = _rgb(hue + 0.5, 0.15 + 0.3 * near, 1) * shade
        size = 0.04 + 0.03 * near
        column, row = x / size, (y - roof) / size / 1.3
        pane = np.minimum(0.25 - abs(column % 1 - 0.5), 0.3 - abs(row % 1 - 0.5))
        lamps = canvas.draws(64, 64)[row.astype(int) % 64, column.astype(int) % 64]
        glass = mix(_rgb(hue, 0.5, 0.2), _rgb(0.13, 0.5, 1), _soft(lamps - 0.5, 0.5))
        wall = mix(wall, glass, _soft(pane, 1.5 / canvas.unit / size))
        wall *= 1 + 0.12 * canvas.texture(6, 0.95)
        picture = mix(picture, wall, _soft(y - roof, 1.5 / canvas.unit))
    return picture


def _room(canvas: Canvas, hue: float) -> Array:
    """A brick wall lit from one side over a wooden floor."""
    x, y = canvas.axes()
    row = y / 0.075
    column = x / 0.2 + 0.5 * (np.floor(row) % 2)
    tint = canvas.draws(64, 64)[row.astype(int) % 64, column.astype(int) % 64]
    joint = np.minimum(0.2 * (0.5 - abs(column % 1 - 0.5)), 0.075 * (0.5 - abs(row % 1 - 0.5)))
    brick = _rgb(hue, 0.45, 0.55) * (0.75 + 0.5 * tint + 0.15 * canvas.texture(4, 0.95))
    wall = mix(_rgb(hue + 0.05, 0.15, 0.8), brick, _soft(joint - 0.006, 0.006))
    tint = canvas.draws(64)[(x / 0.3).astype(int) % 64]
    wood = canvas.texture(3, 0.7) + np.sin(40 * x + 6 * canvas.texture(1, 0.5))
    floor = _rgb(hue + 0.4, 0.45, 0.6) * (0.85 + 0.3 * tint + 0.12 * wood)
    picture = mix(wall, floor, _soft(y - 0.78 * y[-1], 1.5 / canvas.unit))
    light = 1.15 - x * (0.35 * canvas.unit / canvas.columns)
    return picture * (light + 0.12 * canvas.texture(1, 0.4))


def paint_body(canvas: Canvas, hue: float) -> Array:
    """A round creature with a patterned coat and eyes, (side, side, 4).

    Colours in grey levels 0..255; in the last channel pixels from the outline, positive inside.
    """
    x, y = (axis - canvas.rows / canvas.unit / 2 for axis in canvas.axes())
    rng, angle, far = canvas.rng, np.arctan2(y, x), np.hypot(x, y)
    outline = np.ones_like(far)
    for lobes in range(2, 7):
        outline += rng.uniform(0.05, 0.25) / lobes * np.cos(lobes * angle + rng.uniform(0, 6))
    turn, stripes = rng.uniform(0, 3), rng.uniform(6, 12)
    wave = np.sin(stripes * (x * math.cos(turn) + y * math.sin(turn)) + canvas.texture(1, 0.6))
    pattern = wave if rng.uniform() < 0.5 else canvas.texture(3, 0.4)
    dark = _rgb(hue + rng.uniform(0.02, 0.1), 0.8, 0.4)
    colours = mix(dark, _rgb(hue, 0.8, 0.95), _soft(pattern, 0.5))
    bulge = np.sqrt(np.clip(1 - (far / outline) ** 2, 0, 1))
    colours *= 0.35 + 0.6 * bulge - 0.25 * (x + y) + 0.12 * canvas.texture(4, 0.95)
    for side in (-0.3, 0.3):
        apart = np.hypot(x - side, y + 0.3)
        for size, paint in ((0.2, 0.95), (0.11, 0.05)):
            colours = mix(colours, _rgb(0, 0, paint), _soft(size - apart, 1.5 / canvas.unit))
    inside = (outline - far) * canvas.unit
    return np.dstack([*np.clip(255 * colours, 0, 255), inside])


def cut_out(body: Array) -> Array:
    """The body with its soft shadow, (side, side, 4): grey levels times alpha, then alpha."""
    alpha, side = _soft(body[..., 3], 1), body.shape[0]
    shadow = cv2.GaussianBlur(np.roll(alpha, side // 24, (0, 1)), (0, 0), side / 40)
    cutout = body * alpha[..., None]
    cutout[..., 3] = alpha + 0.4 * shadow * (1 - alpha)
    return cutout


PLACES = (_hills, _city, _room)
WORDS = (
    "beach desert field forest garden grass hill lake mountain ocean park sea sky snow",
    "building car city downtown night road skyline street town traffic",
    "bathroom bedroom brick house indoors kitchen living office room table wall",
)
THEMES = {word: kind for kind, words in enumerate(WORDS) for word in words.split()}
HUES = {"red": 0.0, "orange": 0.07, "yellow": 0.14, "green": 0.35, "blue": 0.61, "pink": 0.92}
STILL = {"static", "still", "locked", "locked-off", "motionless", "stationary", "immobile"}
