"""The daemon in a world of accidents, seed by seed. A seed that once failed stays here, with its story.

`python -m tests.simulation --seconds 3600` goes on with further seeds; `--seed 7` tells one.
"""

from __future__ import annotations

import pytest

from tests.simulation.story import play

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    ("seed", "hours"),
    [
        (10, 1.5),  # a round that was cut at the end of a daemon left a traceback in the log
        (101, 1),
        (103, 1),
        (105, 1),
    ],
)
def test_a_story_of_accidents_breaks_no_promise(seed: int, hours: float) -> None:
    outcome = play(seed, hours)
    assert outcome.failures == [], "\n".join(outcome.log)
    assert outcome.ticks > 0


def test_one_seed_is_one_story() -> None:
    first = play(102, hours=0.5)
    assert first.told > 0
    assert first.trace == play(102, hours=0.5).trace


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(200, 260))
def test_a_day_of_accidents_breaks_no_promise(seed: int) -> None:
    outcome = play(seed, hours=12)
    assert outcome.failures == [], "\n".join(outcome.log)
