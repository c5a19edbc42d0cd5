"""Route alerts to notifiers: one message per conversation, grouped for people. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final

from alertd.core.budgets import Budget, scope_text
from alertd.core.evaluation.amounts import override_of
from alertd.core.evaluation.event_builder import event_id
from alertd.core.evaluation.values import Alert
from alertd.core.events import Event
from alertd.core.periods import QuietHours

#: What parts the recipients of an address.
RECIPIENTS: Final = ", "


@dataclass(frozen=True, slots=True)
class Receiver:
    """A notifier as the router sees it: whether people read it, and where an event would go (a channel's name)."""

    name: str
    people: bool
    address: Callable[[Event], str]


@dataclass(frozen=True, slots=True)
class RoutedMessage:
    """What one notifier is to say at one address: one event for machines, one or more for people."""

    key: str
    notifier: str
    conversation: str
    events: tuple[Event, ...]
    not_before: datetime | None = None


def route(
    alerts: Iterable[Alert],
    budgets: Mapping[str, Budget],
    receivers: Mapping[str, Receiver],
    quiet_until: datetime | None = None,
) -> tuple[RoutedMessage, ...]:
    """The messages of one evaluation. People get one message an address for what passes together.

    Until the end of quiet hours people get only what is critical; the rest waits for the morning.
    """
    single: list[RoutedMessage] = []
    together: dict[tuple[str, str], list[tuple[Event, str]]] = {}
    for alert in alerts:
        for name in _names(alert, budgets, receivers):
            receiver = receivers[name]
            if receiver.people and _is_notified_of_lower_scopes(alert.event, name, budgets, receivers):
                continue
            if receiver.people:
                pair = (alert.event, receiver.address(alert.event))
                together.setdefault((name, _sort(alert.event)), []).append(pair)
            else:
                single.append(RoutedMessage(alert.event.id, name, conversation(alert.event), (alert.event,)))
    grouped = (_grouped(name, events) for (name, _), pairs in together.items() for events in _by_recipient(pairs))
    return (*single, *(_held(message, quiet_until) for message in grouped))


def _is_notified_of_lower_scopes(
    event: Event, name: str, budgets: Mapping[str, Budget], receivers: Mapping[str, Receiver]
) -> bool:
    """Whether a notifier gets, at the same address, the alerts of the scopes that explain this one."""
    for one in event.announced_by:
        budget = budgets.get(one.budget)
        if budget is None:
            return False
        override = override_of(budget, one.scope)
        theirs = replace(event, budget=one.budget, scope=one.scope, channel=override.channel or budget.channel)
        if name not in _names(Alert((), theirs), budgets, receivers):
            return False
        if receivers[name].address(theirs) != receivers[name].address(event):
            return False
    return bool(event.announced_by)


def quiet_until(quiet: QuietHours | None, zone: tzinfo, now: datetime) -> datetime | None:
    """When the quiet hours that hold now end; None outside of them."""
    local = now.astimezone(zone)
    if quiet is None or local.time() not in quiet:
        return None
    end = local.replace(hour=quiet.end.hour, minute=quiet.end.minute, second=0, microsecond=0)
    return (end if end > local else end + timedelta(days=1)).astimezone(now.tzinfo)


def conversation(event: Event) -> str:
    """What belongs together: a budget, scope and period; else the source or the kind.

    What has no price is announced apart, though a budget's figures come with it: it is about the price book.
    """
    if not event.budget or event.kind == "unpriced":
        return f"{event.kind}/{event.source}"
    start = "" if event.period_start is None or event.window is not None else event.period_start.isoformat()
    return f"{event.budget}/{scope_text(event.scope)}/{start}"


def _held(message: RoutedMessage, quiet_until: datetime | None) -> RoutedMessage:
    critical = any(event.severity == "critical" for event in message.events)
    return message if critical or quiet_until is None else replace(message, not_before=quiet_until)


def _by_recipient(pairs: Sequence[tuple[Event, str]]) -> list[list[Event]]:
    """The events of each message: a recipient gets one, whatever lists they are on; the same events go out once.

    Where that is not the address of the events themselves, the events say `to`.
    """
    own: dict[str, list[int]] = {}
    for number, (_, address) in enumerate(pairs):
        for recipient in address.split(RECIPIENTS):
            own.setdefault(recipient, []).append(number)
    shared: dict[tuple[int, ...], list[str]] = {}
    for recipient, numbers in own.items():
        shared.setdefault(tuple(numbers), []).append(recipient)
    found = []
    for places, recipients in shared.items():
        to = RECIPIENTS.join(recipients)
        apart = any(pairs[number][1] != to for number in places)
        events = [pairs[number][0] for number in places]
        found.append([replace(one, to=to) for one in events] if apart else events)
    return found


def _grouped(name: str, events: Sequence[Event]) -> RoutedMessage:
    if len(events) == 1:
        return RoutedMessage(events[0].id, name, conversation(events[0]), (events[0],))
    key = event_id("+".join(sorted(event.id for event in events)))
    same = {conversation(event) for event in events}
    return RoutedMessage(key, name, same.pop() if len(same) == 1 else f"group/{key}", tuple(events))


def _sort(event: Event) -> str:
    """What may stand in one message: thresholds with thresholds, summaries with summaries; the rest alone."""
    if event.kind in {"threshold", "recovered"} and event.budget:
        return "thresholds" if event.basis != "burn_rate" else event.id
    return event.summary if event.kind == "summary" else event.id


def _names(alert: Alert, budgets: Mapping[str, Budget], receivers: Mapping[str, Receiver]) -> list[str]:
    """The notifiers of an alert: those its budget names for its severity, all where it names none."""
    event = alert.event
    if alert.to:
        return [name for name in alert.to if name in receivers]
    budget = budgets.get(event.budget)
    named: Sequence[str] | None = None
    if budget is not None:
        override = budget.table.get(tuple(value or "" for _, value in event.scope)) if event.scope else None
        notify = override.notify if override is not None and override.notify is not None else budget.notify
        named = notify.get(event.severity)
    wanted = receivers if named is None else [name for name in named if name in receivers]
    return [name for name in wanted if _is_notified(receivers[name], alert, budget)]


def _is_notified(receiver: Receiver, alert: Alert, budget: Budget | None) -> bool:
    """Machines get everything; people no level crossed on track, unless the budget lists its thresholds itself."""
    if not receiver.people:
        return alert.audience != "people"
    if alert.audience == "machines":
        return False
    event = alert.event
    crossed_on_track = event.kind == "threshold" and event.severity == "info"
    return not crossed_on_track or budget is None or budget.listed
