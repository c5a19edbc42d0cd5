"""HTML and SVG from nested calls that escape everything: no template, so no place where escaping can be forgotten.

`element("p", "1 < 2", class_="quiet")` -> `<p class="quiet">1 &lt; 2</p>`. Only a Markup passes as it is, and only this
module makes one.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final, NewType, TypeAlias

Markup = NewType("Markup", bytes)
#: Text, elements, or any nesting of them; None and False leave no trace.
Content: TypeAlias = "str | Markup | Iterable[Content] | bool | None"
Value: TypeAlias = "str | int | float | bool | None"

_EMPTY: Final = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


def element(tag: str, /, *content: Content, **attributes: Value) -> Markup:
    """One element.

    Attributes: `class_` is class, `aria_label` is aria-label; True is written alone, None is left out.
    """
    parts = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _EMPTY:
        return Markup(f"<{tag}{parts}>".encode())
    return Markup(f"<{tag}{parts}>".encode() + fragment(*content) + f"</{tag}>".encode())


def fragment(*content: Content) -> Markup:
    """Content behind one another, without an element around it."""
    return Markup(b"".join(map(_rendered, content)))


def verbatim(text: str) -> Markup:
    """The package's own style sheet or script, whose words are constants."""
    return Markup(text.encode())


def _rendered(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return escape(content, quote=False).encode("utf-8", "replace")
    if content is None or isinstance(content, bool):
        return b""
    return b"".join(map(_rendered, content))


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {written}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {written}="{escape(text)}"'
