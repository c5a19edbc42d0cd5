"""The daemon in a world of accidents, seed by seed. A seed that once failed stays here, with its story.

`python -m tests.simulation --seconds 3600` goes on with further seeds; `--seed 7` tells one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import alertd
from tests.databases import schema
from tests.simulation.coverage import wanted
from tests.simulation.plan import THEMES
from tests.simulation.put_back import FAULTS, Fault
from tests.simulation.shrink import tell
from tests.simulation.story import play

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def kept() -> Iterator[Callable[[int, float], None]]:
    """Play a story where sets have one fixed order, in one process for all: it is the same one wherever it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "0")
        with ProcessPoolExecutor(1, get_context("spawn")) as process:

            def play_there(seed: int, hours: float) -> None:
                outcome = process.submit(play, seed, hours).result()
                assert outcome.failures == [], tell(outcome)
                assert outcome.ticks > 0

            yield play_there


@pytest.mark.parametrize("seed", [2, 6, 9])
def test_a_story_of_accidents_breaks_no_promise(seed: int, kept: Callable[[int, float], None]) -> None:
    kept(seed, 0.4)


def test_every_change_that_a_story_visits_is_one_that_is_looked_for() -> None:
    outcome = play(2, hours=0.4)
    assert outcome.ticks > 0
    assert set(outcome.pairs) <= wanted()


@pytest.mark.parametrize(
    ("seed", "hours"),
    [
        # A source was read between the reading of the ledger and that of its watermark: figures were said to be newer.
        (3, 0.8),
        # A restart under clocks that differ by minutes is not counted, which is said: no promise is broken.
        (7, 0.6),
        # A stop that could not reach its provider was tried again though its budget had been raised meanwhile.
        (10, 0.8),
        # A message that was written a tenth of a second before the last look was under way: the oracle was wrong.
        (206, 1.5),
        # A stop that a guard held back, of which nothing had been asked, was half done: the oracle was wrong.
        (304, 0.7),
        # What a person turned on and off again was turned on: the simulated provider did not show who changed it.
        (2015, 0.8),
    ],
)
def test_a_story_that_once_broke_a_promise_breaks_none(
    seed: int, hours: float, kept: Callable[[int, float], None]
) -> None:
    kept(seed, hours)


def test_one_seed_is_one_story() -> None:
    first = play(3, hours=0.25)
    assert first.told > 0
    assert first.trace == play(3, hours=0.25).trace


def test_a_story_that_takes_too_long_is_a_failure_that_says_where() -> None:
    told = play(3, hours=0.25, seconds=0.05).failures
    assert "a story ends: it hangs: 0.05 s of processor time were not enough; in " in told[0]


def test_what_happens_is_the_same_when_something_else_is_left_out() -> None:
    whole, part = play(3, hours=0.2), play(3, hours=0.2, only=frozenset({1}))
    assert [one for one in whole.happenings if one.number == 1] == list(part.happenings)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_mended_fault_that_can_be_put_back_is_one_line_of_its_file(fault: Fault) -> None:
    assert fault.theme in THEMES
    assert (Path(alertd.__file__).parent / fault.file).read_text().count(fault.mended) == 1


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [*range(200, 230), *range(1000, 1015), *range(2000, 2015)])
def test_hours_of_accidents_break_no_promise(seed: int, kept: Callable[[int, float], None]) -> None:
    kept(seed, 1.5)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(300, 307))
def test_a_story_on_a_real_postgresql_breaks_no_promise(seed: int, postgres_url: str) -> None:
    with schema(postgres_url) as url:
        outcome = play(seed, hours=0.7, url=url)
    assert outcome.failures == [], tell(outcome)
    assert outcome.told > 0
