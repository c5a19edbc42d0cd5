"""What belongs to one conversation: a budget's alerts of a period do, what has no price does not."""

from __future__ import annotations

from alertd.core.judgement.routing import conversation
from tests.servers.deliveries import sample
from tests.world import World, budget


def test_the_alerts_of_a_budget_scope_and_period_are_one_conversation() -> None:
    told = {conversation(sample(kind)) for kind in ("actual", "forecast", "burn_rate", "over", "recovered", "proposed")}
    assert len(told) == 1


def test_what_has_no_price_is_a_conversation_of_its_own() -> None:
    assert conversation(sample("unpriced", budget="research")) != conversation(sample("forecast"))


def test_the_end_of_a_forecast_says_with_which_severity_it_fired() -> None:
    world = World(budget(thresholds=["forecast 100%"]))
    ended = []
    for day in range(28):
        world.spend(30 if day < 8 else 0.1)
        ended += [alert.event for alert in world.tick() if alert.event.kind == "recovered"]
        world.pass_time(hours=24)
    assert {event.details["fired"] for event in ended} == {"warning"}
