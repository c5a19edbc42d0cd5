"""Deliveries of sample events, and what became of one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from alertd.core.events import Event
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.ports import Delivery, DeliveryError, Notifier, Receipt


def now() -> Any:
    return NOW


def sample(kind: str = "forecast", **changes: Any) -> Event:
    return replace(SAMPLES[kind](NOW)[0], **changes)


def delivery(*events: Event, **changes: Any) -> Delivery:
    told = events or (sample(),)
    given: dict[str, Any] = {"key": told[0].id, "notifier": "ops", "conversation": "research/2026-11", "events": told}
    return Delivery(**{**given, **changes})


def outcome(notifier: Notifier, *deliveries: Delivery) -> Receipt | DeliveryError:
    """The receipt of the last delivery, or the first error; the notifier is closed afterwards."""

    async def all_of_them() -> Receipt | DeliveryError:
        receipt = Receipt("nothing was sent")
        try:
            for one in deliveries or (delivery(),):
                receipt = await notifier.send(one)
        except DeliveryError as error:
            return error
        finally:
            await notifier.close()
            await asyncio.sleep(0)  # a connection that failed in its handshake closes on the loop's next turn
        return receipt

    return asyncio.run(all_of_them())


def refusals(notifier: Notifier, count: int) -> list[DeliveryError]:
    """The errors of `count` deliveries in turn, of which none may be taken."""

    async def all_of_them() -> list[DeliveryError]:
        errors: list[DeliveryError] = []
        for _ in range(count):
            try:
                errors.append(DeliveryError(f"it was taken: {await notifier.send(delivery())}"))
            except DeliveryError as error:
                errors.append(error)
        await notifier.close()
        return errors

    return asyncio.run(all_of_them())


def receipt(notifier: Notifier, *deliveries: Delivery) -> Receipt:
    found = outcome(notifier, *deliveries)
    assert isinstance(found, Receipt), found
    return found


def refusal(notifier: Notifier, *deliveries: Delivery) -> DeliveryError:
    found = outcome(notifier, *deliveries)
    assert isinstance(found, DeliveryError), found
    return found


def seen(notifier: Notifier) -> str | DeliveryError:
    """What `look` says."""

    async def look() -> str | DeliveryError:
        try:
            return await notifier.look()
        except DeliveryError as error:
            return error
        finally:
            await notifier.close()

    return asyncio.run(look())
