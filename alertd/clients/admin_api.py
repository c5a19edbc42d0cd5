"""Conversations that change something at a provider: its problems become RevokerErrors, without secrets.

A timeout or a fault of the server after a change may mean that it was carried out: `uncertain`. 409 is a state that
passes. What a provider shows of itself is read field by field, like a bill.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from alertd.clients.http import Access, Http
from alertd.clients.http_response import ERROR_CODES, Answer, HttpProblem
from alertd.clients.json_fields import Fields, every_page, last_id
from alertd.core.messages.rich_text import clean
from alertd.plugin_options import RevokerOptions
from alertd.ports import Done, Observed, RevokerError, SourceError, Target

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
#: Methods that change something: without an answer, nobody knows whether they did.
_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
#: Where providers write their own id of a request.
_REQUEST_IDS: Final = ("request-id", "x-request-id", "x-litellm-call-id", "x-acs-request-id", "cf-ray")
_MEGABYTE: Final = 1 << 20
_SAID: Final = 300
_SHOWN: Final = 80
#: What is kept of a state to write it back: its bytes as JSON, its objects inside one another.
_STATE_BYTES: Final = 1 << 14
_STATE_DEPTH: Final = 8
_STATE_DIGITS: Final = 300
#: The most pages of a list, and no page twice.
MOST_PAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class AdminAnswer:
    """A provider's answer: its object (empty without one) and its id of the request; `found` is False for a 404."""

    fields: Fields
    request: str = ""
    found: bool = True
    #: As they came, for what is signed.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def done(self, taken: str = "taken", effect: str = "") -> Done:
        """What a change came to: `taken` and when it takes effect, or that there was nothing to change any more."""
        return Done(taken, self.request, effect) if self.found else Done("it is gone", self.request)


class AdminApi:
    """One provider's interface for keys."""

    def __init__(
        self,
        name: str,
        options: RevokerOptions,
        *,
        bearer: str = "",
        headers: Mapping[str, str] | None = None,
        secret_path: bool = False,
    ) -> None:
        self.name = name
        self._http = Http(
            Access(
                proxy=options.proxy,
                ca_file=options.ca_file,
                timeout=options.timeout,
                bearer=bearer,
                headers=headers or {},
                secret_path=secret_path,
                error_fields=() if secret_path else ERROR_CODES,
            )
        )

    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 8 * _MEGABYTE,
        plain: bool = False,
        changing: bool | None = None,
    ) -> AdminAnswer:
        """What the provider answers; a 404 is an answer, too. RevokerError for everything else.

        `plain`: a success may also be no JSON at all (but no web page: that is a login in front of it). `changing`:
        whether it may change something; None: by the method.
        """
        try:
            answer = await self._http.send(
                method, url, params=params, data=data, content=content, headers=headers, limit=limit,
                allowed=frozenset({_NOT_FOUND}),
            )  # fmt: skip
        except HttpProblem as problem:
            raise self.error(problem, changing=method in _CHANGING if changing is None else changing) from problem
        return AdminAnswer(
            self._read(answer, method, plain=plain), _request_of(answer), answer.status != _NOT_FOUND,
            answer.headers, answer.body,
        )  # fmt: skip

    async def rows(self, url: str, limit: int, after: str) -> list[Fields]:
        """Every object of a list in pages; `after` is how the page behind the last id is asked for."""

        async def ask(last: str) -> Fields:
            params = {"limit": str(limit), **({after: last} if last else {})}
            return (await self.ask("GET", url, params=params)).fields

        return [row async for page in every_page(ask, last_id, self.name, MOST_PAGES) for row in page.items("data")]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def refused(self, what: str, *, permanent: bool = True, uncertain: bool = False) -> RevokerError:
        """A RevokerError in this provider's name."""
        return RevokerError(f"{self.name}: {clean(what, _SAID)}", permanent=permanent, uncertain=uncertain)

    def error(self, problem: HttpProblem, *, changing: bool) -> RevokerError:
        """What an HTTP problem means for a key; `changing`: the request may have changed something all the same."""
        return RevokerError(
            f"{self.name}: {clean(str(problem), _SAID)}",
            permanent=problem.permanent and problem.status != _CONFLICT,
            uncertain=problem.uncertain and changing,
            retry_after=problem.retry_after,
        )

    def _read(self, answer: Answer, method: str, *, plain: bool) -> Fields:
        other = plain and not answer.is_html() and answer.body.lstrip()[:1] != b"{"
        if answer.status == _NOT_FOUND or not answer.body.strip() or other:
            return Fields({}, self.name)
        try:
            return Fields(answer.json(), self.name)
        except SourceError as error:
            raise RevokerError(f"{self.name}: {error}", uncertain=method in _CHANGING) from error


def one_of_name(api: AdminApi, options: RevokerOptions, value: str, found: Iterable[Target]) -> Target:
    """The one target that carries the usage's value as the label it came from. RevokerError where that is doubtful.

    TARGETS names an id (or a name) itself, and settles whose it is. Else a name is looked up as a name and an id as an
    id, as FOUND_BY or the label's name says; a value that is one key's id and another key's name, or two keys' name,
    stops neither.
    """
    wanted, known = options.targets.get(value, value), list({(one.id, one.name): one for one in found}.values())
    target = _one_of(api, options, value, wanted, known)
    if clean(target.id) != target.id or {"", ".", ".."} & set(target.id.split("/")):
        raise api.refused(f"{wanted!r} has an id that no key can have: {target.id!r}")
    return replace(target, groups={}) if value in options.targets else target


def _one_of(api: AdminApi, options: RevokerOptions, value: str, wanted: str, known: list[Target]) -> Target:
    by_id = [one for one in known if wanted in {one.id, one.id.partition("/")[2]}]
    if value in options.targets and len(by_id) == 1:
        return by_id[0]
    by_name = [one for one in known if one.name == wanted]
    folded = [one for one in known if _folded(one.name) == _folded(wanted)]
    others = [one for one in folded if one not in by_id]
    if by_id and others:
        raise api.refused(
            f"{wanted!r} is the id of one key ({by_id[0].name or 'without a name'}) and the name of another "
            f"({others[0].id}): neither is touched; say which in `targets`"
        )
    same = by_id if options.looks_up() == "id" else by_name or [one for one in by_id if not one.name]
    if not same and by_id:
        raise api.refused(
            f"no key is called {wanted!r}; one with that id is called {by_id[0].name!r}, so usage of it would carry "
            "that name: it is not touched; say which in `targets`, or FOUND_BY=id where the label holds ids"
        )
    if not same and by_name:
        raise api.refused(f"no key has the id {wanted!r}, only the name; set FOUND_BY=name where the label holds names")
    if not same:
        raise api.refused(f"there is no key {wanted!r}; name its id in `targets`")
    if len(same) > 1 or (same == by_name and len(folded) > 1):
        several = same if len(same) > 1 else folded
        ids = ", ".join(one.id for one in several[:4])
        raise api.refused(f"{len(several)} keys are called {wanted!r} ({ids}); say which in `targets`")
    return same[0]


def _folded(text: str) -> str:
    """A name as people read it: letter case, spaces and invisible characters make no other name."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in plain if character.isprintable() and not character.isspace())


def observed_of(fields: Fields, place: str, *, present: bool = True) -> Observed:
    """The state that a hook or a command reports, with the details that the approver sees."""
    impact = {name: clean(fields.text(name), _SHOWN) for name in ("owner", "team", "last_used")}
    return Observed(
        fields.flag("acted"),
        plain_state(fields.value("state"), f"{place}.state"),
        clean(fields.text("said"), _SAID),
        present=present,
        impact={name: value for name, value in impact.items() if value},
        changed_at=fields.text("changed_at"),
        changed_by=fields.text("changed_by"),
    )


def plain_state(value: object, place: str) -> dict[str, object]:
    """What a hook or a command gives as state: any JSON object, kept as it came and bounded. SourceError otherwise."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SourceError(f"{place} is not an object of names and values")
    found = {str(name): _plain(one, place, 1) for name, one in value.items()}
    if len(json.dumps(found)) > _STATE_BYTES:
        raise SourceError(f"{place} is larger than {_STATE_BYTES:,} bytes as JSON")
    return found


def _plain(value: object, place: str, depth: int) -> object:
    if depth > _STATE_DEPTH:
        raise SourceError(f"{place} has more than {_STATE_DEPTH} objects inside one another")
    if isinstance(value, Mapping):
        return {str(name): _plain(one, place, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, place, depth + 1) for one in value]
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        value = Decimal(value)
        if not value.is_finite() or value.adjusted() > _STATE_DIGITS:
            raise SourceError(f"{place} has a number of more than {_STATE_DIGITS} digits")
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def json_number(text: str | None) -> int | float | None:
    """An amount as a JSON number; None stays None."""
    if text is None:
        return None
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def number_text(fields: Fields, name: str) -> str | None:
    """An amount as normalised text, 2.5 for 2.50; None if it is missing."""
    return f"{fields.number(name).normalize():f}" if name in fields else None


def _request_of(answer: Answer) -> str:
    return next((clean(answer.headers[name], 80) for name in _REQUEST_IDS if name in answer.headers), "")
