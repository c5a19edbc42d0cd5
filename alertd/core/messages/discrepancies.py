"""Words for what does not fit together: an estimate and its bill, two sources that look like one."""

from __future__ import annotations

from alertd.core.events import Event
from alertd.core.messages import details
from alertd.core.messages.figures import amount, share_percent
from alertd.core.messages.spans import Line, Said, bold, clean, code, name, plain


def drift(event: Event) -> Said:
    """Estimate and bill of openai differ by 8 %"""
    provider = details.words(event, "provider")
    estimated, billed = details.decimal(event, "estimated"), details.decimal(event, "billed")
    part, factor = details.decimal(event, "drift"), details.decimal(event, "correction")
    by = "" if part is None else f" by {share_percent(abs(float(part)))}"
    headline: Line = (bold("Estimate and bill of "), name(provider, "code"), bold(f" differ{by}"))
    sides: Line = ()
    if event.details.get("against") == "report":
        return _reported(event, by)
    if estimated is not None and billed is not None:
        higher = "more" if estimated > billed else "less"
        sides = (
            plain(f"{clean(details.words(event, 'first'))} to {clean(details.words(event, 'last'))}: "),
            bold(f"estimated {amount(estimated, event.currency)}, billed {amount(billed, event.currency)}"),
            plain(f", so alertd counts {higher} than you pay"),
        )
    causes = [(plain(clean(str(cause))),) for cause in event.details.get("causes", ())]
    fix: Line = () if factor is None or factor == 1 else (plain(f"Days not billed yet: times {factor:f} would fit"),)
    return headline, (sides, *causes, fix, (code("alertd reconcile"), plain(" shows every day"))), ()


def _reported(event: Event, by: str) -> Said:
    """alertd's estimate of openai and what gateway reports differ by 8 %"""
    provider, sources = details.words(event, "provider"), ", ".join(map(str, event.details.get("sources", ())))
    estimated, billed = details.decimal(event, "estimated"), details.decimal(event, "billed")
    headline = (
        bold("alertd's estimate of "), name(provider, "code"), bold(" and what "), name(sources, "code"),
        bold(f" reports differ{by}"),
    )  # fmt: skip
    sides: Line = ()
    if estimated is not None and billed is not None:
        sides = (
            plain(f"{clean(details.words(event, 'first'))} to {clean(details.words(event, 'last'))}: "),
            bold(f"estimated {amount(estimated, event.currency)}, reported {amount(billed, event.currency)}"),
            plain("; alertd counts its own estimate"),
        )
    causes = [(plain(clean(str(cause))),) for cause in event.details.get("causes", ())]
    return headline, (sides, *causes, (code("alertd reconcile"), plain(" shows every day"))), ()


def alike(event: Event) -> Said:
    """Sources gateway and bill look like one"""
    one, other = (*event.details.get("sources", ()), "", "")[:2]
    headline = (
        bold("Sources "), name(str(one), "code"), bold(" and "), name(str(other), "code"), bold(" look like one"),
    )  # fmt: skip
    lines = (
        (plain(clean(details.words(event, "said"))),),
        (plain("Until you say which one counts, their usage is added up: figures may be too high."),),
    )
    return headline, lines, ()
