"""May this be spent? Answered from memory: no question waits for the database, and none changes anything but counts.

GET /api/v1/allowance        JSON, 200 for yes and no
GET /api/v1/allowance/check  the same for proxies that know only a status: 200, or 429 (or 403, where asked for)
... /api/v1/allowance/check/...  as Envoy asks: by any method, with the guarded path appended, labels in headers
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from alertd.core.budgets import Amount
from alertd.core.evaluation.allowance import AllowanceDecision, AllowanceIndex, BudgetAllowance, newest_statuses
from alertd.ports import Clock
from alertd.web.answers import decimal_text, instant_text
from alertd.web.identity import ALLOWANCE_CHECK_PATH, ALLOWANCE_PATH
from alertd.web.problems import problem
from alertd.web.view import AllowanceCounts, View

PATHS: Final = frozenset({ALLOWANCE_PATH, ALLOWANCE_CHECK_PATH})
#: Below it is the path of the request that a proxy asks about.
_GUARDED: Final = f"{ALLOWANCE_CHECK_PATH}/"
#: For how long a caller may go by an answer, and by the last one while alertd does not answer, in seconds.
_MAX_AGE: Final = 10
_STALE_IF_ERROR: Final = 300
#: When to ask again where a no may end at any evaluation, in seconds.
_SOON: Final = 300
_MOST_LABELS: Final = 16
_LONGEST: Final = 256
#: Questions whose answers are kept until the next evaluation.
_MOST_KEPT: Final = 4096
_LABEL_HEADER: Final = "x-alertd-"
_REFUSALS: Final = {"403": 403, "429": 429}
_CACHING: Final = f"private, max-age={_MAX_AGE}, stale-if-error={_STALE_IF_ERROR}"


class Against(msgspec.Struct, frozen=True):
    """A budget that says no, or warns."""

    budget: str
    scope: dict[str, str | None]
    warning: bool
    reason: str
    until: str


class Unasked(msgspec.Struct, frozen=True):
    """A budget that may cover the spending, and the labels that the question lacks."""

    budget: str
    labels: tuple[str, ...]


class AllowanceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer as JSON. `age_seconds` is how long ago the budgets were evaluated; money is text."""

    allow: bool = True
    warning: bool = False
    reason: str
    budget: str | None = None
    scope: dict[str, str | None] = {}
    status: str | None = None
    amount: str | None = None
    spent: str | None = None
    left: str | None = None
    currency: str | None = None
    probability_over: float | None = None
    until: str | None = None
    retry_after: int | None = None
    data_until: str | None = None
    evaluated_at: str | None = None
    age_seconds: int | None = None
    against: tuple[Against, ...] = ()
    unasked: tuple[Unasked, ...] = ()


def of_proxy(scope: Scope) -> Scope:
    """The request; of a proxy that appends what it guards to the address (Envoy) as a question by its headers alone."""
    if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
        return scope
    path = {"path": ALLOWANCE_CHECK_PATH, "raw_path": ALLOWANCE_CHECK_PATH.encode()}
    return {**scope, **path, "method": "GET", "query_string": b""}


class QuestionError(ValueError):
    """A question that cannot be read, and what to write instead."""


@dataclass(frozen=True, slots=True)
class _CachedAnswer:
    """The answer to a question with what does not depend on the moment of asking."""

    answer: AllowanceDecision
    json: AllowanceAnswer
    etag: str


@dataclass(slots=True)
class Allowance:
    """The two endpoints as one ASGI application, and the list of what was refused.

    `current` gives the index over the newest evaluation and the budgets in force: the same one until either changes.
    """

    clock: Clock
    current: Callable[[], AllowanceIndex]
    counts: AllowanceCounts
    _index: AllowanceIndex | None = None
    _kept: dict[object, _CachedAnswer] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_check = scope["path"] == ALLOWANCE_CHECK_PATH
        try:
            response = self.checked(Request(scope)) if is_check else self.asked(scope)
        except QuestionError as error:
            response = problem(400, str(error))
        await response(scope, receive, send)

    def asked(self, scope: Scope) -> Response:
        """200 with the answer; 304 where the caller has it."""
        query = scope["query_string"]
        kept = self._answered(query, lambda: _question(_pairs(query)))
        headers = {"etag": kept.etag, "cache-control": _CACHING, "vary": "Authorization"}
        now = self._count(kept)
        answer = _at(kept, now)
        if answer.retry_after is not None and not answer.allow:
            headers["retry-after"] = str(answer.retry_after)
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"").decode("latin-1")
        if kept.etag in known:
            return Response(None, 304, headers)
        return Response(msgspec.json.encode(answer), 200, headers, "application/json")

    def checked(self, request: Request) -> Response:
        """200 without a body, or the refusal, for proxies; labels also from X-Alertd-... headers."""
        pairs = _pairs(request.scope["query_string"])
        refusal = [value for name, value in pairs if name == "refuse_status"] or ["429"]
        if len(refusal) > 1 or refusal[0] not in _REFUSALS:
            raise QuestionError("refuse_status: 429, or 403 for nginx")
        pairs = [one for one in pairs if one[0] != "refuse_status"]
        pairs += [(n.removeprefix(_LABEL_HEADER), v) for n, v in request.headers.items() if n.startswith(_LABEL_HEADER)]
        kept = self._answered(tuple(pairs), lambda: _question(pairs))
        now = self._count(kept)
        if kept.answer.allow:
            return Response(None, 200)
        answer = _at(kept, now)
        headers = {"retry-after": str(answer.retry_after), "x-should-retry": "false"}
        return problem(_REFUSALS[refusal[0]], answer.reason, headers)

    def denials(self, started: datetime) -> dict[str, Any]:
        """What was refused or warned about since the start, the latest first."""
        found = reversed(self.counts.denials.values())
        return {
            "version": 1,
            "since": instant_text(started),
            "denials": [
                {
                    "budget": one.budget,
                    "scope": dict(one.scope),
                    "warning": one.warned,
                    "count": one.count,
                    "first": instant_text(one.first),
                    "last": instant_text(one.last),
                    "reason": one.reason,
                }
                for one in found
            ],
        }

    def _count(self, kept: _CachedAnswer) -> datetime:
        now = self.clock.now()
        self.counts.add(kept.answer.deciding, now)
        return now

    def _answered(self, key: object, question: Any) -> _CachedAnswer:
        """The answer to a question, kept until the next evaluation."""
        now, index = self.clock.now(), self.current()
        holds = index.holds_until
        may_keep = holds is not None and now < holds
        if index is not self._index or not may_keep:
            self._index = index
            self._kept.clear()
        kept = self._kept.get(key)
        if kept is None:
            labels, estimate = question()
            kept = _kept(index.answer(labels, estimate, now), index.evaluated_at)
            if may_keep:
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = kept
        return kept


@dataclass(slots=True)
class CurrentIndex:
    """The index over the newest evaluation and the budgets in force, made anew when either has changed."""

    view: View
    _index: AllowanceIndex | None = None
    _of: tuple[object, object, datetime | None] | None = None

    def __call__(self) -> AllowanceIndex:
        standings, budgets = self.view.standings(), self.view.budgets()
        known, at = self._of, standings.evaluated_at
        if (
            self._index is None
            or known is None
            or known[0] is not standings.statuses
            or known[1] is not budgets
            or known[2] != at
        ):
            scopes = newest_statuses(standings.statuses)
            self._index = AllowanceIndex(budgets, scopes, at, self.view.evaluation_lasts)
            self._of = standings.statuses, budgets, at
        return self._index


def _pairs(query: bytes) -> list[tuple[str, str]]:
    most = _MOST_LABELS + 2
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=most, errors="strict")
    except ValueError:
        raise QuestionError(f"not readable; write ?team=a&model=b, at most {_MOST_LABELS} labels") from None


def _question(pairs: list[tuple[str, str]]) -> tuple[Mapping[str, str], Amount | None]:
    labels: dict[str, str] = {}
    for name, value in pairs:
        if name in labels:
            raise QuestionError(f"a label is given once; this one came twice: {name[:40]!r}")
        if not name or len(name) > _LONGEST or len(value) > _LONGEST:
            raise QuestionError(f"a label and its value have at most {_LONGEST} characters")
        labels[name] = value
    written = labels.pop("estimate", None)
    if len(labels) > _MOST_LABELS:
        raise QuestionError(f"at most {_MOST_LABELS} labels")
    try:
        return labels, None if written is None else Amount.parse(written)
    except ValueError:
        raise QuestionError("estimate: write it as 0.40 USD, or 5k tokens") from None


def _kept(answer: AllowanceDecision, evaluated_at: datetime | None) -> _CachedAnswer:
    found = _json(answer, evaluated_at)
    digest = hashlib.blake2b(msgspec.json.encode(found), digest_size=12).hexdigest()
    return _CachedAnswer(answer, found, f'W/"{digest}"')


def _json(answer: AllowanceDecision, evaluated_at: datetime | None) -> AllowanceAnswer:
    deciding = answer.deciding
    against = tuple(
        Against(one.budget.name, dict(one.scope), one.warned, one.reason, instant_text(one.until) or "")
        for one in answer.against
    )
    unasked = tuple(Unasked(*one) for one in answer.unasked)
    evaluated = instant_text(evaluated_at)
    if deciding is None:
        alone = " alone; see unasked" if unasked else ""
        reason = f"no budget covers these labels{alone}"
        return AllowanceAnswer(reason=reason, evaluated_at=evaluated, unasked=unasked)
    return AllowanceAnswer(
        allow=not deciding.refused,
        warning=deciding.warned,
        reason=deciding.reason,
        budget=deciding.budget.name,
        scope=dict(deciding.scope),
        status=deciding.status,
        amount=decimal_text(deciding.amount.value),
        spent=decimal_text(deciding.spent),
        left=decimal_text(deciding.left),
        currency=deciding.amount.unit,
        probability_over=_rounded(deciding),
        until=instant_text(deciding.until),
        data_until=instant_text(deciding.data_until),
        evaluated_at=evaluated,
        against=against,
        unasked=unasked,
    )


def _rounded(deciding: BudgetAllowance) -> float | None:
    return None if deciding.probability_over is None else round(deciding.probability_over, 4)


def _at(kept: _CachedAnswer, now: datetime) -> AllowanceAnswer:
    """The answer with its age now, and for how long a no holds."""
    deciding, found = kept.answer.deciding, kept.json
    wait = age = None
    if found.evaluated_at is not None:
        age = max(0, int((now - datetime.fromisoformat(found.evaluated_at)).total_seconds()))
    if deciding is not None and deciding.refused:
        until = max(1, ceil((deciding.until - now).total_seconds()))
        wait = until if deciding.left == 0 else min(until, _SOON)
    return msgspec.structs.replace(found, age_seconds=age, retry_after=wait)
