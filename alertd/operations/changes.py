"""What people do: acknowledge, snooze, silence, raise, approve, refuse, restore, disown, pause.

Commands, API, page and chat call these functions; each change is one transaction with its row in the audit.

store.memory -> a pure decision -> store.commit_decisions (compare-and-set; the loser of a race decides again)
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import AUDITED, AWAITING, PAUSED, RESTORING, Act, Step, acts
from alertd.core.budgets import Amount, Budget, Scope
from alertd.core.evaluation.amounts import carried_amounts, configured_amount, with_carried
from alertd.core.evaluation.keys import status_name
from alertd.core.evaluation.state import (
    ACKNOWLEDGED,
    LIFECYCLES,
    RAISED,
    REQUESTS,
    RESOLVED,
    SILENCES,
    TOP_UPS,
    AnsweredRequest,
    CannotHappenError,
    RaisedAmount,
    Silence,
    State,
    TopUp,
)
from alertd.core.events import Event
from alertd.core.messages.rich_text import clean
from alertd.core.periods import ROLLING
from alertd.operations.values import (
    BusyError,
    By,
    ChangedError,
    ChangeOutcome,
    ConflictError,
    Decision,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnreachableError,
    sample_deliveries,
    where_text,
)
from alertd.ports import Clock, DeliveryError, Notifier

#: How often a change is decided anew where other replicas are quicker.
_TRIES: Final = 8
#: An Idempotency-Key is remembered for this long, and no more keys than these.
_REMEMBERED: Final = timedelta(hours=24)
_MOST_REMEMBERED: Final = 1000
#: A shorter beginning of an id names nothing.
_SHORTEST: Final = 4
_HANDLE: Final = 6
#: No silence or snooze lasts longer.
LONGEST: Final = timedelta(days=366)
#: Characters of a reason.
MOST_REASON: Final = 500
_MOST_AMOUNT: Final = 10**15
#: The most periods that one raise is for.
_MOST_PERIODS: Final = 36
#: What names a payment that was entered by hand.
_TOP_UP_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)
#: What was done to an action, as people read it.
_SAID: Final = {"approve": "Approved", "refuse": "Refused", "restore": "Being undone", "disown": "Left as it is"}


class Memory(Protocol):
    """The part of the store that operations read. Raises StoreError."""

    async def memory(self) -> dict[str, tuple[Any, int]]: ...


Write = Callable[[Sequence[Event], Sequence[Step], Mapping[str, tuple[Any, int]]], Awaitable[bool]]


def _no_budgets() -> Mapping[str, Budget]:
    return {}


def _no_notifiers() -> Mapping[str, Notifier]:
    return {}


def _nothing() -> None:
    return None


def _no_policies() -> Mapping[str, ActionPolicy]:
    return {}


@dataclass(frozen=True, slots=True)
class Operations:
    """The functions, over one store. `write` commits events, audit and records in one transaction.

    `lost` answers why an action's reason does not hold any more ("": it holds). Every function raises OperationError
    where nothing is changed, and StoreError.
    """

    store: Memory
    clock: Clock
    write: Write
    budgets: Callable[[], Mapping[str, Budget]] = _no_budgets
    policies: Callable[[], Mapping[str, ActionPolicy]] = _no_policies
    lost: Callable[[Act], Awaitable[str]] | None = None
    notifiers: Callable[[], Mapping[str, Notifier]] = _no_notifiers
    #: Reads a budget for the database from its settings as text. Raises InvalidError.
    read_budget: Callable[[str, Mapping[str, str]], Budget] | None = None
    #: Called after each change, so that its effect shows at once.
    changed: Callable[[], None] = _nothing

    async def acknowledge(self, alert: str, by: By) -> ChangeOutcome:
        """Acknowledge the alert with an id, or a handle of at least four digits; no reminders follow."""
        return await self.commit(by, lambda state: self._alert(state, "acknowledge", alert, by, None))

    async def snooze(self, alert: str, length: timedelta, by: By) -> ChangeOutcome:
        """No messages about the alert for a time; where it still fires then, it is announced again."""
        until = self.clock.now() + _checked(length)
        return await self.commit(by, lambda state: self._alert(state, "snooze", alert, by, until))

    async def silence(
        self, where: Mapping[str, Sequence[str]], length: timedelta, by: By, identity: str = ""
    ) -> ChangeOutcome:
        """Hold back alerts whose labels (and `budget`) match until the end; the outcome's `on` is its id."""
        reason = _checked_reason(by, needed=True)
        patterns = {label: tuple(wanted) for label, wanted in sorted(where.items())}
        if not all(label.strip() and wanted and len(str(wanted)) <= MOST_REASON for label, wanted in patterns.items()):
            raise InvalidError("a label without a pattern", "write it as team=search")
        until, identity = self.clock.now() + _checked(length), identity or secrets.token_hex(3)
        silence = Silence(identity, patterns, until, reason, by.name)

        def decide(_: State) -> Decision:
            said = f"Silenced {where_text(patterns)} until {until:%Y-%m-%d %H:%M} UTC."
            return self.done(
                "silence", identity, "silenced", said, by=by, changes=SILENCES.put(silence, identity), until=until
            )

        return await self.commit(by, decide)

    async def end_silence(self, identity: str, by: By) -> ChangeOutcome:
        """End a silence now; what still fires is announced by the next evaluation."""

        def decide(state: State) -> Decision:
            found = SILENCES.get(state, identity)
            if found is None:
                raise NotFoundError("no such silence", "alertd silence lists them")
            said = f"Ended the silence of {where_text(found.where)}."
            return self.done("end_silence", identity, "ended", said, by=by, changes=SILENCES.put(None, identity))

        return await self.commit(by, decide)

    async def raise_amount(
        self, name: str, scope: Scope, amount: str, by: By, *, seen: str = "", periods: int = 1
    ) -> ChangeOutcome:
        """A higher amount for the current period, as `600`, `600 USD` or `8M tokens`; thresholds re-arm.

        `periods` is the number of periods, this one included.

        `seen` is the amount in force that the person saw: ChangedError where it is another one by now.
        """
        budget = self.budgets().get(name)
        if budget is None:
            raise NotFoundError("no such budget", "alertd status lists them")
        given = dict(scope)
        if set(given) != set(budget.per):
            raise InvalidError(
                f"{name} has one budget per {' and '.join(budget.per)}" if budget.per else f"{name} has no scopes",
                f"name the {' and the '.join(budget.per)}" if budget.per else "name none",
            )
        scope = tuple((label, given[label]) for label in budget.per)
        try:
            wanted = Amount.parse(amount, budget.amount.unit)
        except ValueError as error:
            raise InvalidError(str(error), f"for example 600 {budget.amount.unit}") from error
        if not wanted.value.is_finite() or wanted.value > _MOST_AMOUNT:
            raise InvalidError("no such amount", f"for example 600 {budget.amount.unit}")
        if not 1 <= periods <= _MOST_PERIODS or (periods > 1 and budget.period.kind == ROLLING):
            raise InvalidError("periods: no such number", f"give 1 to {_MOST_PERIODS}; 1 for a window that rolls")
        return await self.commit(by, lambda state: self._raised(state, (budget, scope, periods), wanted, by, seen))

    async def top_up(
        self, name: str, amount: str, by: By, *, day: str = "", left: bool = False, identity: str = ""
    ) -> ChangeOutcome:
        """Enter a payment into a budget's prepaid credit, or what is `left` of it; the outcome's `on` has its id.

        `day` is today unless given, as 2026-11-20. The same id with the same payment changes nothing.
        """
        budget, now = self._prepaid(name), self.clock.now()
        today = now.astimezone(budget.period.zone).date()
        try:
            paid, on = Amount.parse(amount, budget.amount.unit), date.fromisoformat(day) if day else today
        except ValueError as error:
            raise InvalidError(str(error), f"for example 300 {budget.amount.unit} and 2026-11-20") from error
        if not paid.value.is_finite() or paid.value > _MOST_AMOUNT or not (paid.value or left):
            raise InvalidError("no such amount", f"for example 300 {budget.amount.unit}")
        first = budget.credit[0].day
        if not first <= on <= today:
            raise InvalidError(f"{on} is not between {first}, when the credit began, and today", "give another day")
        if identity and not _TOP_UP_ID.fullmatch(identity):
            raise InvalidError(
                "an id is at most 80 letters, digits, dots, dashes and _", "an invoice's number, perhaps"
            )
        identity = identity or secrets.token_hex(4)
        entry = TopUp(budget.name, on, paid.value, paid.unit, left, by.name, now, _checked_reason(by))

        def decide(state: State) -> Decision:
            key = f"{budget.name}/{identity}"
            said = f"{'Left' if left else 'Paid'} on {on}: {paid}."
            if (known := TOP_UPS.get(state, key)) is not None:
                if (known.day, known.amount, known.left) != (entry.day, entry.amount, entry.left):
                    raise ConflictError(f"{identity} was entered as another payment", "give another id, or remove it")
                return Decision(self.outcome("top_up", key, str(paid), said, by=by, changed=False))
            return self.done("top_up", key, str(paid), said, by=by, changes=TOP_UPS.put(entry, key))

        return await self.commit(by, decide)

    async def remove_top_up(self, name: str, identity: str, by: By) -> ChangeOutcome:
        """Take back a payment that was entered by hand."""
        key = f"{self._prepaid(name).name}/{identity}"

        def decide(state: State) -> Decision:
            if (known := TOP_UPS.get(state, key)) is None:
                raise NotFoundError("no such payment was entered", "alertd top-up BUDGET lists them")
            said = f"Taken back: {Amount(known.amount, known.unit)} on {known.day}."
            return self.done("remove_top_up", key, "removed", said, by=by, changes=TOP_UPS.put(None, key))

        return await self.commit(by, decide)

    def _prepaid(self, name: str) -> Budget:
        budget = self.budgets().get(name)
        if budget is None:
            raise NotFoundError("no such budget", "alertd status lists them")
        if not budget.credit:
            raise ConflictError(f"{name} has no prepaid credit", "give it CREDIT in the configuration first")
        return budget

    async def approve(self, action: str, by: By, *, seen: int | None = None) -> ChangeOutcome:
        """Approve a proposed action, where its reason still holds and this person's approval counts."""
        waiting = _named(acts(State.of(await self.store.memory()).records), action, "action")
        if waiting.state == AWAITING and self.lost is not None and (lost := await self.lost(waiting)):
            raise ConflictError(f"nothing was done: {lost}", "alertd actions plan says what would be done now")
        return await self._act("approve", action, by, seen)

    async def refuse(self, action: str, by: By, *, seen: int | None = None) -> ChangeOutcome:
        """Refuse a proposed or approved action: it is not done."""
        return await self._act("refuse", action, by, seen)

    async def restore(self, action: str, by: By, *, seen: int | None = None) -> ChangeOutcome:
        """Undo an action that alertd carried out; the next round does it."""
        return await self._act("restore", action, by, seen)

    async def disown(self, action: str, by: By) -> ChangeOutcome:
        """Leave an action's change as it is: alertd no longer undoes it."""
        return await self._act("disown", action, by, None)

    async def pause(self, by: By) -> ChangeOutcome:
        """Hold back all actions until `resume`."""

        def decide(_: State) -> Decision:
            now = self.clock.now()
            value = {"at": now.isoformat(), "by": by.name, "reason": by.reason}
            return self.done("pause", "actions", "paused", "All actions are paused.", by=by, changes={PAUSED: value})

        return await self.commit(by, decide)

    async def resume(self, by: By) -> ChangeOutcome:
        """Let actions continue."""

        def decide(state: State) -> Decision:
            if PAUSED not in state.records:
                return Decision(
                    self.outcome("resume", "actions", "running", "Actions are not paused.", by=by, changed=False)
                )
            return self.done("resume", "actions", "running", "Actions continue.", by=by, changes={PAUSED: None})

        return await self.commit(by, decide)

    async def approvers(self, action: str) -> tuple[str, ...]:
        """The people in an action's APPROVERS."""
        act = _named(acts(State.of(await self.store.memory()).records), action, "action")
        policy = self.policies().get(act.action)
        return () if policy is None else policy.approvers

    async def test(self, name: str, by: By) -> ChangeOutcome:
        """Send a sample message through a notifier. UnreachableError where it was not taken."""
        notifier = self.notifiers().get(name)
        if notifier is None:
            raise NotFoundError("no such notifier", f"there are: {', '.join(sorted(self.notifiers())) or 'none'}")
        delivery = sample_deliveries(name, ["test"], self.clock.now())["test"]
        try:
            receipt = await notifier.send(delivery)
        except DeliveryError as error:
            raise UnreachableError(str(error), "nothing was sent") from error
        return await self.commit(by, lambda _: self.done("test", name, "sent", f"{name}: {receipt.said}", by=by))

    def _alert(self, state: State, what: str, alert: str, by: By, until: datetime | None) -> Decision:
        known = dict(LIFECYCLES.items(state))
        identity = _identity(list(known), alert, "alert", [i for i, one in known.items() if one.state != RESOLVED])
        life = known[identity]
        if what == "acknowledge" and life.state == ACKNOWLEDGED:
            said = f"It is acknowledged already, by {life.history[-1].by}."
            return Decision(self.outcome(what, identity, life.state, said, by=by, changed=False))
        try:
            after = life.after(what, self.clock.now(), by.name, _checked_reason(by), until=until)
        except CannotHappenError as error:
            raise ConflictError(str(error), "alertd explain BUDGET shows its history") from error
        said = f"Snoozed until {until:%Y-%m-%d %H:%M} UTC." if until else "Acknowledged."
        return self.done(what, identity, after.state, said, by=by, changes=LIFECYCLES.put(after, identity), until=until)

    def _raised(self, state: State, of: tuple[Budget, Scope, int], wanted: Amount, by: By, seen: str) -> Decision:
        (budget, scope, periods), now = of, self.clock.now()
        period = budget.period.containing(now)
        name = status_name(budget.name, scope, period.key)
        configured = with_carried(configured_amount(budget, scope, period), carried_amounts(state).get(name))
        before = RAISED.get(state, name)
        in_force = configured if before is None else Amount(before.amount, before.unit)
        if before is not None and before.amount == wanted.value and periods == 1:
            said = f"{name} has {in_force} already."
            return Decision(self.outcome("raise", name, f"{in_force}", said, by=by, until=period.end, changed=False))
        if seen and seen != f"{in_force.value.normalize():f}":
            raise ChangedError(f"{name} has {in_force} by now", "look again, then raise it")
        if wanted.value < in_force.value or (wanted.value == in_force.value and before is None):
            raise ConflictError(
                f"{name} already has {in_force}; this would not raise it",
                f"give more than {in_force}; a lower amount is set in the configuration",
            )
        record = RaisedAmount(wanted.value, wanted.unit, by.name, now, _checked_reason(by))
        changes, last = RAISED.put(record, name), period
        for _ in range(periods - 1):
            last = budget.period.following(last)
            later = status_name(budget.name, scope, last.key)
            known = RAISED.get(state, later)
            if known is None or known.amount < wanted.value:
                changes |= RAISED.put(record, later)
        ends = "further notice" if period.rolls is not None else last.last_day.isoformat()
        said = f"Raised from {in_force} to {wanted} until {ends}."
        return self.done("raise", name, f"{wanted}", said, by=by, changes=changes, until=last.end)

    async def _act(self, what: str, action: str, by: By, seen: int | None) -> ChangeOutcome:
        # Imported here, so that commands that only change alerts start fast: it brings the evaluation.
        from alertd.core.actions.interactions import ActionAnswer, CannotAnswerError, answer_act  # noqa: PLC0415

        answer = ActionAnswer(what, by.name, by.name, _checked_reason(by), _origin(by))

        def decide(state: State) -> Decision:
            act, now = _named(acts(state.records), action, "action"), self.clock.now()
            if seen is not None and seen != act.steps:
                raise ChangedError(f"it is {act.state} by now", "look again, then answer")
            if what == "restore" and act.state == RESTORING:
                return Decision(
                    self.outcome(what, act.id, act.state, "It is being restored already.", by=by, changed=False)
                )
            policy = self.policies().get(act.action)
            try:
                moved = answer_act(act, answer, policy, now)
            except CannotAnswerError as error:
                kind = ForbiddenError if error.forbidden else ConflictError
                raise kind(error.problem, error.remedy) from error
            said = f"{_SAID[what]}: {act.what}, {clean(act.key_name)}."
            outcome = self.outcome(what, act.id, moved.act.state, said, by=by)
            return Decision(outcome, {act.note: moved.act.to_json()}, (moved.step,), moved.events)

        return await self.commit(by, decide)

    def done(
        self, what: str, on: str, state: str, said: str, *, by: By, changes: Mapping[str, object] | None = None,
        until: datetime | None = None,
    ) -> Decision:  # fmt: skip
        """A decision with its row in the audit: who, when, why, from where, on what."""
        outcome = self.outcome(what, on, state, said, by=by, until=until)
        evidence = {"on": on, "said": said, **_origin(by)}
        step = Step(
            f"{AUDITED}{secrets.token_hex(8)}", 1, outcome.at, what, state, by.name, _checked_reason(by),
            evidence=evidence,
        )  # fmt: skip
        return Decision(outcome, changes or {}, (step,))

    def outcome(
        self, what: str, on: str, state: str, said: str, *, by: By, until: datetime | None = None, changed: bool = True
    ) -> ChangeOutcome:
        """The outcome, at this moment."""
        return ChangeOutcome(what, on, state, said, by.name, self.clock.now(), until, changed)

    async def commit(self, by: By, decide: Callable[[State], Decision]) -> ChangeOutcome:
        """Write what `decide` returns, decided anew where others were quicker. Raises OperationError, StoreError."""
        for _ in range(_TRIES):
            state = State.of(await self.store.memory())
            known = REQUESTS.get(state) or {}
            if by.key and (before := known.get(f"{by.name}/{by.key}")) is not None:
                if before.fingerprint != by.fingerprint:
                    raise InvalidError("this Idempotency-Key was used for another request", "use a new one")
                return msgspec.convert(before.outcome, ChangeOutcome, strict=False)
            decision = decide(state)
            changes = dict(decision.changes)
            if by.key:
                changes |= self._remember(by, known, decision.outcome)
            if not (changes or decision.steps):
                return decision.outcome
            if await self.write(decision.events, decision.steps, state.revised(changes)):
                self.changed()
                return decision.outcome
        raise BusyError("alertd was too busy; nothing was done", "try again")

    def _remember(self, by: By, known: Mapping[str, AnsweredRequest], outcome: ChangeOutcome) -> dict[str, object]:
        now = self.clock.now()
        recent = [(key, one) for key, one in known.items() if now - one.at < _REMEMBERED][-_MOST_REMEMBERED + 1 :]
        answered = AnsweredRequest(now, by.fingerprint, msgspec.to_builtins(outcome))
        return REQUESTS.put({**dict(recent), f"{by.name}/{by.key}": answered})


def _origin(by: By) -> dict[str, str]:
    """From where a request came, for the audit."""
    return {"via": by.via, **({"address": by.address} if by.address else {})}


def _named(known: Mapping[str, Act], wanted: str, kind: str) -> Act:
    return known[_identity(list(known), wanted, kind, list(known))]


def _identity(known: Sequence[str], wanted: str, kind: str, open_ones: Sequence[str]) -> str:
    """The one id that begins with what was given. NotFoundError lists the open ones."""
    beginning = wanted.strip().lower()
    if beginning in known:
        return beginning
    found = [identity for identity in known if len(beginning) >= _SHORTEST and identity.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(identity[:_HANDLE] for identity in open_ones[:10])
    problem = f"several {kind}s have a handle with this beginning" if found else f"no {kind} has this handle"
    raise NotFoundError(problem, f"open ones are: {listed or 'none'}")


def _checked(length: timedelta) -> timedelta:
    if not timedelta(0) < length <= LONGEST:
        raise InvalidError("it would end at once" if length <= timedelta(0) else "longer than a year", "for example 4h")
    return length


def _checked_reason(by: By, *, needed: bool = False) -> str:
    if len(by.reason) > MOST_REASON:
        raise InvalidError(f"the reason is longer than {MOST_REASON} characters", "shorten it")
    if needed and not by.reason.strip():
        raise InvalidError("a reason is needed", "say why")
    return by.reason.strip()
