"""The known layouts: every module of `layouts` that has a LAYOUT or LAYOUTS. Nothing is registered."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module

from alertd.core.formats import layouts
from alertd.core.formats.layout import Layout, plain


@cache
def known_layouts() -> tuple[Layout, ...]:
    """Every layout, by name; a module may hold one LAYOUT or several LAYOUTS."""
    found: list[Layout] = []
    for module in pkgutil.iter_modules(layouts.__path__):
        loaded = import_module(f"{layouts.__name__}.{module.name}")
        found.extend(getattr(loaded, "LAYOUTS", None) or (loaded.LAYOUT,))
    return tuple(sorted(found, key=lambda layout: layout.name))


def recognised(header: Iterable[str]) -> Layout | None:
    """The layout of a header: of several that fit, the one that asks for the most columns."""
    names = {plain(name) for name in header}
    fitting = [layout for layout in known_layouts() if not layout.path and not layout.objects and layout.fits(names)]
    return max(fitting, key=lambda layout: len(layout.recognised_by), default=None)
