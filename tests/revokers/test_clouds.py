"""The levers of the clouds stop nothing that they could not give back, and nothing where it would not help."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.test_revokers import stopping
from tests.servers.keys import NAME, AzureCapacity, AzureRole, GoogleQuota, GoogleQuotaCapped, Provider


async def refused(provider: Provider, **options: Any) -> str:
    """Why nothing was done."""
    async with stopping(provider, **options) as going:
        act = await going.rounds()
        await going.sound()
    assert (act.state, provider.written) == ("failed", [])
    return str(act.error)


async def test_provisioned_units_are_not_given_up() -> None:
    assert "provisioned units" in await refused(
        AzureCapacity(), targets={NAME: f"{AzureCapacity.resource}/deployments/steady"}
    )


async def test_a_deployment_of_two_resources_is_named_by_its_id() -> None:
    class Twice(AzureCapacity):
        def inside(self, asked: Any) -> Any:
            return super().inside(type(asked)(asked.method, asked.path.replace("/other/", "/acme/"), *_rest(asked)))

    other = AzureCapacity.resource.replace("/acme", "/other")
    both = [AzureCapacity.resource, other]
    assert "2 keys are called 'rag-indexer'" in await refused(Twice(), resources=both)
    provider = Twice()
    named = {NAME: f"{AzureCapacity.resource}/deployments/{NAME}"}
    async with stopping(provider, resources=both, targets=named) as going:
        assert (await going.rounds()).state == "verified"


def _rest(asked: Any) -> tuple[Any, ...]:
    return asked.query, asked.headers, asked.body, asked.raw_query


@pytest.mark.parametrize("above", ["/subscriptions/S", "/subscriptions/S/resourceGroups/R"])
async def test_a_role_that_is_inherited_is_not_taken_because_that_would_stop_nothing(above: str) -> None:
    class Inherited(AzureRole):
        pass

    Inherited.above = above
    assert f"has the role on {above} too" in await refused(Inherited())


@pytest.mark.parametrize("principal", ["search", "' or principalId ne '", "0b1c2d3e-1111-2222-3333-44445555666"])
async def test_an_identity_is_an_object_id(principal: str) -> None:
    assert "is no object id" in await refused(AzureRole(), targets={NAME: principal})


async def test_an_override_that_is_lower_already_is_left_and_is_not_ours() -> None:
    provider = GoogleQuotaCapped()
    provider.state = {"override": "100"}
    async with stopping(provider) as going:
        act = await going.rounds()
    assert (act.state, act.ours, provider.written) == ("verified", False, [])


async def test_an_override_that_lifts_the_limit_is_capped_and_put_back() -> None:
    provider = GoogleQuota()
    provider.state = {"override": "-1"}
    async with stopping(provider) as going:
        assert (await going.rounds()).state == "verified"
        assert provider.state == {"override": "0"}
        assert (await going.restored()).state == "restored"
    assert provider.state == {"override": "-1"}


async def test_every_lever_says_when_it_takes_effect() -> None:
    said = {}
    for make in (AzureCapacity, AzureRole, GoogleQuota):
        async with stopping(make()) as going:
            await going.rounds()
            steps = await going.sound()
        said[make.__name__] = repr(steps)
    assert "within some minutes" in said["AzureCapacity"]
    assert "within some ten minutes" in said["AzureRole"]
    assert "within some minutes; calls beyond it get 429" in said["GoogleQuota"]
