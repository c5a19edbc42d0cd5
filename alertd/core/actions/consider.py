"""What is to be done about keys now, and why not more: facts in, moves out. Pure; the loop commits and carries out.

positions -> which thresholds stand -> guards -> who caused it -> guards of each key -> proposals
acts      -> what expired, what the period's end or a raise undoes, whether the usage stopped
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.act import APPROVED, AWAITING, FAILED, OPEN, REHEARSED, VERIFIED, Act, Step, acts
from alertd.core.actions.confirmation import Readings, find_jumps, is_jumpy, without_jumps
from alertd.core.actions.guards import PAUSED, Block, Case, blocked
from alertd.core.actions.spenders import Spender, chosen, fitting, members_of, spenders, spent_between
from alertd.core.actions.telling import base_event, event_of_step, evidence_of, held_event
from alertd.core.actions.terms import GRADES, Terms
from alertd.core.budgets import duration_text, parse_threshold
from alertd.core.evaluation.event_builder import event_id
from alertd.core.evaluation.keys import budget_of, monthly_key, parse_status
from alertd.core.evaluation.state import RAISED, Silence, State, episode_of, silence_of, silences_of
from alertd.core.evaluation.thresholds import is_crossed, thresholds_of
from alertd.core.evaluation.values import BudgetStatus, Facts, SourceView
from alertd.core.events import Event
from alertd.core.messages.figures import number
from alertd.core.messages.spans import clean

_DAY: Final = timedelta(days=1)
#: Usage may trickle on while a change propagates; so much later the data must show that it stopped.
_PROPAGATES: Final = timedelta(minutes=5)
_WATCHED: Final = timedelta(minutes=15)
#: By grade: over this share of the pace before, the usage goes on.
_GOES_ON: Final = {"warn": Decimal("0.5"), "throttle": Decimal("0.5")}
_TRICKLE: Final = Decimal("0.1")
_KEPT: Final = timedelta(days=400)
_TRIGGER: Final = "trigger/"
_HELD: Final = "held/"


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is looked at: the facts and positions of the last evaluation, the notes as they are now.

    `judged` says that the evaluation is new: only then is anything proposed. `before` is what each position had spent
    at the reading before, where that is known.
    """

    now: datetime
    terms: Mapping[str, Terms]
    facts: Facts
    positions: Sequence[BudgetStatus]
    notes: Mapping[str, Any]
    dry_run: bool = False
    judged: bool = True
    before: Mapping[str, Readings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """One thing to commit: an act as it is now, with the steps that led there, what is told, and notes (None: gone)."""

    act: Act | None = None
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refrained:
    """Something that is not done, and why: for `alertd actions plan`."""

    action: str
    position: str
    target: str
    guard: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to commit, and why not more."""

    moves: tuple[Move, ...]
    refrained: tuple[Refrained, ...]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A threshold that stands, under a name that is the same as long as this is the same occasion."""

    basis: str
    threshold: str
    occasion: str
    window: timedelta


@dataclass(slots=True)
class _Book:
    """What has been found so far in one look."""

    moves: list[Move] = field(default_factory=list)
    refrained: list[Refrained] = field(default_factory=list)


def consider(scene: Scene) -> Outcome:
    """One look at everything. The same scene gives the same outcome."""
    book = _Book()
    book.moves += _overseen(scene)
    if not scene.judged:
        return Outcome(tuple(book.moves), ())
    names = {position.name for position in scene.positions}
    for position in scene.positions:
        for action in _actions(scene, position):
            _look(scene, position, action, book)
    gone = [
        note
        for note in scene.notes
        for prefix in (_TRIGGER, _HELD)
        if note.startswith(prefix) and str(parse_status(note.removeprefix(prefix)) or "") not in names
    ]
    if gone and scene.positions:
        book.moves.append(Move(notes=dict.fromkeys(gone)))
    return Outcome(tuple(book.moves), tuple(book.refrained))


def standing(position: BudgetStatus, terms: Terms, notes: Mapping[str, Any], now: datetime) -> Trigger | None:
    """The first threshold that the action is asked to act upon and that stands now."""
    return next(_firing(position, terms, notes, now), None)


def _firing(
    position: BudgetStatus, terms: Terms, notes: Mapping[str, Any], now: datetime, *, unless_over: bool = False
) -> Iterator[Trigger]:
    """Every threshold to act upon that fires; with `unless_over` also one that may not be over yet."""
    amount = f"{position.amount.value.normalize():f}"
    for text in terms.on:
        if text in {"burn_rate", "forecast"}:
            for threshold in thresholds_of(position):
                fires = is_crossed(position, threshold, now) if threshold.basis == text else False
                episode = episode_of(State(notes), position.name, threshold)
                if fires or (unless_over and fires is None and episode.open):
                    window = max(threshold.windows, default=_DAY)
                    yield Trigger(text, str(threshold), f"{text}/{episode.number}/{amount}", window)
            continue
        threshold = parse_threshold(text)
        if position.spent >= threshold.reached_at(position.amount):
            level = threshold.level(position.amount).normalize()
            yield Trigger("actual", text, f"actual/{level:f}/{amount}", _DAY)


def lost_reason(scene: Scene, act: Act, *, begins: bool = False) -> str:
    """Why the reason of an action that waits does not hold any more; "" while it does, or while nobody can tell.

    The same occasion must still fire, of the same amount, unsilenced. `begins`: and the key must still be among those
    that have to stop for the pace to fit. Stale data end nothing: a guard holds the action back until they are new.
    """
    position = next((one for one in scene.positions if one.name == act.position), None)
    configured = _lost_by_configuration(scene, act)
    return configured or ("" if position is None else next(_lost(scene, act, position, begins=begins), ""))


def _lost_by_configuration(scene: Scene, act: Act) -> str:
    budget = budget_of(act.position)
    if act.action not in scene.terms:
        return f"the action {act.action} is not configured any more"
    if act.period_end is not None and scene.now >= act.period_end:
        return "a new period has begun"
    if all(one.name != budget for one in scene.facts.budgets):
        return f"the budget {budget} was removed"
    if RAISED.get(State(scene.notes), act.position) != RAISED.get(scene.facts.state, act.position):
        return "the budget's amount was changed"
    return ""


def _lost(scene: Scene, act: Act, position: BudgetStatus, *, begins: bool) -> Iterator[str]:
    terms = scene.terms[act.action]
    if terms not in _actions(scene, position):
        yield f"the budget {position.budget.name} does not ask for {act.action} any more"
    silence = _silence(scene, position)
    if silence is not None:
        yield f"its alerts are silenced until {silence.until:%Y-%m-%d %H:%M} UTC, by {clean(silence.by, 60)}"
    if position.amount.value != Decimal(act.amount):
        how = "raised" if position.amount.value > Decimal(act.amount) else "lowered"
        yield f"the budget was {how} to {position.amount}"
    if position.data_until is None or (position.stale_sources and act.basis != "actual"):
        return
    firing = _firing(position, terms, scene.notes, scene.now, unless_over=True)
    same = next((one for one in firing if one.occasion == act.occasion), None)
    if same is None:
        over = {"burn_rate": "the runaway is over", "forecast": "the forecast is below its level again"}
        yield over.get(act.basis, "the spend is below its level again")
    elif begins:
        found = spenders(scene.facts, position, act.label, same.window, position.seen_until or scene.now)
        fits = fitting(position, same.basis, same.window, scene.now)
        if all(one.name != act.target for one in chosen(found, same.basis, terms.who, fits)):
            yield "this key is not the cause any more, or the pace fits without stopping it"


def _silence(scene: Scene, position: BudgetStatus) -> Silence | None:
    return silence_of(silences_of(State(scene.notes)), position.budget.name, position.scope, scene.now)


def case_of(scene: Scene, terms: Terms, position: BudgetStatus | None, basis: str, **more: Any) -> Case:
    """What the guards look at."""
    views: tuple[SourceView, ...] = ()
    drifting: tuple[str, ...] = ()
    if position is not None:
        members = [scene.facts.ledger.series[index] for index in members_of(scene.facts, position)]
        providers = sorted({row.provider for row in members})
        drifting = tuple(one for one in providers if monthly_key("drift", scene.now, one) in scene.facts.announced)
        views = _feeding(scene, position)
    rehearsing = terms.mode_in_force(dry_run=scene.dry_run) == "dry_run"
    return Case(
        scene.now, terms, position, basis, views, scene.facts.catching_up, notes=scene.notes, rehearsing=rehearsing,
        drifting=drifting, **more,
    )  # fmt: skip


def _actions(scene: Scene, position: BudgetStatus) -> list[Terms]:
    """The actions of a position that are configured, the gentlest first."""
    named = position.override.actions if position.override.actions is not None else position.budget.actions
    found = [scene.terms[name] for name in named if name in scene.terms]
    return sorted(found, key=lambda terms: GRADES.index(terms.grade))


def _look(scene: Scene, position: BudgetStatus, terms: Terms, book: _Book) -> None:
    """One action of one position: nothing stands, a guard says no, or somebody is to stop."""
    note = f"{_TRIGGER}{position.name}/{terms.name}"
    trigger = None if _silence(scene, position) is not None else standing(position, terms, scene.notes, scene.now)
    if trigger is None:
        if note in scene.notes:
            book.moves.append(Move(notes={note: None}))
        return
    readings = _readings(scene, position, scene.notes.get(note), trigger)
    jump = _jump(scene, position, terms, trigger, readings) if readings.confirmed else ""
    case = case_of(scene, terms, position, trigger.basis, readings=readings, jump=jump)
    block = blocked(case, "scope")
    if block is None or block.guard in {"confirmed", "jump"}:
        value = {"occasion": trigger.occasion, **readings.to_json()}
        if scene.notes.get(note) != value:
            book.moves.append(Move(notes={note: value}))
    if block is not None:
        _hold(scene, case, trigger, book, block=block)
        return
    until = position.seen_until or scene.now
    found = spenders(scene.facts, position, terms.label, trigger.window, until)
    fits = fitting(position, trigger.basis, trigger.window, scene.now)
    stopping = chosen(found, trigger.basis, terms.who, fits)
    for one in stopping:
        _propose(scene, case, trigger, book, one=one, fits=fits)
    for one in found:
        if one not in stopping:
            named = one.name or f"usage without {terms.label}"
            reason = "the pace fits without stopping it" if one.name else "nobody can be named"
            book.refrained.append(Refrained(terms.name, position.name, named, "cause", reason))


def _propose(scene: Scene, scope: Case, trigger: Trigger, book: _Book, *, one: Spender, fits: Decimal) -> None:
    """One key: a proposal with its evidence, unless there is one already or a guard protects it."""
    terms, position = scope.terms, scope.position
    assert position is not None  # noqa: S101 - the guards of the scope passed
    why = _already(scene, terms, position, trigger, one.name)
    if why:
        book.refrained.append(Refrained(terms.name, position.name, one.name, "already", why))
        return
    block = blocked(replace(scope, names=frozenset({one.name}), labels=one.labels), "key")
    if block is not None:
        _hold(scene, scope, trigger, book, block=block, target=one.name)
        return
    key = _key(terms, position, trigger, one.name)
    event = base_event(terms, position, one, key, scene.now, window=duration_text(trigger.window))
    evidence = evidence_of(one, fits, scope.readings.increases, trigger.threshold)
    evidence["window_seconds"] = int(trigger.window.total_seconds())
    act = Act(
        id=event_id(key),
        action=terms.name,
        target=one.name,
        label=terms.label,
        position=position.name,
        occasion=trigger.occasion,
        basis=trigger.basis,
        what=terms.what,
        reversible=terms.reversible,
        grade=terms.grade,
        event=event.to_json(),
        evidence=evidence,
        amount=f"{position.amount.value:f}",
        period_end=position.period.end,
    )
    mode = terms.mode_in_force(dry_run=scene.dry_run)
    what = {"dry_run": "rehearse", "approve": "ask", "auto": "permit"}[mode]
    proposed, first = act.after("propose", scene.now, reason=event.reason, audited=evidence)
    expires = scene.now + terms.expiry
    after, second = proposed.after(what, scene.now, reason=f"mode is {mode}", expires=expires)
    said = event_of_step(after, second)
    book.moves.append(Move(after, (first, second), (said,) if said else ()))


def _already(scene: Scene, terms: Terms, position: BudgetStatus, trigger: Trigger, target: str) -> str:
    """Why there is nothing to propose: it was answered on this occasion, is under way, or a gentler lever is first."""
    known = acts(scene.notes)
    same = known.get(event_id(_key(terms, position, trigger, target)))
    if same is not None:
        return f"{same.state} already ({same.handle})"
    on_target = [act for act in known.values() if act.target == target and act.label == terms.label]
    for act in on_target:
        if act.action == terms.name and act.state in OPEN:
            return f"{act.state} for {act.position} ({act.handle})"
    for gentler in _actions(scene, position):
        if GRADES.index(gentler.grade) >= GRADES.index(terms.grade):
            break
        tried = [act for act in on_target if act.action == gentler.name and act.position == position.name]
        last = tried[-1] if tried else None
        helped_not = last is not None and (last.state == FAILED or (last.state == VERIFIED and last.usage == "goes on"))
        rehearsed = last is not None and last.state == REHEARSED
        if not (helped_not or rehearsed):
            return f"{gentler.name} is gentler and comes first"
    return ""


def _hold(scene: Scene, case: Case, trigger: Trigger, book: _Book, *, block: Block, target: str = "") -> None:
    """Remember why nothing is done, and say it once an occasion; what only waits for a second reading is not said."""
    terms, position = case.terms, case.position
    assert position is not None  # noqa: S101 - the case of a position
    book.refrained.append(Refrained(terms.name, position.name, target, block.guard, block.reason))
    under_way = any(
        (act.action, act.position, act.occasion) == (terms.name, position.name, trigger.occasion)
        for act in acts(scene.notes).values()
    )
    quiet = case.rehearsing or block.guard == "confirmed" or (under_way and not target)
    note = f"{_HELD}{position.name}/{terms.name}/{trigger.occasion}/{block.guard}/{target}"
    if quiet or note in scene.notes:
        return
    event = held_event(terms, position, note, scene.now, target=target, reason=block.reason)
    book.moves.append(Move(events=(event,), notes={note: scene.now.isoformat()}))


def _overseen(scene: Scene) -> Iterator[Move]:
    """What becomes of acts by time and data alone."""
    by_name = {position.name: position for position in scene.positions}
    for act in acts(scene.notes).values():
        if act.state in {AWAITING, APPROVED} and act.expires is not None and scene.now >= act.expires:
            why = "nobody answered in time" if act.state == AWAITING else f"it could not begin in time: {act.held}"
            yield _moved(act, "expire", scene.now, why)
        elif act.state in {AWAITING, APPROVED} and (lost := lost_reason(scene, act)):
            yield _moved(act, "expire", scene.now, f"not done because {lost}")
        elif act.state == VERIFIED:
            move = _undone(scene, act, by_name.get(act.position)) or _watched(scene, act, by_name.get(act.position))
            if move is not None:
                yield move
        elif act.state not in OPEN and act.since is not None and scene.now - act.since > _KEPT:
            yield Move(notes={act.note: None})


def _undone(scene: Scene, act: Act, position: BudgetStatus | None) -> Move | None:
    """The restore that the period's end or a raised budget asks for; only of what alertd itself changed."""
    terms = scene.terms.get(act.action)
    if terms is None or not (act.ours and act.reversible) or terms.undone != "auto" or PAUSED in scene.notes:
        return None
    if terms.mode_in_force(dry_run=scene.dry_run) == "dry_run":
        return None
    if _needed_elsewhere(scene, act, terms):
        return None
    if act.period_end is not None and scene.now >= act.period_end:
        return _moved(act, "restore", scene.now, "a new period has begun")
    raised = position is not None and position.amount.value > Decimal(act.amount)
    if position is not None and raised and position.spent < position.amount.value:
        return _moved(act, "restore", scene.now, f"the budget was raised to {position.amount}")
    return None


def _needed_elsewhere(scene: Scene, act: Act, terms: Terms) -> bool:
    """Whether another budget still asks for the same key to be off: one reason that ends turns on nothing."""
    for position in scene.positions:
        if position.name == act.position or terms not in _actions(scene, position):
            continue
        trigger = next(_firing(position, terms, scene.notes, scene.now, unless_over=True), None)
        if trigger is not None and position.data_until is not None:
            found = spenders(scene.facts, position, act.label, trigger.window, position.seen_until or scene.now)
            if any(one.name == act.target and one.spent for one in found):
                return True
    return False


def _watched(scene: Scene, act: Act, position: BudgetStatus | None) -> Move | None:
    """Whether the usage stopped, once the data reach far enough beyond the act."""
    if act.usage or position is None or act.since is None or position.data_until is None or position.stale_sources:
        return None
    begin = act.since + _PROPAGATES
    if position.data_until < begin + _WATCHED:
        return None
    spent = spent_between(scene.facts, position, (act.label, act.target), begin, position.data_until)
    hours = Decimal(repr((position.data_until - begin).total_seconds())) / 3600
    before = Decimal(act.evidence["recent"]) * 3600 / int(act.evidence["window_seconds"])
    pace = spent / hours
    what = "goes on" if pace > before * _GOES_ON.get(act.grade, _TRICKLE) else "stopped"
    reason = f"{spent:.2f} {position.amount.unit} since {begin:%H:%M} UTC, {pace:.2f} an hour; before {before:.2f}"
    return _moved(act, what, scene.now, reason, usage=what)


def _moved(act: Act, what: str, now: datetime, reason: str, **changes: Any) -> Move:
    after, step = act.after(what, now, reason=reason, **changes)
    if what == "restore":
        after = replace(after, lease_until=None, not_before=None, attempts=0, sent=None, error="")
    said = event_of_step(after, step)
    return Move(after, (step,), (said,) if said else ())


def _readings(scene: Scene, position: BudgetStatus, noted: Mapping[str, Any] | None, trigger: Trigger) -> Readings:
    """The readings since the one before the threshold fired, with the newest."""
    known = Readings({}, position.spent)
    if noted is not None and noted["occasion"] == trigger.occasion:
        known = Readings.from_json(noted)
    elif position.name in scene.before:
        known = scene.before[position.name]
    return known.after(_feeding(scene, position), position.spent)


def _jump(scene: Scene, position: BudgetStatus, terms: Terms, trigger: Trigger, readings: Readings) -> str:
    """What one reading alone explains, where the threshold fires only because of it; "" where it does not."""
    jumps = find_jumps(scene.facts, position, readings)
    left = without_jumps(position, jumps)
    fires = any(one.occasion == trigger.occasion for one in _firing(left, terms, scene.notes, scene.now))
    if not jumps or (fires and (trigger.basis != "forecast" or not is_jumpy(position, jumps))):
        return ""
    amount = f"{number(jumps[0].amount, position.amount.unit)} {position.amount.unit}"
    return (
        f"one reading alone explains it: {amount} at {jumps[0].at:%H:%M} UTC, over ten times the rate of any other; "
        "without it the threshold would not fire"
    )


def _feeding(scene: Scene, position: BudgetStatus) -> tuple[SourceView, ...]:
    """The sources whose series a position is made of."""
    feeding = {scene.facts.ledger.series[index].source for index in members_of(scene.facts, position)}
    return tuple(view for name, view in sorted(scene.facts.context.sources.items()) if name in feeding)


def _key(terms: Terms, position: BudgetStatus, trigger: Trigger, target: str) -> str:
    return f"action/{terms.name}/{position.name}/{trigger.occasion}/{target}"
