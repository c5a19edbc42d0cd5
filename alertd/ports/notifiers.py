"""The protocol of a notifier: send a message or raise DeliveryError; some also update messages or receive answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from alertd.core.evaluation.interactions import Interaction
from alertd.core.events import Event


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one send carries: an idempotency key that is the same on every try, and the events (one for machines).

    `conversation` names what belongs together (a budget, scope and period): a thread of mails or of a chat.
    `memory` is what an earlier delivery of this conversation left (a Slack `ts`, a first Message-ID).
    """

    key: str
    notifier: str
    conversation: str
    events: tuple[Event, ...]
    attempt: int = 1
    #: An earlier try may have arrived: look before sending again where the channel can.
    uncertain: bool = False
    memory: Mapping[str, str] = field(default_factory=dict)
    #: Whether this process still holds the message; after a pause another replica may have taken it over.
    is_leased: Callable[[], bool] = field(default=lambda: True, repr=False, compare=False)

    def require_lease(self) -> None:
        """Call right before posting. DeliveryError if another replica has taken over the message."""
        if not self.is_leased():
            raise DeliveryError(f"{self.notifier}: not posted: the lease ran out, another replica may have taken over")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receiver's answer as text, and values to remember for the conversation's next delivery."""

    said: str
    memory: Mapping[str, str] = field(default_factory=dict)


class DeliveryError(Exception):
    """A message that was not accepted: what happened, and what the outbox should do next. Holds no secret.

    `permanent`: trying again cannot help. `uncertain`: it may have arrived all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        retry_after: timedelta | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after
        self.uncertain = uncertain


@runtime_checkable
class Notifier(Protocol):
    """How a message leaves. `people` are channels that people read (grouping); else one event a delivery.

    `address` names where an event would go (a channel, the recipients): what goes to one address may be one message.
    """

    name: str
    people: bool

    def address(self, event: Event) -> str: ...

    async def send(self, delivery: Delivery) -> Receipt: ...

    async def look(self) -> str: ...

    async def close(self) -> None: ...


@runtime_checkable
class ShowsLiveMessages(Protocol):
    """A notifier that keeps one message a conversation up to date.

    `refresh` shows how things stand (a summary of the summary "live") where `memory` says that there is such a
    message, and gives what to remember instead. Doing it twice shows the same. Raises DeliveryError.
    """

    async def refresh(self, event: Event, memory: Mapping[str, str]) -> Mapping[str, str]: ...


#: Gives what is to be shown to the person who used a button.
Take = Callable[[Interaction], Awaitable[str]]
#: Gives the live status of every budget and scope that a question names, or the reason why there is no answer.
Ask = Callable[[str], Awaitable[Sequence[Event] | str]]


@runtime_checkable
class ReceivesInteractions(Protocol):
    """A notifier under whose messages people press buttons, and which they may ask.

    `listen` passes on the interactions and questions of permitted people, answers each with the result, and ends only
    by being cancelled: an outage is waited out.
    """

    async def listen(self, take: Take, ask: Ask) -> None: ...
