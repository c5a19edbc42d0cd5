"""What changes a key is asked exactly as the provider's own SDK asks it: its requests, recorded once, as a table.

Recorded against a local server from openai 3.54.0, anthropic 2.12.0, openrouter 1.3.84, scaleway 2.12.0, together
3.1.1, alibabacloud-modelstudio20260210 2.2.3 (its paths and actions), azure-mgmt-cognitiveservices 14.1.0,
azure-mgmt-authorization 4.0.0 and google-api-python-client 2.202.0 (iam v1, cloudresourcemanager v1, serviceusage
v1beta1).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contracts.test_revokers import stopping
from tests.servers.keys import PROVIDERS, AzureCapacity, AzureOpenAI, AzureRole, Google, GoogleQuota, GoogleRole

Request = tuple[str, str, Any]

_ANTHROPIC = "/v1/organizations/api_keys/apikey_01"
_OPENAI = "/organization/projects/proj_1"
_IAM = "/iam/v1alpha1"
_STUDIO = "/modelstudio/apikeys/4711"
_DEPLOYMENT = f"{AzureCapacity.resource}/deployments/rag-indexer"
_ASSIGNMENT = f"{AzureOpenAI.place}/providers/Microsoft.Authorization/roleAssignments/the-one"
_ACCOUNT = f"/v1/projects/-/serviceAccounts/{Google.account}"
_OVERRIDES = f"{GoogleQuota.place}/consumerOverrides"
#: By the server's class: what the SDK sends to stop, and to undo it.
SDK: dict[str, tuple[Request, Request | None]] = {
    "Anthropic": (("POST", _ANTHROPIC, {"status": "inactive"}), ("POST", _ANTHROPIC, {"status": "active"})),
    "AnthropicArchive": (("POST", _ANTHROPIC, {"status": "archived"}), None),
    "OpenRouter": (("PATCH", "/keys/f01d52", {"disabled": True}), ("PATCH", "/keys/f01d52", {"disabled": False})),
    "OpenRouterLimit": (
        ("PATCH", "/keys/f01d52", {"limit": 5.0, "limit_reset": "daily"}),
        ("PATCH", "/keys/f01d52", {"limit": 100.0, "limit_reset": "monthly"}),
    ),
    "OpenRouterDelete": (("DELETE", "/keys/f01d52", None), None),
    "Alibaba": (("PUT", f"{_STUDIO}/disable", None), ("PUT", f"{_STUDIO}/enable", None)),
    "AlibabaDelete": (("DELETE", _STUDIO, None), None),
    "OpenAI": (
        ("POST", f"{_OPENAI}/spend_limit", {"currency": "USD", "interval": "month", "threshold_amount": 1}),
        ("POST", f"{_OPENAI}/spend_limit", {"currency": "USD", "interval": "month", "threshold_amount": 50000}),
    ),
    "OpenAIWithoutLimit": (
        ("POST", f"{_OPENAI}/spend_limit", {"currency": "USD", "interval": "month", "threshold_amount": 1}),
        ("DELETE", f"{_OPENAI}/spend_limit", None),
    ),
    "OpenAIModels": (
        ("POST", f"{_OPENAI}/model_permissions", {"mode": "allow_list", "model_ids": ["gpt-5-nano"]}),
        ("POST", f"{_OPENAI}/model_permissions", {"mode": "deny_list", "model_ids": ["o1"]}),
    ),
    "OpenAIDelete": (("DELETE", f"{_OPENAI}/api_keys/key_1", None), None),
    "Scaleway": (
        ("PATCH", f"{_IAM}/policies/policy-1", {"no_principal": True}),
        ("PATCH", f"{_IAM}/policies/policy-1", {"application_id": "app-9"}),
    ),
    "ScalewayLock": (("POST", f"{_IAM}/users/user-1/lock", {}), ("POST", f"{_IAM}/users/user-1/unlock", {})),
    "ScalewayDelete": (("DELETE", f"{_IAM}/api-keys/SCWX", None), None),
    "AzureOpenAI": (
        ("PATCH", AzureOpenAI.place, {"properties": {"disableLocalAuth": True}}),
        ("PATCH", AzureOpenAI.place, {"properties": {"disableLocalAuth": False}}),
    ),
    "AzureCapacity": (
        ("PATCH", _DEPLOYMENT, {"sku": {"name": "GlobalStandard", "capacity": 2}}),
        ("PATCH", _DEPLOYMENT, {"sku": {"name": "GlobalStandard", "capacity": 300}}),
    ),
    "AzureRole": (("DELETE", _ASSIGNMENT, None), ("PUT", _ASSIGNMENT, {"properties": AzureRole.assigned})),
    "Google": (("POST", f"{_ACCOUNT}:disable", None), ("POST", f"{_ACCOUNT}:enable", None)),
    "GoogleRole": (
        ("POST", "/v1/projects/p-1:setIamPolicy", {"policy": {"version": 3, "etag": "e0", **GoogleRole.stopped}}),
        (
            "POST",
            "/v1/projects/p-1:setIamPolicy",
            {"policy": {"version": 3, "etag": "e1", "bindings": GoogleRole().first()["bindings"]}},
        ),
    ),
    "GoogleQuota": (
        ("POST", _OVERRIDES, {"overrideValue": "0", "dimensions": GoogleQuota.dimensions}),
        ("DELETE", f"{_OVERRIDES}/Cg1h", None),
    ),
    "GoogleQuotaCapped": (
        ("PATCH", f"{_OVERRIDES}/Cg1h", {"overrideValue": "5000"}),
        ("PATCH", f"{_OVERRIDES}/Cg1h", {"overrideValue": "40000"}),
    ),
    "TogetherCancel": (("POST", "/v1/fine-tunes/ft-01/cancel", None), None),
}


@pytest.mark.parametrize("name", SDK)
async def test_the_request_is_the_sdks(name: str) -> None:
    provider = next(make for make in PROVIDERS if make.__name__ == name)()
    async with stopping(provider) as going:
        await going.rounds(1)
        stop, undo = SDK[name]
        if undo is not None:
            await going.restored()
    sent = [(asked.method, asked.path, json.loads(asked.body) if asked.body else None) for asked in provider.written]
    assert sent == [request for request in (stop, undo) if request is not None]
