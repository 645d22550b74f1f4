"""The `folder` generator: hands out videos that are there already, made by whatever made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vbench_long.errors import GenerationError, UsageError
from vbench_long.generators.base import Request
from vbench_long.generators.options import bad_option, read_options
from vbench_long.manifests import list_videos


def create(options: Mapping[str, str]) -> Folder:
    """Build the generator from text: ``path=DIR``, or ``path=`` a manifest.

    In a folder, sample i of a prompt is ``{prompt}-{i}.mp4``; long prompts, and those with signs
    that no file name can have, need a manifest.

    Raises:
        UsageError: no path, an unknown option, no video there, or two that claim one sample.
    """
    path = read_options("folder", options, {"path": str}).get("path")
    if not path:
        raise bad_option("folder", "path", "", "say where the videos are: path=DIR")
    return Folder(Path(path))


class Folder:
    """Generator of nothing new.

    A request's seed and negative prompt change nothing: the videos are made.

    Attributes:
        fps: None; each video keeps its own rate.
    """

    fps = None

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._files: dict[tuple[str, int], Path] = {}
        for sample in list_videos(self._path):
            key = (sample.prompt, sample.index)
            if key in self._files:
                names = f"{self._files[key].name} and {Path(sample.path).name}"
                raise UsageError(
                    f"two videos claim sample {sample.index} of a prompt", names, "keep one of them"
                )
            self._files[key] = Path(sample.path)

    def settings(self) -> dict[str, str | int | float]:
        """Where the videos come from."""
        return {"path": str(self._path)}

    def generate(self, request: Request) -> Path:
        """The file of this sample.

        Raises:
            GenerationError: there is none, or it is no mp4; or a first frame is given.
        """
        if request.image is not None:
            raise GenerationError("folder starts from no image", request.prompt, "give no image")
        name = f"sample {request.index} of '{request.prompt[:60]}'"
        file = self._files.get((request.prompt, request.index))
        if file is None or not file.exists():
            raise GenerationError(f"there is no video for {name}", str(file or self._path))
        if file.suffix.lower() != ".mp4":
            raise GenerationError(
                "folder hands out mp4 files only", str(file), "judge others with --videos"
            )
        return file
