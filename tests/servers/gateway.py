"""A gateway of one counter behind a token, for daemons that run for real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from tests.servers.billing import Asked, Reply, Server, serving


class Gateway:
    """A page of one counter, behind a token that may change; `tokens` is what it shows."""

    def __init__(self) -> None:
        self.tokens = 1_000_000
        self.token = "first"
        self.well = True
        #: What every look at the page adds: live traffic.
        self.step = 0
        #: While it is clear, whoever asks waits for the answer; `waiting` tells that somebody does.
        self.open, self.waiting = Event(), Event()
        self.open.set()

    def answer(self, asked: Asked) -> Reply:
        if not self.open.is_set():
            self.waiting.set()
            self.open.wait(300)
        if asked.headers.get("authorization") != f"Bearer {self.token}" or not self.well:
            return Reply("no", 401)
        self.tokens += self.step
        lines = f'vllm:prompt_tokens_total{{model_name="m"}} {self.tokens}\nprocess_start_time_seconds 1\n'
        return Reply(lines, headers={"Content-Type": "text/plain; version=0.0.4"})


@contextmanager
def serving_gateway() -> Iterator[tuple[Gateway, Server]]:
    gateway = Gateway()
    with serving(gateway.answer) as server:
        yield gateway, server
