"""How a model's name can be read: gateway prefixes, regions, provider synonyms, dated snapshots. Knows no prices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from alertd.core.spellings import PROVIDERS, SELF_HOSTED, provider_id, spellings, without_snapshot
from alertd.core.usage import Modifiers

#: Bedrock's names: a maker before the first dot, with or without an inference profile's place before it.
_BEDROCK: Final = re.compile(
    r"(?:(?:us|us-gov|eu|apac|ap|global|jp|au|ca|in|sa)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen"
    r"|stability|twelvelabs|writer|xai|zai)\.[a-z]"
    r"|arn:aws[a-z-]*:bedrock:|(?:amazon[ -])?nova[ -](?:micro|lite|pro|premier|canvas|reel|sonic|act|2)\b"
)
#: A provider before a colon, as agents' frameworks write it (anthropic:claude-opus-5); not a tag (mistral:7b).
_PREFIXED: Final = re.compile(r"([a-z][a-z0-9_.-]*):(?!(?:\d+(?:\.\d+)?b|latest|free)\b)([a-z].*[a-z0-9].*)\Z")
_PROFILE: Final = re.compile(r"(us-gov|us|eu|apac|ap|jp|au|ca|in|sa)\.(?=[a-z0-9]+\.)")
_ARN: Final = re.compile(r"arn:(aws[a-z-]*):bedrock:([a-z0-9-]*):[^:]*:([a-z-]+)\Z")
#: What an ARN may name without saying which model it is.
_OPAQUE: Final = re.compile(
    r"arn:aws[a-z-]*:bedrock:.*:(?:application-inference-profile|provisioned-model|custom-model|imported-model"
    r"|default-prompt-router|prompt-router|custom-model-deployment)/"
)
#: Countries and continents in Azure's names of regions (swedencentral, koreacentral, westus3).
_COUNTRIES: Final = (
    "us|uk|europe|asia|australia|austria|belgium|brazil|canada|chile|china|denmark|france|germany|india|indonesia|israel"
    "|italy|japan|jioindia|korea|malaysia|mexico|newzealand|norway|poland|qatar|africa|spain|sweden|switzerland|uae"
)
#: A place in a model's path: what is left of the name may be sold dearer there.
_PLACE: Final = re.compile(
    r"us|eu|apac|jp|au|us-gov|gov|usgov|datazone|datazonestandard|standard|regional"
    r"|(?:us-gov|[a-z]{2})-[a-z]+-\d"
    r"|(?:us|europe|asia|australia|southamerica|northamerica|me|africa)-?[a-z]+\d"
    rf"|(?:{_COUNTRIES})?(?:north|south|east|west|central)+(?:{_COUNTRIES})?\d?|us(?:gov|dod)[a-z]+"
    r"|(?:eu|us)-?data-?zone|data-?zone-?(?:eu|us)"
)
#: Places by the names that price files use.
_PLACES: Final = {"gov": "us-gov", "usgov": "us-gov", "datazonestandard": "datazone", "standard": "regional"}
#: Places whose price is the one that lists have.
_USUAL: Final = frozenset({"us-east-1", "us-east-2", "us-west-2"})
#: Words of a path that are no part of a name and change no price.
_WORDS: Final = frozenset(
    {
        "models",
        "model",
        "publishers",
        "deployments",
        "engines",
        "converse",
        "invoke",
        "responses",
        "chat",
        "completions",
    }
    | {"global", "global-standard", "globalstandard", "foundation-model", "inference-profile", "v1", "bedrock-runtime"}
    | {"serverless", "endpoints", "tuning", "reserved", "@cf", "hf", "maas", "completions"}
)
#: Words of a path that an account's or a project's own name follows.
_OWN: Final = frozenset({"accounts", "projects", "organizations", "subscriptions", "locations"})
#: Who makes models that others sell; a price list may leave the maker out of a name.
_MAKERS: Final = frozenset(
    {"meta-llama", "meta", "deepseek-ai", "qwen", "mistralai", "microsoft", "nvidia", "zai-org", "z-ai", "thudm"}
    | {"minimaxai", "minimax", "nousresearch", "black-forest-labs", "ibm-granite", "baai", "intfloat", "cohereforai"}
    | {"allenai", "arcee-ai", "bytedance-seed", "baidu", "tencent", "xiaomi", "01-ai", "databricks", "snowflake"}
    | {"huggingfaceh4", "codellama", "liquid", "inception", "stepfun-ai", "amazon", "google", "unsloth", "openchat"}
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read a name; `assumed` says, in words, what had to be supposed for it ("" where nothing).

    `elsewhere`: at another provider than the one that was named, for want of a price there. `modifiers`: what the name
    says beside the model (its place), where a price rule may know it. `place`: a place that this reading leaves out of
    account, unless the price that is found names one.
    """

    provider: str
    model: str
    assumed: str = ""
    elsewhere: bool = False
    modifiers: Modifiers = ()
    place: str = ""


def candidates(provider: str, model: str) -> tuple[Candidate, ...]:
    """Every reading of a name, the most literal first: as written, without gateway prefixes, without a snapshot's date.

    An empty provider in a reading means "any provider that sells a model of this name".
    """
    seller, name = provider_id(provider), model.strip().lower()
    if (coloned := _PREFIXED.match(name)) and _named(coloned[1]) and seller in ("", _named(coloned[1])):
        seller, name = _named(coloned[1]), coloned[2]
    seller = seller or ("aws" if _BEDROCK.match(name) or "bedrock edition" in name else "")
    seller = seller or ("perplexity" if name.startswith("sonar") else "")
    found: dict[Candidate, None] = {}
    for reading in _candidates(seller, name):
        for one in _placed(reading):
            found.setdefault(one)
    return tuple(found)


def is_opaque(model: str) -> bool:
    """Whether a name is an opaque id that does not show the model (an application inference profile)."""
    return bool(_OPAQUE.match(model.strip().lower()))


def _candidates(provider: str, model: str) -> Iterator[Candidate]:
    if is_opaque(model):
        yield Candidate(provider, model)
        return
    literal = list(_unprefixed(provider, model))
    yield from literal
    for reading in literal:
        if (shorter := without_snapshot(reading.model)) != reading.model:
            said = f"the snapshot {reading.model} is assumed to cost as {shorter}"
            yield replace(reading, model=shorter, assumed=reading.assumed or said)
    for reading in literal:
        if reading.provider == "aws" and "anthropic." in reading.model:
            yield replace(reading, model=reading.model.replace("anthropic.", "", 1))
        for other in spellings(reading.model):
            yield replace(reading, model=other.name, assumed="; ".join(filter(None, (reading.assumed, other.assumed))))
    for reading in literal:
        yield from _made_by_others(reading.provider, reading.model)
    if provider and provider not in PROVIDERS.values() and provider not in SELF_HOSTED:
        said = f"the provider {provider!r} is not known: priced by the model's name alone"
        names = [reading.model for reading in literal]
        for name in dict.fromkeys(names + [without_snapshot(name) for name in names]):
            yield Candidate("", name, said, elsewhere=True)


def _made_by_others(provider: str, model: str) -> Iterator[Candidate]:
    """databricks-claude-sonnet-4-5 is Claude, sold by Databricks; where it lists no price, the maker's is assumed."""
    name = model.rsplit("/", 1)[-1]
    if provider and name.startswith(f"{provider}-"):
        rest = name.removeprefix(f"{provider}-")
        yield Candidate(provider, rest)
        yield Candidate("", rest, f"{provider} does not list it: priced as its maker's", elsewhere=True)


def _unprefixed(provider: str, model: str) -> Iterator[Candidate]:
    """The name as written, then without each prefix; a prefix that names a provider sets a missing provider."""
    parts = model.split("/")[:-1]
    place = next((found for found in map(_place_of, parts) if found), "")
    rest, assumed = model, ""
    if not _routed(provider, model):
        yield Candidate(provider, model, place=place)
    while "/" in rest:
        prefix, rest = rest.split("/", 1)
        if prefix in _OWN and "/" in rest:
            rest = rest.split("/", 1)[1]
            yield Candidate(provider, rest, assumed, place=place)
            continue
        named = _named(prefix)
        if named and provider and provider != named and provider in PROVIDERS.values():
            yield Candidate(provider, rest, assumed, place=place)
            said = f"{provider} does not list it: priced as {named}'s"
            yield Candidate(named, rest, said, elsewhere=True, place=place)
            continue
        if not (_place_of(prefix) or named or prefix in _WORDS or prefix in _MAKERS or _ARN.match(prefix)):
            assumed = f"priced as {rest}: {prefix}/ before its name is not known"
        provider = named or provider
        yield Candidate(provider, rest, assumed, place=place)


def _place_of(prefix: str) -> str:
    """The region that a part of a path names, as price files write it; "" if it is not a region."""
    if arn := _ARN.match(prefix):
        return "us-gov" if arn[1] == "aws-us-gov" else arn[2] if arn[3] == "foundation-model" else ""
    if not _PLACE.fullmatch(prefix):
        return ""
    if "zone" in prefix and (zone := re.search(r"eu|us", prefix.replace("datazonestandard", ""))):
        return zone[0]
    return "us-gov" if prefix.startswith(("us-gov-", "usgov", "usdod")) else _PLACES.get(prefix, prefix)


def _placed(reading: Candidate) -> Iterator[Candidate]:
    """A reading with its region as a modifier (a price may depend on it), then the reading alone."""
    name, place = reading.model, reading.place
    profile = _PROFILE.match(name) if reading.provider == "aws" else None
    if profile:
        place = profile[1]
    if place in _USUAL:
        place = ""
    if place and "/" not in name and (bare := name[profile.end() :] if profile else name):
        by_rule = (("region", place),)
        if place == "us-gov" and "claude" in bare:  # priced by its worldwide price, which the list has under this name
            worldwide = f"global.anthropic.{bare.removeprefix('anthropic.')}"
            yield replace(reading, model=worldwide, modifiers=by_rule, place="")
        yield replace(reading, model=bare, modifiers=by_rule, place="")
    yield replace(reading, place="" if place == "us" and profile else place)


def _routed(provider: str, model: str) -> bool:
    """Whether a model's first prefix names a provider where none was given."""
    prefix, slash, _ = model.partition("/")
    return bool(slash and not provider and _named(prefix))


def _named(prefix: str) -> str:
    return PROVIDERS.get(prefix) or (prefix if prefix in SELF_HOSTED else "")
