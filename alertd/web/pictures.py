"""The pictures of messages, at signed addresses: chat servers fetch them without a session."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alertd.clients.png import png
from alertd.core.addresses import PICTURES, event_of
from alertd.core.charts.message_chart import story

#: A picture never changes; who fetches it may keep it.
_KEPT: Final = {"cache-control": "public, max-age=31536000, immutable"}


class Pictures:
    """Draws what a signed address holds. `key` is b"" where no token is set: then nothing is served."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def routes(self) -> list[Route]:
        """One route."""
        return [Route(f"{PICTURES}{{name}}", self.picture)]

    async def picture(self, request: Request) -> Response:
        """A PNG of 1,000 by 500; 404 for whatever alertd did not sign."""
        event = event_of(request.path_params["name"], self._key)
        drawn = b"" if event is None else await asyncio.to_thread(lambda: png(story(event, event.at)))
        if not drawn:
            return Response("no such picture", 404, media_type="text/plain")
        return Response(drawn, media_type="image/png", headers=_KEPT)
