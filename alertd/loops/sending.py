"""Send one message to one notifier within a time limit, under a lease that is renewed meanwhile. Records nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from alertd.core.delivery import Failure
from alertd.ports import Clock, DeliveryError, Notifier, OutboxRow, Receipt, Store, StoreError

log = logging.getLogger(__name__)

#: A lease is renewed after this part of it: a critical one, which is half as long, after a third.
_RENEWED_AFTER: Final = 1 / 6
#: How long a send that was cut may take to end.
_CUT_SECONDS: Final = 1.0
_LOST: Final = datetime.min.replace(tzinfo=UTC)


class Sending:
    """One claimed row on its way. Notifiers ask `is_leased` right before they post, by `Delivery.require_lease`."""

    def __init__(self, store: Store, clock: Clock, notifier: Notifier, row: OutboxRow, lease: timedelta) -> None:
        self._store, self._clock, self._notifier, self._row, self._lease = store, clock, notifier, row, lease
        self._leased_until = row.lease_until

    def is_leased(self) -> bool:
        """Whether the row is still this process's; not after a pause beyond the lease."""
        return self._clock.now() < self._leased_until

    async def run(self, bound: timedelta) -> Receipt | Failure:
        """What the notifier made of it; after `bound` it is cut, and may have arrived.

        A notifier that breaks costs this message a try, and no other message anything.
        """
        name = self._notifier.name
        sending = asyncio.ensure_future(self._notifier.send(replace(self._row.delivery, is_leased=self.is_leased)))
        left, step = bound, self._lease * _RENEWED_AFTER
        try:
            while left > timedelta():
                if (await asyncio.wait({sending}, timeout=min(step, left).total_seconds()))[0]:
                    break
                left -= step
                await self._renew()
        finally:
            is_cut = sending.cancel()  # False where it has ended
        if is_cut:
            await asyncio.wait({sending}, timeout=_CUT_SECONDS)
            return Failure(f"{name}: no answer within {bound.total_seconds():g} s", uncertain=True)
        if sending.cancelled():
            return Failure(f"{name}: the notifier ended its own send", uncertain=True, unexpected=True)
        match sending.exception():
            case None:
                return sending.result()
            case DeliveryError() as error:
                return Failure(str(error), error.permanent, error.uncertain, retry_after=error.retry_after)
            case error:
                log.error("%s broke over a message", name, exc_info=error)
                return Failure(f"{name}: {type(error).__name__}", uncertain=True, unexpected=True)

    async def _renew(self) -> None:
        try:
            self._leased_until = await self._store.renew(self._row, self._clock.now(), self._lease) or _LOST
        except StoreError as error:  # the send goes on, and is recorded if the database is back by then
            log.info("%s: a lease was not renewed: %s", self._notifier.name, error)
