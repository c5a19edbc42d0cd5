"""The requests that change something, for machines (JSON) and for people (forms): one table, one way through.

role (access) -> own site -> fields -> alertd.operations -> JSON, or back to the page
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from alertd.core.budgets import Scope, parse_duration
from alertd.operations.changes import MOST_REASON, Operations
from alertd.operations.proposals import accept, decline, propose
from alertd.operations.stored_budgets import ReadBudget, check_labels, delete_budget, put_budget
from alertd.operations.values import (
    By,
    ChangedError,
    ChangeOutcome,
    ConflictError,
    ForbiddenError,
    InvalidError,
    OperationError,
)
from alertd.ports import StoreError
from alertd.web.access import MOST_BODY_BYTES, address_of, own_path, person_of
from alertd.web.problems import problem, status_of

_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_LENGTH: Final = re.compile(r"[1-9][0-9]{0,3}[smhdw]")
_NUMBER: Final = re.compile(r"[0-9]{1,8}")
#: The page's form that stores a budget, and where it is sent.
BUDGET_FORM: Final = "/settings/budget"
#: What a page says after a form was taken, by what was done.
DONE: Final[Mapping[str, str]] = {
    "acknowledge": "Acknowledged: no reminders follow.",
    "snooze": "Snoozed: no messages about it until then.",
    "silence": "Silenced: its alerts are held back until then.",
    "end_silence": "The silence has ended.",
    "raise": "Raised until the end of the period; its thresholds are armed again.",
    "top_up": "Entered: what is left is worked out anew within seconds.",
    "remove_top_up": "Taken back: what is left is worked out anew within seconds.",
    "approve": "Approved: it is carried out within seconds, where its reason still holds.",
    "refuse": "Refused: nothing is done.",
    "restore": "It is being undone.",
    "pause": "All actions are paused.",
    "resume": "Actions continue.",
    "test": "A sample message was sent.",
    "propose": "It waits for a person.",
    "accept": "Accepted, and done.",
    "put_budget": "Stored: it is evaluated within seconds.",
    "delete_budget": "Deleted: what it announced stays.",
    "decline": "Refused: nothing was changed.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to change something: what the path names, the fields, who asks, and what they saw (`If-Match`)."""

    operations: Operations
    path: Mapping[str, str]
    fields: Mapping[str, Any]
    by: By
    seen: str = ""
    is_editor: bool = False
    #: What an editor is bound to.
    labels: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str, *, needed: bool = False) -> str:
        value = self.fields.get(name, "")
        if not isinstance(value, str) or (needed and not value.strip()):
            raise InvalidError(f"{name} is {'needed' if not value else 'not text'}", f'for example {{"{name}": "..."}}')
        return value.strip()

    def length(self) -> timedelta:
        given = self.text("for", needed=True)
        try:
            if _LENGTH.fullmatch(given):
                return parse_duration(given)
        except ValueError as error:
            raise InvalidError(f"for: {error}", "for example 4h") from error
        raise InvalidError("for: no duration", "write it as 30m, 4h or 1d")


Change = Callable[[Asked], Awaitable[ChangeOutcome]]


async def _acknowledge(asked: Asked) -> ChangeOutcome:
    return await asked.operations.acknowledge(asked.path["id"], asked.by)


async def _snooze(asked: Asked) -> ChangeOutcome:
    return await asked.operations.snooze(asked.path["id"], asked.length(), asked.by)


async def _silence(asked: Asked) -> ChangeOutcome:
    given = asked.fields.get("where", {})
    if isinstance(given, str):
        given = _decoded(given.encode())
    try:
        where = msgspec.convert(given, dict[str, str | list[str]])
    except msgspec.ValidationError as error:
        raise InvalidError(f"where: {error}", 'for example {"where": {"team": "research"}}') from error
    patterns = {label: [one] if isinstance(one, str) else one for label, one in where.items()}
    if not patterns:
        raise InvalidError("where is needed", 'for example {"where": {"team": "research"}}')
    return await asked.operations.silence(patterns, asked.length(), asked.by)


async def _end_silence(asked: Asked) -> ChangeOutcome:
    return await asked.operations.end_silence(asked.path["id"], asked.by)


async def _raise(asked: Asked) -> ChangeOutcome:
    scope = _scope(asked.fields.get("scope", {}))
    _check_own(asked)
    amount, periods = asked.text("amount", needed=True), asked.fields.get("periods", 1)
    if not isinstance(periods, int) or isinstance(periods, bool):
        raise InvalidError("periods is no number", "write it as 3")
    name = asked.path["name"]
    return await asked.operations.raise_amount(name, scope, amount, asked.by, seen=asked.seen, periods=periods)


async def _top_up(asked: Asked) -> ChangeOutcome:
    _check_own(asked)
    left, day, identity = asked.fields.get("left", False), asked.text("day"), asked.text("id")
    left = {"": False, "true": True}.get(left, left) if isinstance(left, str) else left  # a form has only text
    if not isinstance(left, bool):
        raise InvalidError("left is neither true nor false", "leave it out for a payment")
    amount, name = asked.text("amount", needed=True), asked.path["name"]
    return await asked.operations.top_up(name, amount, asked.by, day=day, left=left, identity=identity)


async def _remove_top_up(asked: Asked) -> ChangeOutcome:
    _check_own(asked)
    return await asked.operations.remove_top_up(asked.path["name"], asked.path["id"], asked.by)


def _check_own(asked: Asked) -> None:
    """Whether an editor who is bound to labels may change this budget. ForbiddenError."""
    if asked.labels and (budget := asked.operations.budgets().get(asked.path["name"])) is not None:
        check_labels(budget, asked.labels)


async def _approve(asked: Asked) -> ChangeOutcome:
    await _may_answer(asked)
    return await asked.operations.approve(asked.path["id"], asked.by, seen=_step(asked.seen))


async def _refuse(asked: Asked) -> ChangeOutcome:
    return await asked.operations.refuse(asked.path["id"], asked.by, seen=_step(asked.seen))


async def _restore(asked: Asked) -> ChangeOutcome:
    await _may_answer(asked)
    return await asked.operations.restore(asked.path["id"], asked.by, seen=_step(asked.seen))


async def _pause(asked: Asked) -> ChangeOutcome:
    return await asked.operations.pause(asked.by)


async def _resume(asked: Asked) -> ChangeOutcome:
    return await asked.operations.resume(asked.by)


async def _test(asked: Asked) -> ChangeOutcome:
    return await asked.operations.test(asked.path["name"], asked.by)


async def _propose(asked: Asked) -> ChangeOutcome:
    fields = asked.fields.get("fields", {})
    if not isinstance(fields, dict):
        raise InvalidError("fields is no JSON object", 'for example {"budget": "research", "amount": "600 USD"}')
    return await propose(asked.operations, asked.text("what", needed=True), fields, asked.by)


async def _accept(asked: Asked) -> ChangeOutcome:
    return await accept(asked.operations, asked.path["id"], asked.by, may="editor" if asked.is_editor else "responder")


async def _decline(asked: Asked) -> ChangeOutcome:
    return await decline(asked.operations, asked.path["id"], asked.by)


async def _put_budget(asked: Asked) -> ChangeOutcome:
    """The name is in the path, or typed into the page's form with a line for each setting."""
    typed = "name" not in asked.path
    try:
        given = settings_of_form(asked.fields) if typed else msgspec.convert(
            asked.fields.get("settings", {}), dict[str, str]
        )  # fmt: skip
    except msgspec.ValidationError as error:
        raise InvalidError(f"settings: {error}", 'for example {"settings": {"amount": "500 USD"}}') from error
    except ValueError as error:
        raise InvalidError(str(error)) from error
    name, read = asked.text("name", needed=True) if typed else asked.path["name"], _reader(asked)
    return await put_budget(asked.operations, read, name, given, asked.by, labels=asked.labels, seen=asked.seen)


def settings_of_form(fields: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a form holds, as text; what is empty is left out. ValueError where a line cannot be read."""
    found = {key[4:]: str(value).strip() for key, value in fields.items() if key.startswith("set-")}
    thresholds = [line.strip() for line in str(fields.get("thresholds", "")).splitlines() if line.strip()]
    found["thresholds"] = json.dumps(thresholds) if thresholds else ""
    for line in filter(str.strip, str(fields.get("other", "")).splitlines()):
        key, sign, value = line.partition("=")
        if not sign:
            raise ValueError(f"{line.strip()[:40]!r} of the other settings has no =: write it as start_day=15")
        found[key.strip().lower()] = value.strip()
    return {key: value for key, value in found.items() if value}


async def _delete_budget(asked: Asked) -> ChangeOutcome:
    name, read = asked.path["name"], _reader(asked)
    return await delete_budget(asked.operations, read, name, asked.by, labels=asked.labels, seen=asked.seen)


def _reader(asked: Asked) -> ReadBudget:
    if asked.operations.read_budget is None:
        raise ConflictError("no budgets are stored here", "change the configuration")
    return asked.operations.read_budget


@dataclass(frozen=True, slots=True)
class Write:
    """One change: its path below /api/v1 and below the page, who may ask for it, and the function."""

    path: str
    role: str
    change: Change
    method: str = "POST"
    #: The page's form has this path where it is not that of the API.
    form: str = ""
    #: Whether an editor who is bound to labels may ask, because the function looks at them.
    bounded: bool = False
    #: Whether only a person may ask, no agent: it answers what waits for one, or undoes what one decided.
    by_person: bool = False

    @property
    def form_path(self) -> str:
        """The path of the page's form."""
        return self.form or self.path


#: Every change, in the order in which the documentation has them.
WRITES: Final = (
    Write("/alerts/{id}/acknowledge", "responder", _acknowledge),
    Write("/alerts/{id}/snooze", "responder", _snooze),
    Write("/silences", "responder", _silence),
    Write("/silences/{id}", "responder", _end_silence, method="DELETE", form="/silences/{id}/end"),
    Write("/budgets/{name}/raise", "editor", _raise, bounded=True),
    Write("/budgets/{name}/top-ups", "editor", _top_up, bounded=True),
    Write(
        "/budgets/{name}/top-ups/{id}",
        "editor",
        _remove_top_up,
        method="DELETE",
        form="/budgets/{name}/top-ups/{id}/remove",
        bounded=True,
    ),
    Write("/budgets/{name}", "editor", _put_budget, method="PUT", form=BUDGET_FORM, bounded=True),
    Write("/budgets/{name}", "editor", _delete_budget, method="DELETE", form="/budgets/{name}/delete", bounded=True),
    Write("/actions/pause", "responder", _pause),
    Write("/actions/resume", "editor", _resume, by_person=True),
    Write("/actions/{id}/approve", "responder", _approve, by_person=True),
    Write("/actions/{id}/refuse", "responder", _refuse),
    Write("/actions/{id}/restore", "responder", _restore, by_person=True),
    Write("/notifiers/{name}/test", "responder", _test),
    Write("/proposals", "responder", _propose),
    Write("/proposals/{id}/accept", "responder", _accept, by_person=True),
    Write("/proposals/{id}/refuse", "responder", _decline),
)


def roles_to_write(path: str) -> Mapping[str, str]:
    """The methods by which something can be changed at a path, and the role that each takes."""
    return {method: role for method, pattern, role in _PATTERNS if pattern.fullmatch(path)}


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", path))


_PATTERNS: Final = [
    *((write.method, _pattern(f"/api/v1{write.path}"), write.role) for write in WRITES),
    *(("POST", _pattern(write.form_path), write.role) for write in WRITES),
]


def routes(operations: Operations | None, fault_page: Callable[[Request, int, str], Response]) -> list[Route]:
    """The routes of all changes. `fault_page` shows people why a form was refused."""
    found = []
    for write in WRITES:
        found.append(Route(f"/api/v1{write.path}", _Endpoint(write, operations, None), methods=[write.method]))
        found.append(Route(write.form_path, _Endpoint(write, operations, fault_page), methods=["POST"]))
    return found


class _Endpoint:
    """One change over HTTP: as JSON, or as a form where `fault_page` is given."""

    def __init__(
        self,
        write: Write,
        operations: Operations | None,
        fault_page: Callable[[Request, int, str], Response] | None,
    ) -> None:
        self._write, self._operations, self._fault_page = write, operations, fault_page

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            if self._operations is None:
                return self._refused(request, 503, "nothing can be changed here")
            if person_of(request).labels and self._write.role == "editor" and not self._write.bounded:
                raise ForbiddenError("you may change budgets of your labels only", "ask an editor without labels")
            if person_of(request).agent and self._write.by_person:
                raise ForbiddenError("a person answers this, not an agent", "propose it: POST /api/v1/proposals")
            body = await read_body(request)
            if body is None:
                return self._refused(request, 413, f"a body is at most {MOST_BODY_BYTES} bytes")
            fields = request.state.fields = self._fields(body)
            asked = self._asked(request, body, fields, self._operations)
            outcome = await self._write.change(asked)
        except OperationError as error:
            return self._refused(request, status_of(error), str(error))
        except StoreError:
            return self._refused(request, 503, "the database does not answer; nothing was done")
        if self._fault_page is None:
            return JSONResponse(msgspec.to_builtins(outcome))
        back = own_path(str(fields.get("back", "")))
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}done={outcome.what}", 303)

    def _fields(self, body: bytes) -> Mapping[str, Any]:
        if self._fault_page is not None:
            return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        found = _decoded(body) if body else {}
        if not isinstance(found, dict):
            raise InvalidError("the body is no JSON object", 'for example {"reason": "load test"}')
        return found

    def _asked(self, request: Request, body: bytes, fields: Mapping[str, Any], operations: Operations) -> Asked:
        person, key = person_of(request), request.headers.get("idempotency-key", "")
        if key and not _KEY.fullmatch(key):
            raise InvalidError("Idempotency-Key: at most 200 visible ASCII characters", "send a UUID")
        reason = fields.get("reason", "")
        if not isinstance(reason, str) or len(reason) > MOST_REASON:
            raise InvalidError(f"reason: text of at most {MOST_REASON} characters", "shorten it")
        whole = f"{request.method} {request.scope['path']}\n".encode() + body
        by = By(
            person.name, "api" if self._fault_page is None else "page", address_of(request), reason, key,
            hashlib.sha256(whole).hexdigest(),
        )  # fmt: skip
        seen = request.headers.get("if-match", "").strip().removeprefix("W/").strip('"')
        if self._fault_page is not None:
            seen = str(fields.get("seen", ""))
        return Asked(operations, request.path_params, fields, by, "" if seen == "*" else seen,
                     person.may("editor") and not person.labels, dict(person.labels))  # fmt: skip

    def _refused(self, request: Request, status: int, said: str) -> Response:
        return problem(status, said) if self._fault_page is None else self._fault_page(request, status, said)


async def read_body(request: Request) -> bytes | None:
    """The body; None where it is larger than it may be, whatever its header says."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            return None
    return body


async def _may_answer(asked: Asked) -> None:
    """A responder may approve and restore only where the action's approvers name them."""
    if asked.is_editor:
        return
    approvers = await asked.operations.approvers(asked.path["id"])
    if asked.by.name.removeprefix("@").lower() not in {one.removeprefix("@").lower() for one in approvers}:
        raise ForbiddenError("a responder answers only where APPROVERS names them", "ask an editor")


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidError("the body is no JSON", 'for example {"reason": "load test"}') from error


def _scope(given: object) -> Scope:
    """A scope as JSON (`{"team": "a"}`, null for usage without the label) or as the page's forms have it."""
    if isinstance(given, str):
        given = _decoded(given.encode()) if given else {}
    try:
        found = msgspec.convert(given, dict[str, str | None])
    except msgspec.ValidationError as error:
        raise InvalidError(f"scope: {error}", 'for example {"scope": {"team": "research"}}') from error
    return tuple(found.items())


def _step(seen: str) -> int | None:
    if not seen:
        return None
    if not _NUMBER.fullmatch(seen):
        raise ChangedError("If-Match: the number of the action's steps", "read the action again")
    return int(seen)
