"""The ways one model's name can be read: gateway prefixes, provider synonyms, dated snapshots. It knows no price."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: What gateways, OpenTelemetry and people call a provider -> the id that the price book uses.
PROVIDERS: Final = {
    "ai21": "ai21",
    "alibaba": "alibaba",
    "aliyun": "alibaba",
    "amazon": "aws",
    "anthropic": "anthropic",
    "anyscale": "anyscale",
    "aws": "aws",
    "aws.bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cerebras": "cerebras",
    "codestral": "mistral",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "dashscope": "alibaba",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google": "google",
    "groq": "groq",
    "hosted_vllm": "vllm",
    "mistral": "mistral",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "model_studio": "alibaba",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "moonshotai": "moonshotai",
    "novita": "novita",
    "ollama_chat": "ollama",
    "openai": "openai",
    "openrouter": "openrouter",
    "ovhcloud": "ovhcloud",
    "perplexity": "perplexity",
    "scaleway": "scaleway",
    "self-hosted": "self_hosted",
    "text-completion-openai": "openai",
    "together": "together",
    "together-ai": "together",
    "together_ai": "together",
    "togetherai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "voyage": "voyageai",
    "voyageai": "voyageai",
    "x-ai": "x-ai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "zai": "zai",
}

#: What bills call the company that sells, without its legal form -> the same ids.
COMPANIES: Final = {
    "alibaba cloud": "alibaba",
    "amazon web services": "aws",
    "amazon web services emea": "aws",
    "amazon": "aws",
    "amazon bedrock": "aws",
    "anthropic": "anthropic",
    "anyscale": "anyscale",
    "aws": "aws",
    "aws bedrock": "aws",
    "azure openai": "azure",
    "cerebras systems": "cerebras",
    "cohere": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks ai": "fireworks",
    "fireworks.ai": "fireworks",
    "gcp": "google",
    "google": "google",
    "google ai studio": "google",
    "google cloud": "google",
    "google cloud emea": "google",
    "google cloud platform": "google",
    "google vertex ai": "google",
    "groq": "groq",
    "microsoft": "azure",
    "microsoft azure": "azure",
    "microsoft ireland operations": "azure",
    "mistral": "mistral",
    "mistral ai": "mistral",
    "oci": "oracle",
    "openai": "openai",
    "openai opco": "openai",
    "openai ireland": "openai",
    "openrouter": "openrouter",
    "oracle": "oracle",
    "oracle america": "oracle",
    "oracle cloud": "oracle",
    "oracle cloud infrastructure": "oracle",
    "perplexity ai": "perplexity",
    "scaleway": "scaleway",
    "together ai": "together",
    "together computer": "together",
    "vertex ai": "google",
    "x.ai": "x-ai",
}
#: A company's legal form at the end of its name.
_COMPANY: Final = re.compile(
    r"(?:[,.\s]+(?:inc|llc|pbc|ltd|limited|corp|corporation|co|company|gmbh|s\.?a\.?s|s\.?a\.?r\.?l|plc|l\.?p)\.?)+\Z"
)

#: Bedrock's names: a maker before the first dot, with or without an inference profile's place before it.
_BEDROCK: Final = re.compile(
    r"(?:(?:us|us-gov|eu|apac|ap|global|jp|au|ca)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|luma|meta|minimax|mistral|moonshot|nvidia|openai|qwen|stability|twelvelabs"
    r"|writer|zai)\.[a-z]"
)
#: A place in a model's path: what is left of the name may be sold dearer there.
_PLACE: Final = re.compile(
    r"us|eu|apac|jp|us-gov|gov|datazone|[a-z]{2}(?:-gov)?-[a-z]+-\d"
    r"|(?:us)?(?:north|south|east|west|central|sweden|france|germany|uk|switzerland|japan|australia|canada|norway)"
    r"(?:us|europe|asia|central|east|west|north|south|centralus|westcentral)?\d?"
)

#: Engines that people run themselves: a model of the same name elsewhere says nothing about their cost.
SELF_HOSTED: Final = frozenset(
    {"huggingface_tgi", "llamacpp", "llamafile", "lm_studio", "ollama", "ray", "self_hosted", "sglang", "tgi", "triton"}
    | {"vllm", "xinference"}
)

_SNAPSHOT: Final = re.compile(r"(?:[-@:](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|latest))+\Z")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read a name; `assumed` says, in words, what had to be supposed for it ("" where nothing).

    `elsewhere`: at another provider than the one that was named, for want of a price there.
    """

    provider: str
    model: str
    assumed: str = ""
    elsewhere: bool = False


def provider_id(name: str) -> str:
    """The book's id of a provider, whatever a gateway calls it; an unknown name is only lower-cased."""
    lowered = " ".join(name.strip().lower().split())
    return PROVIDERS.get(lowered) or COMPANIES.get(_COMPANY.sub("", lowered), lowered)


def candidates(provider: str, model: str) -> tuple[Candidate, ...]:
    """Every reading of a name, the most literal first: as written, without gateway prefixes, without a snapshot's date.

    An empty provider in a reading means "whoever sells a model of this name".
    """
    seller, name = provider_id(provider), model.strip().lower()
    seen = dict.fromkeys(_candidates(seller or ("aws" if _BEDROCK.match(name) else ""), name))
    return tuple(seen)


def without_snapshot(model: str) -> str:
    """gpt-4o-2024-08-06, claude-sonnet-4-5@20250929 and qwen-max-latest without their last part."""
    return _SNAPSHOT.sub("", model)


def _candidates(provider: str, model: str) -> Iterator[Candidate]:
    literal = list(_unprefixed(provider, model))
    yield from literal
    for reading in literal:
        if (shorter := without_snapshot(reading.model)) != reading.model:
            said = f"the snapshot {reading.model} is assumed to cost as {shorter}"
            yield Candidate(reading.provider, shorter, reading.assumed or said, reading.elsewhere)
    if provider and provider not in PROVIDERS.values() and provider not in SELF_HOSTED:
        said = f"the provider {provider!r} is not known: priced by the model's name alone"
        names = [reading.model for reading in literal]
        for name in dict.fromkeys(names + [without_snapshot(name) for name in names]):
            yield Candidate("", name, said, elsewhere=True)


def _unprefixed(provider: str, model: str) -> Iterator[Candidate]:
    """As written, then with each prefix taken off; a prefix that names a provider settles an open one."""
    if not _routed(provider, model):
        yield Candidate(provider, model)
    rest, assumed = model, ""
    while "/" in rest:
        prefix, rest = rest.split("/", 1)
        if _PLACE.fullmatch(prefix):
            assumed = f"priced as {rest} without a place: {prefix} in its name may cost more"
        named = _named(prefix)
        if named and provider and provider != named and provider in PROVIDERS.values():
            yield Candidate(provider, rest)
            yield Candidate(named, rest, f"{provider} does not list it: priced as {named}'s", elsewhere=True)
            continue
        provider = named or provider
        yield Candidate(provider, rest, assumed)


def _routed(provider: str, model: str) -> bool:
    """Whether a model's first prefix names a provider where none was given."""
    prefix, slash, _ = model.partition("/")
    return bool(slash and not provider and _named(prefix))


def _named(prefix: str) -> str:
    return PROVIDERS.get(prefix) or (prefix if prefix in SELF_HOSTED else "")
