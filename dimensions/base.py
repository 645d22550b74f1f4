"""What a dimension and a backbone are.

A dimension names what it needs as *items* (tuples of frame indices, or texts) for its backbones,
and turns the features that come back into scores. A backbone turns items into features. Neither
knows where frames come from; the evaluation decodes each frame once, computes each item once, and
hands every dimension its features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from vbench_long.dimensions.evidence import Evidence
from vbench_long.errors import UsageError
from vbench_long.registry import Registry
from vbench_long.video import Clip, Frame

Item = tuple[int, ...] | str
"""What one feature is computed from: frames, by their indices in the video, (i,), (i, j), ...; or
a text."""

Feature = NDArray[Any]
"""What a backbone makes of one item: a small array (a vector, a few scalars, a caption)."""

Items = Mapping[str, Sequence[Item]]
"""Per role ("frame", "pair", ...) the items wanted."""

Features = Mapping[str, Sequence[Feature]]
"""Per role the features, in the order of the items."""

Rules = Literal["parity", "strict"]
"""Whether a dimension keeps the published program's quirks, so that its scores compare with
published ones, or does what its paper says. A dimension whose program does that has one way."""


class Told:
    """What is known of a prompt.

    Attributes:
        prompt: the text a video was, or will be, made from.
        auxiliary: what else dimensions must know of it (object, colour, ...), by dimension.
    """

    __slots__ = ()
    prompt: str
    auxiliary: Mapping[str, Any]

    def auxiliary_text(self, *path: str) -> str:
        """The text at `path` of the auxiliary information; empty where nothing stands there."""
        node: object = self.auxiliary
        for key in path:
            node = node.get(key) if isinstance(node, Mapping) else None
        return node.strip() if isinstance(node, str) else ""


@dataclass(frozen=True, slots=True)
class PromptFacts(Told):
    """What a dimension may know before there is a video; see `Told`."""

    prompt: str = ""
    auxiliary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VideoFacts(Told):
    """What a dimension may know of a video besides features.

    Attributes:
        width: pixels, as displayed (rotation applied).
        height: pixels, as displayed.
        fps: average frame rate, rational.
        prompt: the text the video was made from.
        auxiliary: the suite's auxiliary information for the prompt (object, colour, ...).
    """

    width: int
    height: int
    fps: Fraction
    prompt: str = ""
    auxiliary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClipScore:
    """The score of one clip.

    Attributes:
        value: raw score, or None where the dimension is not defined for this clip.
        parts: named numbers that explain the value (in-clip score, counts, ...); they are stored.
        reason: why there is no value.
        excluded: the protocol leaves this clip out; having no value is then no failure.
    """

    value: float | None
    parts: Mapping[str, float | int | bool | None] = field(default_factory=dict)
    reason: str = ""
    excluded: bool = False


class Dimension(ABC):
    """One measure. Subclasses are small: which items, and how features become a score.

    Class attributes:
        name: the official name, with underscores.
        bounds: legal range of a score (lowest, highest); outside it the record is an error.
        backbones: per backend, the backbone that plays each role, with the view of it that is
            meant if it has several. A backend that is absent has no honest version of this
            dimension.
        revision: raised when the arithmetic, its own or its backbones', changes a score.
    """

    name: ClassVar[str]
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    backbones: ClassVar[Mapping[str, Mapping[str, str]]]
    revision: ClassVar[int] = 1

    def __init__(self, backend: str, rules: Rules = "parity") -> None:
        if backend not in self.backbones:
            have = " or ".join(f"--backend {name}" for name in self.backbones)
            raise UsageError(
                f"{self.name} has no '{backend}' version",
                "",
                f"use {have}" if have else "it needs weights this release cannot load yet",
            )
        self.backend = backend
        self.rules = rules

    @property
    def identity(self) -> str:
        """What computes the score; stored with every record."""
        strict = "/strict" if self.rules == "strict" else ""
        return f"{self.name}/{self.backend}/{self.revision}{strict}"

    def lacks(self, told: Told) -> str:
        """Why videos of a prompt cannot be judged, before any is opened; empty if they can.

        Of a prompt that lacks something no item is asked for and no clip is scored. Pure.
        """
        return ""

    @abstractmethod
    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """The items needed to score `clip`, indices counted in the video."""

    @abstractmethod
    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Score one clip from the features of its items. Pure."""

    def settled(self, clip: Clip, video: VideoFacts, features: Features) -> bool:
        """Whether items that are still to come can no longer change the score of `clip`.

        Asked with the features of the first items, in their order; what is settled is not
        computed further, so `score_clip` must give the same for every longer list. Pure.
        """
        return False

    def expected_items(self, clip: Clip, video: VideoFacts) -> Items:
        """The items that are likely to be computed before `clip` is settled, for estimates."""
        return self.clip_items(clip, video)

    def scene_items(self, clips: Sequence[Clip]) -> Items:
        """Items that compare the clips of one scene with each other (the fast branch)."""
        return {}

    def score_scene(self, scores: Sequence[ClipScore], features: Features) -> list[ClipScore]:
        """Final scores of a scene's clips, once the features of `scene_items` are known. Pure."""
        return list(scores)

    def evidence_items(self, clip: Clip, video: VideoFacts) -> Items:
        """The items needed to show what was seen of `clip`: all of `clip_items`, or more.

        Asked for only when somebody wants to look; nothing of it counts as settled.
        """
        return self.clip_items(clip, video)

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """What was seen of `clip`, from the features of `evidence_items`. Pure.

        Optional: a dimension without evidence is shown by the scores of its clips.
        """
        return Evidence()

    def scene_evidence(self, clips: Sequence[Clip], features: Features) -> Evidence:
        """What was seen of a scene's clips side by side, from those of `scene_items`. Pure."""
        return Evidence()


class Backbone(Protocol):
    """A network or classical operator: frames in, features out.

    Built once per process. How items are grouped into calls never changes a feature beyond
    float noise. An operator whose class says `weightless = True` is cheap to build, and is tried
    on a few frames to estimate its time; what networks say is in `backbones.rehearsal`.

    Attributes:
        batch: the most items one call may get.
    """

    batch: int

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """One feature per item.

        Raises:
            VideoError: these frames cannot be measured (too small, say); the fix is named.
        """
        ...


@runtime_checkable
class Reader(Protocol):
    """A backbone that reads texts as well as it sees frames."""

    def read(self, text: str) -> Feature:
        """The feature of `text`.

        Raises:
            VideoError: the text cannot be read (too long, say); the fix is named.
        """
        ...


@runtime_checkable
class Viewer(Protocol):
    """A backbone that has several views of a frame: "grit/captions" asks `grit` for "captions".

    All views of one call are computed together, so that what they have in common is done once.
    """

    def look(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> list[Feature]:
        """One feature per item, of the view named for it.

        Raises:
            VideoError: these frames cannot be measured.
        """
        ...


def backbone_and_view(name: str) -> tuple[str, str]:
    """What a dimension calls a backbone, cut in two: "grit/captions" is `grit` and "captions"."""
    backbone, _, view = name.partition("/")
    return backbone, view


_ROOM = "vbench_long.dimensions"

DIMENSIONS: Registry[type[Dimension]] = Registry(
    "dimension",
    {
        "subject_consistency": f"{_ROOM}.subject_consistency:SubjectConsistency",
        "background_consistency": f"{_ROOM}.background_consistency:BackgroundConsistency",
        "temporal_flickering": f"{_ROOM}.temporal_flickering:TemporalFlickering",
        "motion_smoothness": f"{_ROOM}.motion_smoothness:MotionSmoothness",
        "dynamic_degree": f"{_ROOM}.dynamic_degree:DynamicDegree",
        "aesthetic_quality": f"{_ROOM}.aesthetic_quality:AestheticQuality",
        "imaging_quality": f"{_ROOM}.imaging_quality:ImagingQuality",
        "object_class": f"{_ROOM}.object_class:ObjectClass",
        "multiple_objects": f"{_ROOM}.multiple_objects:MultipleObjects",
        "human_action": f"{_ROOM}.human_action:HumanAction",
        "color": f"{_ROOM}.color:Color",
        "spatial_relationship": f"{_ROOM}.spatial_relationship:SpatialRelationship",
        "scene": f"{_ROOM}.scene:Scene",
        "appearance_style": f"{_ROOM}.appearance_style:AppearanceStyle",
        "temporal_style": f"{_ROOM}.temporal_style:TemporalStyle",
        "overall_consistency": f"{_ROOM}.overall_consistency:OverallConsistency",
    },
    group="vbench_long.dimensions",
)

BACKBONES: Registry[type[Backbone]] = Registry(
    "backbone",
    {
        "pixel_difference": f"{_ROOM}.classical.pixels:PixelDifference",
        "subject_descriptor": f"{_ROOM}.classical.descriptors:SubjectDescriptor",
        "background_descriptor": f"{_ROOM}.classical.descriptors:BackgroundDescriptor",
        "dis_flow": f"{_ROOM}.classical.flow:DisFlow",
        "dis_interpolation": f"{_ROOM}.classical.flow:DisInterpolation",
        "image_defects": f"{_ROOM}.classical.image_defects:ImageDefects",
        "dino_vitb16": f"{_ROOM}.backbones.dino:DinoVitB16",
        "dinov2_vitb14": f"{_ROOM}.backbones.dino:DinoV2VitB14",
        "dreamsim": f"{_ROOM}.backbones.dreamsim:DreamSimEnsemble",
        "clip_vitb32": f"{_ROOM}.backbones.clip:ClipVitB32",
        "aesthetic_clip_l14": f"{_ROOM}.backbones.clip:AestheticClipL14",
        "raft": f"{_ROOM}.backbones.raft:Raft",
        "amt_s": f"{_ROOM}.backbones.amt:AmtS",
        "musiq_spaq": f"{_ROOM}.backbones.musiq:MusiqSpaq",
        "tag2text": f"{_ROOM}.backbones.tag2text:Tag2Text",
        "umt_l16": f"{_ROOM}.backbones.umt:UmtL16",
        "viclip_l14": f"{_ROOM}.backbones.viclip:ViClipL14",
        "clip_style_b32": f"{_ROOM}.backbones.clip_style:ClipStyleB32",
        "grit": f"{_ROOM}.backbones.grit:Grit",
    },
    group="vbench_long.backbones",
)

CHECKPOINTS: Mapping[str, tuple[str, ...]] = {
    "dino_vitb16": ("dino_vitb16",),
    "dinov2_vitb14": ("dinov2_vitb14",),
    "dreamsim": (
        "dino_vitb16",
        "dreamsim_clip_vitb16",
        "dreamsim_open_clip_vitb16",
        "dreamsim_lora",
    ),
    "clip_vitb32": ("clip_vitb32",),
    "aesthetic_clip_l14": ("clip_vitl14", "laion_aesthetic_l14"),
    "raft": ("raft_things",),
    "amt_s": ("amt_s",),
    "musiq_spaq": ("musiq_spaq",),
    "tag2text": ("tag2text", "tag2text_tags", "bert_vocabulary"),
    "umt_l16": ("umt_l16",),
    "viclip_l14": ("viclip_l14",),
    "clip_style_b32": ("clip_vitb32",),
    "grit": ("grit_b", "bert_vocabulary"),
}
"""The networks among the built-in backbones, and the catalog's checkpoints each loads.

A network is built as ``Network(weights, compute)``, every other backbone without arguments. One of
another package says what it loads by its class attribute `checkpoints`.
"""


def checkpoints_of(backbone: str) -> tuple[str, ...] | None:
    """The checkpoints that a network loads; None for a backbone that is no network.

    Raises:
        EnvironmentFault: it is another package's, which cannot be imported.
    """
    if backbone in BACKBONES.built_in:
        return CHECKPOINTS.get(backbone)
    return getattr(BACKBONES.get(backbone), "checkpoints", None)
