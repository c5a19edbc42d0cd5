"""A picture as PNG where the extra `charts` is installed: mail programs and chats show no SVG. Draws nothing itself."""

from __future__ import annotations

from alertd.core.charts.html import Markup

try:
    import resvg_py
except ImportError:  # the extra is not installed: messages go without a picture
    resvg_py = None  # type: ignore[assignment] # its absence is looked at below, nowhere else

#: Twice as many points as the picture is wide, for the screens of telephones.
_ZOOM = 2.0


def png(picture: Markup | None) -> bytes:
    """The picture as PNG; empty where there is none, or nothing to draw it with."""
    if picture is None or resvg_py is None:
        return b""
    return bytes(resvg_py.svg_to_bytes(svg_string=picture.decode(), zoom=_ZOOM))
