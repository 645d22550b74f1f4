"""What every page is made with: templates that escape, a base style, a strict policy."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(package: str) -> Environment:
    """Templates of `package` in which every value is text, whatever it contains."""
    made = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` writes every character beyond ASCII, and < > & ', as an escape of JSON.
    compact = {"separators": (",", ":"), "allow_nan": False}
    made.policies["json.dumps_kwargs"] = compact
    return made


def style(package: str, path: str) -> str:
    """The style that all pages share, and what `package` adds to it."""
    sheets = (
        files(__package__).joinpath("page/base.css"),
        files(package).joinpath(path),
    )
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy under which this style and script alone work.

    Without a script nothing runs, and no video plays. Chromium lets a page opened from disk play
    files as 'self'; `file:` says so to browsers that give such a page no origin. A page from a
    server cannot use it.
    """
    alive = (f"script-src '{_hash(script)}'", "media-src 'self' file:") if script else ()
    return "; ".join(
        (
            "default-src 'none'",
            *alive,
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
