"""What a world is made of, and which accidents happen in it: by seed, in words, and the smallest that still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

#: What a Prometheus or a page may do to a world, and what `size` means for it.
ACCIDENTS = {
    "restart": "nothing",
    "exporter down": "scrapes",
    "prometheus down": "scrapes",
    "alertd away": "scrapes; it starts anew after them",
    "dip": "per mille of the value, once",
    "missing series": "scrapes",
    "missing page part": "scrapes; half of the series",
    "relabel": "scrapes until the labels are as before",
    "labels dropped": "scrapes in which the series of all teams and keys of a model are one sum",
    "rename": "scrapes until both names are there, then the new one alone",
    "old page": "scrapes; the page of the last accident-free scrape",
    "late answers": "scrapes that answers lag",
    "partial answers": "scrapes",
    "another process": "scrapes that an idle younger process answers every second time",
    "busy processes": "scrapes that two processes answer at random, both of which count on; the other is older if even",
    "new key": "nothing",
    "clock skew": "seconds by which the exporter's clock is ahead",
    "page timestamps": "which kind",
}
STAMPS = (0.0, -5.0, 2.0, 30.0, 86400.0, -200_000.0, "milliseconds", "standing still")


@dataclass(frozen=True)
class Accident:
    """One accident at a scrape, to one of the pods."""

    kind: str
    at: int
    size: int
    pod: int = 0


@dataclass(frozen=True)
class Plan:
    """What a world is made of. `starts`: what its exporters tell of their start, none, process, created or both.

    `source` is prometheus, scrape, or pushed: a Prometheus that is written to by processes of an instance each, without
    `up`. `life`: how many scrapes a process lives, 0 for ever. `uncached`: for so many scrapes after its start no
    tokens of a process are cached, and a counter comes with the first tokens that it counts.
    """

    seed: int
    accidents: tuple[Accident, ...] = ()
    starts: str = "none"
    source: str = "prometheus"
    pods: int = 1
    step: int = 60
    poll: int = 1
    scrapes: int = 60
    replica: str = ""
    shift: int = 0
    cached_labels: tuple[str, ...] = ("model", "team_alias")
    old: int = 100
    life: int = 0
    uncached: int = 0


def planned(seed: int, most: int) -> Plan:
    """A plan of up to so many accidents, the same for the same seed.

    Not in it: names that change while several busy processes answer of which nothing tells a start. A lower value under
    a new name is then the birth of a counter as well as another process.
    """
    random = Random(seed)
    accidents = tuple(
        Accident(
            random.choice(sorted(ACCIDENTS)),
            random.randint(2, 50),
            random.choice((0, 1, 2, 3, 5, 8, 20)),
            random.randint(0, 2),
        )
        for _ in range(random.randint(0, most))
    )
    starts = random.choice(("none", "process", "created", "both"))
    source = random.choice(("prometheus", "prometheus", "prometheus", "scrape", "scrape", "pushed"))
    stored, starts = source == "prometheus", "none" if source == "pushed" else starts
    if starts == "none" and any(one.kind == "busy processes" for one in accidents):
        accidents = tuple(one for one in accidents if one.kind not in {"rename", "relabel", "labels dropped"})
    return Plan(
        seed=seed,
        accidents=accidents,
        source=source,
        starts=starts,
        pods=1 if source == "scrape" else random.randint(1, 2),
        step=random.choice((15, 60)),
        poll=random.choice((1, 1, 3, 20)),
        replica=random.choice(("", "", "", "monitor", "receive_replica", "replica")) if stored else "",
        shift=random.choice((0, 7)),
        cached_labels=random.choice((("model", "team_alias", "api_key_alias"), ("model", "team_alias"), ("model",))),
        old=random.choice((0, 100)),
        life=random.choice((0, 4, 10)) if source == "pushed" else 0,
        uncached=random.choice((0, 0, 0, 1, 2, 5, 20)),
    )


def in_words(plan: Plan) -> str:
    """A plan as somebody would tell it."""
    starts = {"none": "no start is told", "both": "process starts and _created are told"}
    told = starts.get(plan.starts, f"starts are told by {plan.starts}")
    copies = f", two copies by the label {plan.replica}, {plan.shift} s apart" if plan.replica else ""
    lives = f", each process lives {plan.life} scrapes" if plan.life else ""
    late = f", cached counters come {plan.uncached} scrapes after a start" if plan.uncached else ""
    world = (
        f"seed {plan.seed}: {plan.pods} gateway(s), read as {plan.source}, a scrape every {plan.step} s, alertd reads"
        f" every {plan.poll}, {told}, cached counters by {'/'.join(plan.cached_labels)}{copies}{lives}{late},"
        f" {'old' if plan.old else 'new'} counters"
    )
    return "; ".join((world, *map(_told, sorted(plan.accidents, key=lambda one: one.at))))


def _told(one: Accident) -> str:
    return f"at scrape {one.at} of gateway {one.pod}: {one.kind}, {one.size} ({ACCIDENTS[one.kind]})"


def shrunk(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The plan with as few accidents as still fail, and those as short as possible."""
    while (smaller := next(filter(fails, _simpler(plan)), None)) is not None:
        plan = smaller
    return plan


def _simpler(plan: Plan) -> Iterator[Plan]:
    """The plan without one accident, and with one that is shorter."""
    for place, one in enumerate(plan.accidents):
        before, after = plan.accidents[:place], plan.accidents[place + 1 :]
        yield replace(plan, accidents=before + after)
        for size in (size for size in (0, 1, 2, 3, 5, 8) if size < one.size):
            yield replace(plan, accidents=(*before, replace(one, size=size), *after))
