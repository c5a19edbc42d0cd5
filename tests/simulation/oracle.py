"""What is promised, and whether it is kept: at every message, at every act, and when everything is well again."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tests.simulation.world import TOKEN, Act, Told, by_group

if TYPE_CHECKING:
    from tests.simulation.story import Story

#: What may be read from nothing that leaves the daemon.
SECRETS: Final = (TOKEN, "a-secret-path")
#: The price of a token in the currency of the budgets.
PRICE: Final = Decimal("0.000001")


class Oracle:
    """Knows what was spent to the token, and holds every word and act against it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.failures: list[str] = []

    def fail(self, promise: str, what: str) -> None:
        """A promise that was not kept."""
        self.failures.append(f"{self.story.loop.now:%d %H:%M:%S} {promise}: {what}")

    def raise_failures(self) -> None:
        """End the story at the first promise that was not kept."""
        if self.failures:
            raise AssertionError(self.failures[0])

    def hear(self, told: Told) -> None:
        """A message that arrived is true when it is read."""
        event = told.event
        gateway = self.story.gateway
        if any(secret in str(event) for secret in SECRETS):
            self.fail("no secret leaves", str(event.get("event")))
        spent, budget = event.get("spent"), event.get("budget")
        if spent is None or not budget:
            return
        if event.get("event") not in {"threshold", "summary", "recovered"}:
            return
        alias = (event.get("scope") or {}).get("key")
        if budget == "keys" and alias is not None and alias not in gateway.keys:
            self.fail("no message names what is not there", str(alias))
            return
        truth = Decimal(gateway.truth(alias) if budget == "keys" and alias else gateway.everything())
        said = Decimal(str(spent))
        if budget == "all":
            truth *= PRICE
        if said > truth:
            self.fail("a figure is never too high", f"{budget} {alias or ''} {said}, truly {truth}")
        if event.get("basis") == "actual":
            share = Decimal(str(event["level"]))
            reached = truth / Decimal(str(event["amount"])) * 100
            if reached < share:
                self.fail("no threshold is announced before it is passed", f"{share} %: {reached:.2f} %")

    def see_act(self, act: Act) -> None:
        """A key is turned off only for a reason that holds now, and never twice."""
        if act.by == "a person":
            return
        earlier = [one for one in self.story.provider.acts[:-1] if one.alias == act.alias]
        if self.story.plan.mode != "auto":
            self.fail("nothing acts that nobody approved", f"{act.what} {act.alias}")
        if act.what == "block":
            self._see_block(act, earlier)
        elif not earlier or earlier[-1].by == "a person":
            self.fail("only what alertd turned off is turned on", act.alias)

    def _see_block(self, act: Act, earlier: list[Act]) -> None:
        key = self.story.gateway.keys[act.alias]
        used = self.story.gateway.truth(act.alias)
        over = used >= self.story.plan.of_a_key
        ran = key.ran_away_until is not None and self.story.loop.now - key.ran_away_until < timedelta(hours=1)
        if not (over or ran):
            self.fail("nothing is turned off without a reason", f"{act.alias} used {used}, rate {key.rate}")
        if earlier and earlier[-1].what == "block" and not self.story.network.injected:
            self.fail("nothing is turned off twice", act.alias)

    async def look_at_the_end(self) -> None:
        """After hours of peace everything agrees: ledger, messages, pages, replicas."""
        story = self.story
        held = self._ledger()
        truth = {alias: story.gateway.truth(alias) for alias in story.gateway.keys}
        for alias, quantity in held.items():
            if quantity > truth.get(alias, 0):
                self.fail("the ledger is never too high", f"{alias}: {quantity}, truly {truth.get(alias, 0)}")
        if not story.happened["gateway restarts"] and not story.happened["both restart at once"]:
            rates = sum(key.rate for key in story.gateway.keys.values())
            late = Decimal(str(rates)) * 400
            if sum(truth.values()) - sum(held.values()) > late:
                self.fail("nothing is lost", f"{sum(held.values())} of {sum(truth.values())}")
        self._look_at_announcements(held)
        views = [await replica.app.ask("/api/v1/budgets") for replica in story.replicas if replica.app is not None]
        if not views:
            self.fail("a daemon runs", "none does")
        waiting = story.disk.connection.rows("SELECT COUNT(*) FROM outbox WHERE done_at IS NULL")[0][0]
        if waiting:
            self.fail("every message arrives", f"{waiting} wait after hours of peace")

    def _look_at_announcements(self, held: dict[str, int]) -> None:
        story, plan = self.story, self.story.plan
        told = story.receivers.told
        total = sum(held.values()) * PRICE
        due = {("all", "{}", level) for level in (10, 25, 50, 80, 100, 150, 200)
               if total >= Decimal(plan.amount) * level / 100}  # fmt: skip
        due |= {("keys", f'{{"key": "{alias}"}}', level) for alias, used in held.items() for level in (50, 100)
                if used * 100 >= plan.of_a_key * level}  # fmt: skip
        actual = [one for one in told if one.event.get("basis") == "actual" and one.event.get("event") == "threshold"]
        groups = by_group(actual, "budget", "scope", "levels")
        for receiver in ("hook", "second"):
            announced = [(one.event["budget"], json.dumps(one.event["scope"], sort_keys=True), int(level))
                         for one in actual if one.receiver == receiver for level in one.event["levels"]]  # fmt: skip
            for missing in due - set(announced):
                if not self._summed_up(receiver):
                    self.fail("what is due is announced", f"{receiver}: {missing}")
        for group, each in groups.items():
            if len({one.event["id"] for one in each}) > 1:
                self.fail("nothing is announced under two ids", f"{group}")

    def _summed_up(self, receiver: str) -> bool:
        """A first summary says what was passed before alertd first looked."""
        return any(one.event.get("event") == "summary" and one.receiver == receiver
                   for one in self.story.receivers.told)  # fmt: skip

    def look_at_log(self, lines: list[str]) -> None:
        """No secret and no surprise in the log."""
        for line in lines:
            if any(secret in line for secret in SECRETS):
                self.failures.append(f"no secret is logged: {line[:100]}")
            if "failed unexpectedly" in line or "Traceback" in line or "broke over a message" in line:
                self.failures.append(f"nothing unexpected is logged: {line[:3000]}")

    def _ledger(self) -> dict[str, int]:
        """What the ledger holds by key, in tokens."""
        rows = self.story.disk.connection.rows(
            "SELECT json_extract(s.labels, '$.key'), SUM(u.quantity)"
            " FROM usage u JOIN series s ON s.id = u.series GROUP BY 1"
        )
        return {str(alias): int(quantity) for alias, quantity in rows}
