"""A picture as PNG where the extra `charts` is installed: mail programs and chats show no SVG. Draws nothing itself."""

from __future__ import annotations

from alertd.core.charts.html import Markup

try:
    import resvg_py
except ImportError:  # the extra is not installed: messages go without a picture
    resvg_py = None  # type: ignore[assignment] # its absence is looked at below, nowhere else


def png(picture: Markup | None) -> bytes:
    """The picture as PNG; empty without a picture or without the renderer."""
    if picture is None or resvg_py is None:
        return b""
    return bytes(resvg_py.svg_to_bytes(svg_string=picture.decode(), zoom=1.0))


def can_draw() -> bool:
    """Whether the extra `charts` is installed."""
    return resvg_py is not None
