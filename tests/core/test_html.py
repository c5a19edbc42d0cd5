"""Mark-up is made by this module alone: whatever comes from outside is text, between tags and within attributes."""

from __future__ import annotations

from alertd.core.charts.html import element, fragment

EVIL = "\"><script>alert('1')</script>&"


def test_what_comes_from_outside_neither_opens_an_element_nor_ends_an_attribute() -> None:
    made = element("p", EVIL, [EVIL], title=EVIL).decode()
    escaped = "&quot;&gt;&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&amp;"
    assert made.startswith(f'<p title="{escaped}">')
    assert made.count("<") == 2
    assert made.count(">") == 2


def test_elements_pass_as_they_are_and_nothing_leaves_no_trace() -> None:
    inner = element("b", "x", class_="quiet", aria_label=1.50, hidden=True, id=None)
    assert fragment(None, [False, inner, " & "]) == b'<b class="quiet" aria-label="1.5" hidden>x</b> &amp; '
