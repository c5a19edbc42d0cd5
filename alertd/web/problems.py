"""Errors of the API and the page, as RFC 9457 problem details: what is wrong and what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from alertd.operations.values import (
    BusyError,
    ChangedError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OperationError,
    UnreachableError,
)

#: The status of each refusal.
_STATUS: Final[dict[type[OperationError], int]] = {
    NotFoundError: 404,
    InvalidError: 422,
    ConflictError: 409,
    ForbiddenError: 403,
    ChangedError: 412,
    BusyError: 503,
    UnreachableError: 502,
}


def problem(status: int, said: str, headers: dict[str, str] | None = None) -> Response:
    """An answer of `application/problem+json`."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": said}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def status_of(error: OperationError) -> int:
    """The HTTP status of a refused operation."""
    return _STATUS.get(type(error), 400)


def unknown_path(request: Request, error: Exception) -> Response:
    """What the router refuses: a path that is not there, or a method that it does not have."""
    status: Any = getattr(error, "status_code", 404)
    said = f"{request.method} is not for this path" if status == HTTPStatus.METHOD_NOT_ALLOWED else "no such page"
    return problem(status, said, dict(getattr(error, "headers", None) or {}))
