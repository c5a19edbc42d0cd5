"""Small real servers of providers' interfaces for keys, written from their references; a test makes the trouble."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.util import find_spec
from typing import Any, ClassVar
from urllib.parse import parse_qs

from tests.servers.billing import Asked, Reply, Server, serving

NAME = "rag-indexer"
#: When it was used last, as it is shown to people.
USED = "2026-11-21T10:00:00+00:00"


class Provider:
    """One provider. `troubles` happen to its next writes, one each; `state` is what a write changes."""

    kind: ClassVar[str]
    operation: ClassVar[str]
    #: How many requests one act is.
    moves: ClassVar[int] = 1
    reversible: ClassVar[bool] = True
    options: ClassVar[dict[str, Any]] = {}
    state: dict[str, Any]
    stopped: ClassVar[dict[str, Any]]
    #: The field that tells when the settings were changed last, where there is one.
    changes: ClassVar[str] = ""
    #: What it tells of a key to the person who approves.
    tells: ClassVar[dict[str, str]] = {"name": NAME, "owner": "user_ana"}

    def __init__(self) -> None:
        self.state = deepcopy(self.first())
        self.there = True
        self.by_people = 0
        self.troubles: deque[str] = deque()
        self.written: list[Asked] = []
        self.over = threading.Event()

    def first(self) -> dict[str, Any]:
        raise NotImplementedError

    def error(self, status: int) -> Reply:
        return Reply({"error": {"message": f"status {status}", "type": "an_error", "code": str(status)}}, status)

    def missing(self) -> Reply:
        return self.error(404)

    def allowed(self, asked: Asked) -> bool:
        return asked.headers.get("authorization") == "Bearer acting-token"

    def answer(self, asked: Asked) -> Reply:
        raise NotImplementedError

    def reads(self, asked: Asked) -> bool:
        """Whether a request only reads."""
        return asked.method == "GET"

    def changed(self) -> dict[str, Any]:
        """The field of the last change, if any: one more with every write, and with every change by a person."""
        return {self.changes: f"2026-11-21T10:{len(self.written) + self.by_people:02}:00Z"} if self.changes else {}

    def write(self, asked: Asked, **values: Any) -> None:
        self.written.append(asked)
        self.state |= values

    def __call__(self, asked: Asked) -> Reply:
        if not self.allowed(asked):
            return self.error(401)
        if self.reads(asked) or not self.troubles:
            return self.answer(asked)
        return self._troubled(self.troubles.popleft(), asked)

    def _troubled(self, trouble: str, asked: Asked) -> Reply:
        if trouble == "gone":
            self.there = False
            return self.missing()
        if trouble in {"403", "409", "429", "503"}:
            said = self.error(int(trouble))
            return Reply(said.body, said.status, {"Retry-After": "7"} if trouble == "429" else {})
        reply = self.answer(asked)
        if trouble == "500 though done":
            return self.error(500)
        if trouble == "no answer though done":
            self.over.wait(60)
        return reply

    @contextmanager
    def serve(self) -> Iterator[Server]:
        with serving(self) as server:
            try:
                yield server
            finally:
                self.over.set()


class Anthropic(Provider):
    tells: ClassVar = {"name": NAME, "owner": "user_ana", "workspace": "wrkspc_01"}
    kind, operation, stopped = "anthropic", "disable", {"status": "inactive"}

    def first(self) -> dict[str, Any]:
        return {"status": "active"}

    def error(self, status: int) -> Reply:
        return Reply({"type": "error", "error": {"type": "an_error", "message": "no"}, "request_id": "req_e"}, status)

    def allowed(self, asked: Asked) -> bool:
        return (asked.headers.get("x-api-key"), asked.headers.get("anthropic-version")) == (
            "acting-token",
            "2023-06-01",
        )

    def key(self) -> dict[str, Any]:
        return {"id": "apikey_01", "type": "api_key", "name": NAME, "partial_key_hint": "sk-ant-api03-R2D...igAA",
                "workspace_id": "wrkspc_01", "created_by": {"id": "user_ana", "type": "user"},
                "created_at": "2026-01-01T00:00:00Z", **self.state}  # fmt: skip

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/v1/organizations/api_keys":
            other = {**self.key(), "id": "apikey_02", "name": "web"}
            page = [self.key()] if self.there else []
            if asked.one("after_id"):
                return Reply({"data": [other], "first_id": "apikey_02", "last_id": "apikey_02", "has_more": False})
            return Reply({"data": page, "last_id": "apikey_01", "has_more": True})
        if asked.path != "/v1/organizations/api_keys/apikey_01" or not self.there:
            return self.missing()
        if asked.method == "POST":
            assert json.loads(asked.body)["status"] in {"active", "inactive", "archived"}
            self.write(asked, **json.loads(asked.body))
        return Reply(self.key(), headers={"request-id": "req_011"})


class AnthropicArchive(Anthropic):
    operation, stopped, reversible = "archive", {"status": "archived"}, False


class AnthropicLimit(Anthropic):
    """A workspace of 500.00 USD a month; beside it a limit a day and one of another scope, which stay."""

    tells: ClassVar = {"name": NAME}
    operation, stopped = "spend_limit", {"limit": {"amount": "1"}}

    def first(self) -> dict[str, Any]:
        return {"limit": {"amount": "50000"}}

    def rows(self) -> list[dict[str, Any]]:
        more = {"type": "spend_limit", "currency": "USD", "is_enabled": True}
        scope = {"type": "workspace", "workspace_id": "wrkspc_01"}
        organization = {"type": "organization"}
        found = [
            {"id": "spl_0", "amount": "5", "period": "daily", "scope": scope, **more},
            {"id": "spl_9", "amount": "7", "period": "monthly", "scope": organization, **more},
        ]
        if self.state["limit"] is not None:
            found.append({"id": "spl_1", **self.state["limit"], "period": "monthly", "scope": scope, **more})
        return found

    def answer(self, asked: Asked) -> Reply:
        path = asked.path.removeprefix("/v1/organizations/")
        workspace = {"id": "wrkspc_01", "type": "workspace", "name": NAME}
        if path == "workspaces":
            rows = [workspace] if self.there else []
            return Reply({"data": rows, "first_id": "wrkspc_01", "last_id": "wrkspc_01", "has_more": False})
        if not self.there:
            return self.missing()
        if path == "workspaces/wrkspc_01":
            return Reply(workspace)
        if asked.method == "GET" and path == "spend_limits":
            assert asked.headers["anthropic-beta"] == "spend-limit-reads-2026-09-26"
            assert asked.one("workspace_id") == "wrkspc_01"
            return Reply({"data": self.rows(), "next_page": None}, headers={"request-id": "req_012"})
        if asked.method == "DELETE" and path == "spend_limits/spl_1" and self.state["limit"]:
            self.write(asked, limit=None)
            return Reply({"id": "spl_1", "type": "spend_limit_deleted"})
        assert (asked.method, path) == ("POST", "spend_limits")
        body = json.loads(asked.body)
        assert (body["scope"], body["period"]) == ({"type": "workspace", "workspace_id": "wrkspc_01"}, "monthly")
        assert body["amount"] is None or body["amount"].isdigit()
        self.write(asked, limit={"amount": body["amount"]})
        return Reply(self.rows()[-1], headers={"request-id": "req_013"})


class AnthropicWithoutLimit(AnthropicLimit):
    def first(self) -> dict[str, Any]:
        return {"limit": None}


class AnthropicOpenLimit(AnthropicLimit):
    """Somebody wrote that this workspace has no limit: null is written back."""

    def first(self) -> dict[str, Any]:
        return {"limit": {"amount": None}}


class OpenRouter(Provider):
    changes = "updated_at"
    tells: ClassVar = {"name": NAME, "owner": "user_ana", "last_used": USED}
    kind, operation, stopped = "openrouter", "disable", {"disabled": True}

    def first(self) -> dict[str, Any]:
        return {"disabled": False, "limit": 100, "limit_reset": "monthly"}

    def key(self) -> dict[str, Any]:
        return {"hash": "f01d52", "label": "sk-or-v1-0e6...1c96", "name": NAME, "usage_daily": 1.25,
                "last_used_at": "2026-11-21T10:00:00Z", "creator_user_id": "user_ana", **self.changed(),
                **self.state}  # fmt: skip

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/keys":
            return Reply({"data": [self.key()] if self.there else []})
        if asked.path != "/keys/f01d52" or not self.there:
            return self.missing()
        if asked.method == "PATCH":
            body = json.loads(asked.body)
            assert set(body) <= {"disabled", "limit", "limit_reset", "name", "include_byok_in_limit"}
            self.write(asked, **body)
        if asked.method == "DELETE":
            self.write(asked)
            self.there = False
            return Reply({"deleted": True})
        return Reply({"data": self.key()})


class OpenRouterLimit(OpenRouter):
    operation, stopped = "limit", {"limit": 5, "limit_reset": "daily"}
    options: ClassVar = {"limit": "5"}


class OpenRouterDelete(OpenRouter):
    operation, stopped, reversible = "delete", {}, False


class LiteLLM(Provider):
    changes = "settings_updated_at"
    tells: ClassVar = {"name": NAME, "owner": "user_ana", "team": "team-a", "last_used": USED}
    kind, operation, stopped = "litellm", "block", {"blocked": True}
    hashed = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"

    def first(self) -> dict[str, Any]:
        return {"blocked": None, "max_budget": 50.5, "budget_duration": "30d"}

    def answer(self, asked: Asked) -> Reply:
        what = asked.path.removeprefix("/key/")
        if what == "list":
            wanted = asked.one("key_alias")
            keys = [self.hashed] if self.there and wanted in {NAME, ""} else []
            return Reply({"keys": keys, "total_count": len(keys), "current_page": 1, "total_pages": 1})
        body = json.loads(asked.body) if asked.body else {}
        named = asked.one("key") or body.get("key") or (body.get("keys") or [""])[0]
        if named != self.hashed or not self.there:
            return self.missing()
        if what == "info":
            info = {"key_name": "sk-...abcd", "key_alias": NAME, "spend": 3.2, "team_id": "team-a",
                    "user_id": "user_ana", "last_active": "2026-11-21T10:00:00Z",
                    "updated_at": str(len(self.written)), **self.changed(),
                    **self.state}  # fmt: skip
            return Reply({"key": self.hashed, "info": info})
        assert asked.headers["litellm-changed-by"] == "alertd"
        changes = {"block": {"blocked": True}, "unblock": {"blocked": False}, "delete": {}}
        self.write(asked, **changes.get(what, {name: body[name] for name in body if name != "key"}))
        self.there = what != "delete"
        return Reply({"token": self.hashed, **self.state})


class LiteLLMBudget(LiteLLM):
    operation, stopped = "budget", {"max_budget": 2.5, "budget_duration": "1d"}
    options: ClassVar = {"max_budget": "2.5"}


class LiteLLMThrottle(LiteLLM):
    operation, stopped = "throttle", {"rpm_limit": 5, "tpm_limit": 1000}
    options: ClassVar = {"rpm_limit": "5", "tpm_limit": "1000"}

    def first(self) -> dict[str, Any]:
        return {"blocked": None, "rpm_limit": None, "tpm_limit": 200_000}


class LiteLLMCheaper(LiteLLM):
    operation, stopped = "cheaper_model", {"aliases": {"own": "kept", "gpt-5": "gpt-5-mini"}}
    options: ClassVar = {"models": "gpt-5=gpt-5-mini"}

    def first(self) -> dict[str, Any]:
        return {"blocked": None, "aliases": {"own": "kept"}}


class LiteLLMDelete(LiteLLM):
    operation, stopped, reversible = "delete", {}, False


class Alibaba(Provider):
    tells: ClassVar = {"name": NAME, "owner": "user_ana", "workspace": "w / llm-1"}
    kind, operation, stopped = "alibaba", "disable", {"disabled": 1}
    options: ClassVar = {"access_key_id": "LTAI"}

    def first(self) -> dict[str, Any]:
        return {"disabled": 0}

    def error(self, status: int) -> Reply:
        return Reply({"Code": "NoPermission", "Message": "no", "RequestId": "R-1"}, status)

    def allowed(self, asked: Asked) -> bool:
        return "Credential=LTAI,SignedHeaders=" in asked.headers.get("authorization", "")

    def answer(self, asked: Asked) -> Reply:
        done = {"success": True, "code": "OK", "message": "", "httpStatusCode": 200, "requestId": "R-2"}
        if asked.path == "/modelstudio/apikeys":
            assert asked.headers["x-acs-action"] == "ListApiKeys"
            row = {
                "apiKeyId": 4711,
                "apiKeyValue": "sk-****9f",
                "description": NAME,
                "workspaceName": "w",
                "workspaceId": "llm-1",
                "createdBy": "user_ana",
                **self.state,
            }
            here = self.there and asked.one("apiKeyId") in {"", "4711"}
            return Reply({**done, "apiKeys": [row] if here else [], "totalCount": 1})
        if not asked.path.startswith("/modelstudio/apikeys/4711") or not self.there:
            return Reply({"Code": "ApiKey.NotFound", "Message": "no such key", "RequestId": "R-3"}, 404)
        action = asked.headers["x-acs-action"]
        expected = {
            "DisableApiKey": ("PUT", "/disable", 1),
            "EnableApiKey": ("PUT", "/enable", 0),
            "DeleteApiKey": ("DELETE", "4711", 0),
        }
        method, end, disabled = expected[action]
        assert (asked.method, asked.path.endswith(end)) == (method, True)
        self.write(asked, **({} if action == "DeleteApiKey" else {"disabled": disabled}))
        self.there = action != "DeleteApiKey"
        return Reply(done)


class AlibabaDelete(Alibaba):
    operation, stopped, reversible = "delete", {}, False


class OpenAI(Provider):
    tells: ClassVar = {"name": NAME}
    kind, operation, stopped = (
        "openai",
        "spend_limit",
        {"limit": {"threshold_amount": 1, "currency": "USD", "interval": "month"}},
    )

    def first(self) -> dict[str, Any]:
        return {"limit": {"threshold_amount": 50000, "currency": "USD", "interval": "month"}}

    def answer(self, asked: Asked) -> Reply:
        projects = "/organization/projects"
        if asked.path == projects:
            rows = [{"id": "proj_1", "name": NAME if self.operation != "delete" else "p"}] if self.there else []
            return Reply({"object": "list", "data": rows, "has_more": False, "last_id": "proj_1"})
        return self.inside(asked, asked.path.removeprefix(f"{projects}/proj_1/")) if self.there else self.missing()

    def inside(self, asked: Asked, rest: str) -> Reply:
        if rest != "spend_limit":
            return self.missing()
        if asked.method == "POST":
            body = json.loads(asked.body)
            assert set(body) == {"threshold_amount", "currency", "interval"}
            assert isinstance(body["threshold_amount"], int)
            self.write(asked, limit=body)
        if asked.method == "DELETE":
            self.write(asked, limit=None)
        if self.state["limit"] is None:
            return self.missing() if asked.method == "GET" else Reply({"deleted": True})
        return Reply({**self.state["limit"], "enforcement": {"status": "enforcing"}}, headers={"x-request-id": "req_o"})


class OpenAIWithoutLimit(OpenAI):
    def first(self) -> dict[str, Any]:
        return {"limit": None}


class OpenAIRates(OpenAI):
    operation, moves, stopped = "rate_limits", 2, {"gpt-5": 1, "gpt-5-mini": 1}

    def first(self) -> dict[str, Any]:
        return {"gpt-5": 500, "gpt-5-mini": 2000}

    def inside(self, asked: Asked, rest: str) -> Reply:
        room, _, one = rest.partition("/")
        assert room == "rate_limits"
        if asked.method == "GET":
            rows = [{"id": f"rl-{m}", "model": m, "max_requests_per_1_minute": n, "max_tokens_per_1_minute": 10000}
                    for m, n in self.state.items()]  # fmt: skip
            return Reply({"object": "list", "data": rows, "has_more": False, "last_id": "rl-gpt-5-mini"})
        body = json.loads(asked.body)
        self.write(asked, **{one.removeprefix("rl-"): body["max_requests_per_1_minute"]})
        return Reply({"id": one, **body})


class OpenAIModels(OpenAI):
    operation, stopped = "model_permissions", {"mode": "allow_list", "model_ids": ["gpt-5-nano"]}
    options: ClassVar = {"models": ["gpt-5-nano"]}

    def first(self) -> dict[str, Any]:
        return {"mode": "deny_list", "model_ids": ["o1"]}

    def inside(self, asked: Asked, rest: str) -> Reply:
        assert rest == "model_permissions"
        if asked.method == "POST":
            assert set(json.loads(asked.body)) == {"mode", "model_ids"}
            self.write(asked, **json.loads(asked.body))
        return Reply(dict(self.state))


class OpenAIDelete(OpenAI):
    tells: ClassVar = {
        "name": NAME,
        "owner": "user_ana",
        "project": "p / proj_1",
        "last_used": USED,
    }
    operation, stopped, reversible = "delete", {}, False

    def first(self) -> dict[str, Any]:
        return {"here": True}

    def inside(self, asked: Asked, rest: str) -> Reply:
        key = {"object": "organization.project.api_key", "id": "key_1", "name": NAME,
               "redacted_value": "sk-proj-***bc", "last_used_at": 1795255200,
               "owner": {"type": "user", "user": {"id": "u1", "email": "user_ana"}}}  # fmt: skip
        if rest == "api_keys":
            return Reply({"object": "list", "data": [key], "has_more": False, "last_id": "key_1"})
        if rest != "api_keys/key_1":
            return self.missing()
        if asked.method == "DELETE":
            self.write(asked)
            self.there = False
            return Reply({"object": "organization.project.api_key.deleted", "id": "key_1", "deleted": True})
        return Reply(key)


class Scaleway(Provider):
    changes = "updated_at"
    tells: ClassVar = {"name": "llm", "owner": "app-9"}
    kind, operation, stopped = "scaleway", "detach_policy", {"no_principal": True, "application_id": None}
    options: ClassVar = {"access_key": "SCWOWN", "targets": {NAME: "policy-1"}}
    room: ClassVar[str] = "policies/policy-1"

    def first(self) -> dict[str, Any]:
        return {"no_principal": None, "application_id": "app-9"}

    def error(self, status: int) -> Reply:
        return Reply({"message": "no", "type": "permissions_denied"}, status)

    def allowed(self, asked: Asked) -> bool:
        return asked.headers.get("x-auth-token") == "acting-token"

    def answer(self, asked: Asked) -> Reply:
        path = asked.path.removeprefix("/iam/v1alpha1/")
        if path == "api-keys/SCWOWN":
            return Reply({"access_key": "SCWOWN", "application_id": "app-own", "user_id": None})
        if not path.startswith(self.room) or not self.there:
            return self.missing()
        return self.inside(asked, path)

    def inside(self, asked: Asked, path: str) -> Reply:
        if asked.method == "PATCH":
            body = json.loads(asked.body)
            if body.get("no_principal"):
                self.write(asked, no_principal=True, application_id=None)
            else:
                self.write(asked, no_principal=None, **body)
        return Reply({"id": "policy-1", "name": "llm", **self.changed(), **self.state})


class ScalewayLock(Scaleway):
    tells: ClassVar = {"name": "a@example.com"}
    operation, stopped, room = "lock_user", {"locked": True}, "users/user-1"
    options: ClassVar = {"access_key": "SCWOWN", "targets": {NAME: "user-1"}}

    def first(self) -> dict[str, Any]:
        return {"locked": False}

    def inside(self, asked: Asked, path: str) -> Reply:
        if asked.method == "POST":
            assert path in {"users/user-1/lock", "users/user-1/unlock"}
            self.write(asked, locked=path.endswith("/lock"))
        return Reply({"id": "user-1", "email": "a@example.com", **self.changed(), **self.state})


class ScalewayDelete(Scaleway):
    tells: ClassVar = {"id": "SCWX", "owner": "app-9"}
    operation, stopped, room, reversible = "delete", {}, "api-keys/SCWX", False
    options: ClassVar = {"access_key": "SCWOWN", "targets": {NAME: "SCWX"}}

    def first(self) -> dict[str, Any]:
        return {"application_id": "app-9"}

    def inside(self, asked: Asked, path: str) -> Reply:
        if asked.method == "DELETE":
            self.write(asked)
            self.there = False
            return Reply("", 204)
        return Reply({"access_key": "SCWX", **self.state})


class Together(Provider):
    kind, operation, stopped = "together", "stop", {"state": "STOPPED"}

    def first(self) -> dict[str, Any]:
        return {"state": "STARTED"}

    def answer(self, asked: Asked) -> Reply:
        row = {
            "object": "endpoint",
            "id": "endpoint-1",
            "name": NAME,
            "type": "dedicated",
            "owner": "user_ana",
            **self.state,
        }
        if asked.path == "/v1/endpoints":
            assert asked.one("type") == "dedicated"
            return Reply({"object": "list", "data": [row] if self.there else []})
        if asked.path != "/v1/endpoints/endpoint-1" or not self.there:
            return self.missing()
        if asked.method == "PATCH":
            self.write(asked, **json.loads(asked.body))
        return Reply({**row, **self.state})


class TogetherCancel(Together):
    operation, stopped, reversible = "cancel", {"status": "cancel_requested"}, False

    def first(self) -> dict[str, Any]:
        return {"status": "running"}

    def answer(self, asked: Asked) -> Reply:
        row = {"id": "ft-01", "output_name": NAME, "user_id": "user_ana", **self.state}
        if asked.path == "/v1/fine-tunes":
            return Reply({"data": [row] if self.there else []})
        if not self.there:
            return self.missing()
        if asked.path == "/v1/fine-tunes/ft-01/cancel" and asked.method == "POST":
            self.write(asked, status="cancel_requested")
        return Reply({**row, **self.state})


class Bedrock(Provider):
    """IAM's query interface: one address, the operation in a form, answers in XML."""

    tells: ClassVar = {"name": NAME, "last_used": USED}
    policy: ClassVar[str] = "arn:aws:iam::123456789012:policy/BudgetStop"
    kind, operation, stopped = "bedrock", "deny", {"attached": True}
    options: ClassVar = {"access_key_id": "AKIA", "policy_arn": policy}
    who: ClassVar[str] = "arn:aws:iam::123456789012:user/alertd-acting"

    def first(self) -> dict[str, Any]:
        return {"attached": False}

    def error(self, status: int) -> Reply:
        code = {404: "NoSuchEntity", 403: "AccessDenied", 409: "ConcurrentModification", 429: "Throttling"}
        said = (
            f"<Error><Type>Sender</Type><Code>{code.get(status, 'ServiceFailure')}</Code><Message>no</Message></Error>"
        )
        body = f"<ErrorResponse>{said}<RequestId>R-0</RequestId></ErrorResponse>"
        return Reply(body, status, {"Content-Type": "text/xml"})

    def allowed(self, asked: Asked) -> bool:
        return "Credential=AKIA/" in asked.headers.get("authorization", "")

    def form(self, asked: Asked) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}

    def reads(self, asked: Asked) -> bool:
        return self.form(asked)["Action"].startswith(("Get", "List"))

    def xml(self, action: str, inside: str) -> Reply:
        result = f"<{action}Result>{inside}</{action}Result>" if inside else ""
        end = "<ResponseMetadata><RequestId>R-1</RequestId></ResponseMetadata>"
        return Reply(f"<{action}Response>{result}{end}</{action}Response>", 200, {"Content-Type": "text/xml"})

    def answer(self, asked: Asked) -> Reply:
        form = self.form(asked)
        action = form["Action"]
        if action == "GetCallerIdentity":
            return self.xml(action, f"<Arn>{self.who}</Arn><Account>123456789012</Account>")
        return self.principal(asked, action, form)

    def principal(self, asked: Asked, action: str, form: dict[str, str]) -> Reply:
        if not self.there or form.get("RoleName") != NAME:
            return self.missing()
        if action == "GetRole":
            used = f"<RoleLastUsed><LastUsedDate>{USED}</LastUsedDate></RoleLastUsed>"
            return self.xml(
                action, f"<Role><RoleName>{NAME}</RoleName><Arn>arn:aws:iam::1:role/{NAME}</Arn>{used}</Role>"
            )
        if action == "ListAttachedRolePolicies":
            names = ["ReadOnly", *(["BudgetStop"] if self.state["attached"] else [])]
            rows = "".join(
                f"<member><PolicyArn>arn:aws:iam::123456789012:policy/{n}</PolicyArn></member>" for n in names
            )
            shown = f"<AttachedPolicies>{rows}</AttachedPolicies><IsTruncated>false</IsTruncated>"
            if form.get("Marker") != "2":  # the first page holds nothing of interest
                shown = "<AttachedPolicies/><IsTruncated>true</IsTruncated><Marker>2</Marker>"
            return self.xml(action, shown)
        assert form["PolicyArn"] == self.policy
        if action == "DetachRolePolicy" and not self.state["attached"]:
            return self.missing()
        self.write(asked, attached={"AttachRolePolicy": True, "DetachRolePolicy": False}[action])
        return self.xml(action, "")


class BedrockKey(Bedrock):
    tells: ClassVar = {"name": NAME, "owner": NAME}
    operation, stopped = "api_key", {"status": "Inactive"}
    options: ClassVar = {"access_key_id": "AKIA"}

    def first(self) -> dict[str, Any]:
        return {"status": "Active"}

    def principal(self, asked: Asked, action: str, form: dict[str, str]) -> Reply:
        if action == "ListServiceSpecificCredentials":
            assert (form["ServiceName"], form.get("AllUsers", form.get("UserName"))) in {
                ("bedrock.amazonaws.com", "true"), ("bedrock.amazonaws.com", NAME)}  # fmt: skip
            row = (
                f"<member><UserName>{NAME}</UserName><ServiceSpecificCredentialId>ACCA1EXAMPLEEXAMPLE1</ServiceSpecificCredentialId>"
                f"<ServiceName>bedrock.amazonaws.com</ServiceName><Status>{self.state['status']}</Status></member>"
            )
            rows = row if self.there else ""
            return self.xml(action, f"<ServiceSpecificCredentials>{rows}</ServiceSpecificCredentials>")
        if not self.there:
            return self.missing()
        assert (action, form["UserName"], form["ServiceSpecificCredentialId"]) == (
            "UpdateServiceSpecificCredential", NAME, "ACCA1EXAMPLEEXAMPLE1")  # fmt: skip
        self.write(asked, status=form["Status"])
        return self.xml(action, "")


class AzureOpenAI(Provider):
    """Azure's management interface and Entra's tokens."""

    changes = "lastModifiedAt"
    tells: ClassVar = {"name": NAME, "location": "swedencentral"}
    place: ClassVar[str] = f"/subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/{NAME}"
    kind, operation, stopped = "azure_openai", "keys", {"disableLocalAuth": True}
    options: ClassVar = {"tenant_id": "t", "client_id": "c", "resources": [place]}

    def first(self) -> dict[str, Any]:
        return {"disableLocalAuth": False}

    def reads(self, asked: Asked) -> bool:
        return asked.method != "PATCH"

    def allowed(self, asked: Asked) -> bool:
        if asked.path == "/t/oauth2/v2.0/token":
            return b"client_secret=acting-token" in asked.body
        return asked.headers.get("authorization") == "Bearer T"

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/t/oauth2/v2.0/token":
            return Reply({"access_token": "T", "expires_in": 3600})
        return self.inside(asked)

    def inside(self, asked: Asked) -> Reply:
        if asked.path != self.place or not self.there:
            return self.missing()
        assert asked.one("api-version") == "2025-09-01"
        if asked.method == "PATCH":
            self.write(asked, **json.loads(asked.body)["properties"])
        return Reply({"id": self.place, "name": NAME, "location": "swedencentral", "properties": dict(self.state),
                      "systemData": self.changed()})  # fmt: skip


class AzureCapacity(AzureOpenAI):
    """Two deployments, on a page each; one has provisioned units."""

    tells: ClassVar = {"name": NAME, "resource": "acme"}
    resource: ClassVar[str] = "/subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/acme"
    operation: ClassVar[str] = "capacity"
    stopped: ClassVar = {"sku": {"name": "GlobalStandard", "capacity": 2}}
    options: ClassVar = {**AzureOpenAI.options, "resources": [resource], "capacity": 2}
    provisioned: ClassVar = {"name": "steady", "sku": {"name": "GlobalProvisionedManaged", "capacity": 100}}

    def first(self) -> dict[str, Any]:
        return {"sku": {"name": "GlobalStandard", "capacity": 300}}

    def inside(self, asked: Asked) -> Reply:
        assert asked.one("api-version") == "2025-09-01"
        place = f"{self.resource}/deployments"
        row = {"id": f"{place}/{NAME}", "name": NAME, "properties": {"model": {"name": "gpt-5"}}, **self.state,
               "systemData": self.changed()}  # fmt: skip
        if asked.path == place:
            if "$skiptoken" in asked.query:
                return Reply({"value": [row] if self.there else []})
            more = f"http://{asked.headers['host']}{place}?api-version=2025-09-01&$skiptoken=2"
            return Reply({"value": [self.provisioned], "nextLink": more})
        if asked.path != f"{place}/{NAME}" or not self.there:
            return self.missing()
        if asked.method == "PATCH":
            self.write(asked, **json.loads(asked.body))
        return Reply({**row, **self.state})


class AzureRole(AzureOpenAI):
    """The assignments that a resource inherits and has: of this identity and others, of this role and others."""

    principal: ClassVar[str] = "0b1c2d3e-1111-2222-3333-444455556666"
    tells: ClassVar = {"name": NAME}
    operation: ClassVar[str] = "role"
    changes: ClassVar[str] = ""
    stopped: ClassVar = {"assigned": None}
    options: ClassVar = {**AzureOpenAI.options, "targets": {NAME: principal}}
    roles: ClassVar[str] = "/subscriptions/S/providers/Microsoft.Authorization/roleDefinitions"
    assigned: ClassVar = {
        "roleDefinitionId": f"{roles}/5e0bd9bd-7b93-4f28-af87-19fc36ad61bd", "principalId": principal,
        "principalType": "ServicePrincipal", "condition": "@Resource[x] StringEquals 'y'", "conditionVersion": "2.0",
    }  # fmt: skip
    #: Where else the identity has the role.
    above: str = ""

    def first(self) -> dict[str, Any]:
        return {"assigned": dict(self.assigned)}

    def reads(self, asked: Asked) -> bool:
        return asked.method not in {"PUT", "DELETE"}

    def row(self, name: str, given: dict[str, Any], scope: str) -> dict[str, Any]:
        more = {"scope": scope, "createdOn": USED, "updatedOn": USED, "createdBy": "someone"}
        return {"id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}", "name": name,
                "type": "Microsoft.Authorization/roleAssignments", "properties": {**given, **more}}  # fmt: skip

    def inside(self, asked: Asked) -> Reply:
        place = f"{self.place}/providers/Microsoft.Authorization/roleAssignments"
        assert asked.one("api-version") == "2022-04-01"
        if not self.there:
            return self.missing()
        if asked.path == place:
            assert asked.one("$filter") == f"principalId eq '{self.principal}'"
            other = {**self.assigned, "roleDefinitionId": f"{self.roles}/acdd72a7-3385-48ef-bd42-f606fba81ae7"}
            rows = [self.row("other-role", other, self.place)]
            if self.above:
                rows.append(self.row("inherited", self.assigned, self.above))
            if self.state["assigned"] is not None:
                rows.append(self.row("the-one", self.state["assigned"], self.place))
            return Reply({"value": rows})
        assert asked.path == f"{place}/the-one"
        if asked.method == "DELETE":
            if self.state["assigned"] is None:
                return Reply("", 204)
            self.write(asked, assigned=None)
            return Reply(self.row("the-one", self.assigned, self.place))
        self.write(asked, assigned=json.loads(asked.body)["properties"])
        return Reply(self.row("the-one", self.state["assigned"], self.place), 201)


class Google(Provider):
    """IAM's service accounts, by the metadata server's token and a token for the acting account."""

    tells: ClassVar = {"name": NAME, "project": "p-1"}
    kind, operation, stopped = "vertex", "service_account", {"disabled": True}
    account: ClassVar[str] = "rag@p-1.iam.gserviceaccount.com"
    acting: ClassVar[str] = "alertd-acting@p-1.iam.gserviceaccount.com"
    options: ClassVar = {"token": None, "impersonate": acting, "targets": {NAME: account}}

    def first(self) -> dict[str, Any]:
        return {"disabled": False}

    def error(self, status: int) -> Reply:
        return Reply({"error": {"code": status, "message": "no", "status": "AN_ERROR"}}, status)

    def reads(self, asked: Asked) -> bool:
        return not asked.path.endswith((":disable", ":enable", ":setIamPolicy"))

    def allowed(self, asked: Asked) -> bool:
        if asked.path.startswith("/computeMetadata/"):
            return asked.headers.get("metadata-flavor") == "Google"
        wanted = "Bearer machine" if asked.path.endswith(":generateAccessToken") else "Bearer acting"
        return asked.headers.get("authorization") == wanted

    def answer(self, asked: Asked) -> Reply:
        if asked.path.startswith("/computeMetadata/"):
            return Reply({"access_token": "machine", "expires_in": 3600, "token_type": "Bearer"})
        if asked.path == f"/v1/projects/-/serviceAccounts/{self.acting}:generateAccessToken":
            assert json.loads(asked.body)["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
            return Reply({"accessToken": "acting", "expireTime": "2098-01-01T00:00:00Z"})
        return self.inside(asked)

    def inside(self, asked: Asked) -> Reply:
        place, _, verb = asked.path.removeprefix("/v1/projects/-/serviceAccounts/").partition(":")
        if place != self.account or not self.there:
            return self.missing()
        if verb:
            self.write(asked, disabled={"disable": True, "enable": False}[verb])
            return Reply({})
        off = {"disabled": True} if self.state["disabled"] else {}  # false is left out, as proto3 writes it
        return Reply({"name": f"projects/p-1/serviceAccounts/{place}", "projectId": "p-1", "uniqueId": "107",
                      "email": place, "displayName": NAME, **off})  # fmt: skip


class GoogleRole(Google):
    """A project's policy: the role with and without a condition, other roles and members, an etag."""

    operation: ClassVar[str] = "role"
    tells: ClassVar = {"name": Google.account, "project": "p-1"}
    options: ClassVar = {**Google.options, "project": "p-1"}
    member: ClassVar[str] = f"serviceAccount:{Google.account}"
    role: ClassVar[str] = "roles/aiplatform.user"
    night: ClassVar = {"title": "night", "expression": "request.time.getHours() < 6"}
    others: ClassVar = [{"role": "roles/viewer", "members": [member, "user:ana@example.com"]}]
    stopped: ClassVar = {"bindings": [{"role": role, "members": ["user:ana@example.com"]}, *others]}

    def first(self) -> dict[str, Any]:
        return {"bindings": [{"role": self.role, "members": ["user:ana@example.com", self.member]}, *self.others,
                             {"role": self.role, "members": [self.member], "condition": self.night}]}  # fmt: skip

    def inside(self, asked: Asked) -> Reply:
        assert asked.path.startswith("/v1/projects/p-1:")
        if not self.there:
            return self.missing()
        etag = f"e{len(self.written)}"
        given = json.loads(asked.body)
        if asked.path.endswith(":getIamPolicy"):
            assert given == {"options": {"requestedPolicyVersion": 3}}
            return Reply({"version": 3, "etag": etag, **self.state})
        assert set(given["policy"]) == {"version", "etag", "bindings"}
        if given["policy"]["etag"] != etag:
            return self.error(409)
        self.write(asked, bindings=given["policy"]["bindings"])
        return Reply(given["policy"])


class GoogleQuota(Google):
    """A project's overrides of one quota: of other dimensions on the first page, on the second one's own, if any."""

    kind, operation, stopped = "vertex_quota", "", {"override": "0"}
    tells: ClassVar = {"name": NAME, "project": "p-1"}
    dimensions: ClassVar = {"region": "us-east5", "base_model": "anthropic-claude-opus"}
    metric: ClassVar[str] = "aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model"
    options: ClassVar = {
        "token": None,
        "impersonate": Google.acting,
        "targets": {NAME: "p-1"},
        "metric": metric,
        "dimensions": dimensions,
    }
    place: ClassVar[str] = (
        "/v1beta1/projects/p-1/services/aiplatform.googleapis.com/consumerQuotaMetrics/"
        "aiplatform.googleapis.com%2Fonline_prediction_input_tokens_per_minute_per_base_model/limits/"
        "%2Fmin%2Fproject%2Fregion%2Fbase_model"
    )

    def first(self) -> dict[str, Any]:
        return {"override": None}

    def reads(self, asked: Asked) -> bool:
        return asked.method == "GET" or asked.path.endswith(":generateAccessToken")

    def inside(self, asked: Asked) -> Reply:
        path = asked.path
        overrides = f"{self.place}/consumerOverrides"
        if not self.there or not path.startswith(self.place):
            return self.missing()
        if path == self.place:
            return Reply({"name": path.removeprefix("/v1beta1/"), "unit": "1/min/{project}/{region}/{base_model}"})
        if asked.method == "GET":
            assert path == overrides
            return self.page(overrides.removeprefix("/v1beta1/"), first="pageToken" not in asked.query)
        assert asked.one("force") == "true"
        if asked.method == "POST":
            assert path == overrides
            if self.state["override"] is not None:
                return self.error(409)
            given = json.loads(asked.body)
            assert given["dimensions"] == self.dimensions
            self.write(asked, override=given["overrideValue"])
        elif path != f"{overrides}/Cg1h" or self.state["override"] is None:
            return self.missing()
        elif asked.method == "DELETE":
            self.write(asked, override=None)
        else:
            assert (asked.method, asked.one("updateMask")) == ("PATCH", "overrideValue")
            self.write(asked, override=json.loads(asked.body)["overrideValue"])
        return Reply({"name": "operations/quf.p1", "done": False})

    def page(self, place: str, *, first: bool) -> Reply:
        if first:
            other = {"name": "x", "overrideValue": "9", "dimensions": {"region": "us-east5"}}
            return Reply({"overrides": [other], "nextPageToken": "2"})
        own = {"name": f"{place}/Cg1h", "overrideValue": self.state["override"], "dimensions": self.dimensions}
        return Reply({"overrides": [own]} if self.state["override"] is not None else {})


class GoogleQuotaCapped(GoogleQuota):
    """A quota that has an override already."""

    options: ClassVar = {**GoogleQuota.options, "cap": 5000}
    stopped: ClassVar = {"override": "5000"}

    def first(self) -> dict[str, Any]:
        return {"override": "40000"}


#: Without botocore nobody can talk to it.
AWS: tuple[type[Provider], ...] = (Bedrock, BedrockKey) if find_spec("botocore") else ()
PROVIDERS: tuple[type[Provider], ...] = (
    Anthropic, AnthropicArchive, AnthropicLimit, AnthropicWithoutLimit, AnthropicOpenLimit,
    OpenRouter, OpenRouterLimit, OpenRouterDelete, LiteLLM, LiteLLMBudget, LiteLLMThrottle,
    LiteLLMCheaper, LiteLLMDelete,
    Alibaba, AlibabaDelete, OpenAI, OpenAIWithoutLimit, OpenAIRates, OpenAIModels, OpenAIDelete, Scaleway, ScalewayLock,
    ScalewayDelete, Together, TogetherCancel, AzureOpenAI, AzureCapacity, AzureRole, Google,
    GoogleRole, GoogleQuota, GoogleQuotaCapped, *AWS,
)  # fmt: skip
