"""Names as gateways, bills and people write them: a provider's one id, a model in the spelling of price lists.

Display names ("Claude Opus 5", "Anthropic: Claude Sonnet 4.5 (20250929)"), routes of a gateway (`:nitro`, `:online`),
fine-tuned models (`ft:gpt-4.1-mini:acme::x`) and what is set behind a name (`[1m]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

#: What gateways, OpenTelemetry and people call a provider -> the id that the price book uses.
PROVIDERS: Final = {
    "ai21": "ai21",
    "alibaba": "alibaba",
    "aliyun": "alibaba",
    "amazon": "aws",
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "amazon_nova": "aws",
    "anthropic": "anthropic",
    "anyscale": "anyscale",
    "aws": "aws",
    "aws-bedrock": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure": "azure",
    "azure-openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_ai": "azure",
    "azure_ai_foundry": "azure",
    "azure_openai": "azure",
    "azure_text": "azure",
    "azureopenai": "azure",
    "baseten": "baseten",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "bedrock_runtime": "aws",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "codestral": "mistral",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "dashscope": "alibaba",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "google": "google",
    "google-gla": "google",
    "google-genai": "google",
    "google-ai-studio": "google",
    "google-vertex": "google",
    "google-vertex-anthropic": "google",
    "google_ai_studio": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "groq": "groq",
    "hosted_vllm": "vllm",
    "meta_llama": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "model_studio": "alibaba",
    "modelstudio": "alibaba",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "moonshotai": "moonshotai",
    "novita": "novita",
    "oci": "oracle",
    "ollama_chat": "ollama",
    "open_ai": "openai",
    "openai": "openai",
    "openrouter": "openrouter",
    "ovhcloud": "ovhcloud",
    "perplexity": "perplexity",
    "qwen_ai_platform": "alibaba",
    "qwencloud": "alibaba",
    "sagemaker": "aws",
    "scaleway": "scaleway",
    "self-hosted": "self_hosted",
    "text-completion-codestral": "mistral",
    "text-completion-openai": "openai",
    "together": "together",
    "together-ai": "together",
    "together_ai": "together",
    "togetherai": "together",
    "vertex": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "voyage": "voyageai",
    "voyageai": "voyageai",
    "x-ai": "x-ai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "z-ai": "zai",
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

#: Engines that people run themselves: a model of the same name elsewhere says nothing about their cost.
SELF_HOSTED: Final = frozenset(
    {"huggingface_tgi", "llamacpp", "llamafile", "lm_studio", "ollama", "ray", "self_hosted", "sglang", "tgi", "triton"}
    | {"vllm", "xinference"}
)


@lru_cache(maxsize=4096)
def provider_id(name: str) -> str:
    """The book's id of a provider, whatever a gateway calls it; an unknown name is only lower-cased."""
    lowered = " ".join(name.strip().lower().split())
    if lowered.startswith("vertex_ai-"):  # a gateway's families: vertex_ai-anthropic_models
        return "google"
    return PROVIDERS.get(lowered) or COMPANIES.get(_COMPANY.sub("", lowered), lowered)


def bills_calls(provider: str, model: str) -> bool:
    """Whether calls have a fee of their own beside their tokens: Perplexity's (https://docs.perplexity.ai, pricing)."""
    named = provider_id(provider) or provider_id(model.partition("/")[0] if "/" in model else "")
    return named == "perplexity" or (not named and model.lower().startswith("sonar"))


#: What a gateway's route behind a name changes in the price.
_ROUTES: Final = {
    "nitro": "routed to the fastest provider, which may cost more",
    "floor": "routed to the cheapest provider, which may cost less",
    "exacto": "routed to providers by quality, which may cost more",
    "online": "the web searches of :online are not in it",
    "extended": "the longer context may cost more",
    "thinking": "",
    "beta": "",
    "latest": "",
}
_SNAPSHOT: Final = re.compile(r"(?:[-@:](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|latest))+\Z")
_WINDOW: Final = re.compile(r"\s*\[\d+[km]\]\Z")
_IN_BRACKETS: Final = re.compile(r"\s*\(([^()]*)\)")
_DAY: Final = re.compile(r"20\d\d-?[01]\d-?[0-3]\d\Z")
#: Said of a name and no other model: a place where it is sold, the size of its window.
_SAID_BESIDE: Final = re.compile(
    r".*(?:bedrock|vertex|azure|foundry|context|edition|cross-region|global|latest|new)\b.*"
)
_FAMILY: Final = re.compile(r"claude-(\d+(?:[.-]\d+)?)-(opus|sonnet|haiku)(?=-|\Z)")
#: How hard a model thinks is behind its name in Cursor and others; it changes the tokens, not their price.
_EFFORT: Final = re.compile(
    r"\A((?:gpt-(?!image)|o\d|claude-).*?[a-z0-9])(?:-(?:minimal|low|medium|high|xhigh|thinking)){1,2}\Z"
)
_DOTTED: Final = re.compile(r"(?<=\d)\.(?=\d)")
_UNDOTTED: Final = re.compile(r"\bgpt-(35|41|45)(?=-|\Z)")
_MODE: Final = re.compile(r"(?<=\d)-(?:beta-)?(?:non-)?reasoning(?:-latest)?\Z")
#: OpenAI's `ft:base:organisation:suffix:id`, and Azure's `base.ft-id`.
_TUNED: Final = re.compile(r"ft:(?P<base>[^:]+)(?::.*)?\Z|(?P<azure>[^/]+)\.ft-[0-9a-f]+\Z")


class Spelling(NamedTuple):
    """Another way to write a name; `assumed` says what had to be supposed ("": it is the same model)."""

    name: str
    assumed: str = ""


def without_snapshot(model: str) -> str:
    """gpt-4o-2024-08-06, claude-sonnet-4-5@20250929 and qwen-max-latest without their last part."""
    return _SNAPSHOT.sub("", model)


def spellings(name: str) -> tuple[Spelling, ...]:
    """Other spellings of a lower-case name, the closest first; nothing where it is written as price lists write it."""
    found = dict.fromkeys(one for one in _spellings(name) if one.name and one.name != name)
    return tuple(found)


def _spellings(name: str) -> Iterator[Spelling]:
    plain = _WINDOW.sub("", name)
    assumed = ""
    if " " in plain:
        plain, assumed = _displayed(plain)
    effortless = _EFFORT.sub(r"\1", plain)
    if plain != name or _FAMILY.search(plain):
        yield from _with_dots(plain, assumed)
    if effortless != plain:
        yield from _with_dots(effortless, assumed)
    base, _, route = plain.rpartition(":")
    if base and route in _ROUTES:
        said = _ROUTES[route]
        routed = Spelling(base, f"priced as {base}: {said}" if said else assumed)
        yield routed
        for other in _spellings(base):
            yield Spelling(other.name, "; ".join(filter(None, (routed.assumed, other.assumed))))
    if tuned := _TUNED.match(plain):
        base = tuned["base"] or tuned["azure"]
        if tuned["base"]:
            yield Spelling(f"ft:{base}")
            yield Spelling(f"ft:{without_snapshot(base)}")
        said = "a fine-tuned model may cost more" if tuned["base"] else "the hosting of a fine-tuned model is not in it"
        for one in (base, without_snapshot(base)):
            yield Spelling(one, f"priced as {base}: {said}")
    if _UNDOTTED.search(plain):
        dotted = _UNDOTTED.sub(lambda found: f"gpt-{found[1][0]}.{found[1][1]}", plain)
        yield Spelling(dotted, "" if "gpt-35" in plain else f"{plain} is assumed to be {dotted}")
    if plain.startswith("grok-") and _MODE.search(plain):
        shorter = _MODE.sub("", plain)
        yield Spelling(without_snapshot(shorter), f"{plain} is assumed to cost as {shorter}")


def _displayed(name: str) -> tuple[str, str]:
    """A name as a console shows it, with hyphens: 'anthropic: claude opus 5 (20260101)' is claude-opus-5-20260101."""
    unsaid = [said.strip() for said in _IN_BRACKETS.findall(name)]
    behind, assumed = "", ""
    for said in unsaid:
        if _DAY.match(said):
            behind += f"-{said}"
        elif said in {"free", "preview", "beta"}:
            behind += ":free" if said == "free" else f"-{said}"
        elif not _SAID_BESIDE.search(said):
            assumed = f"({said}) in its name may change its price"
    bare = _IN_BRACKETS.sub("", name).strip()
    maker, colon, rest = bare.partition(": ")
    bare = rest if colon and maker else bare
    return re.sub(r"[\s_]+", "-", bare.strip()).removeprefix("anthropic-").replace("+", "-plus") + behind, assumed


def _with_dots(name: str, assumed: str) -> Iterator[Spelling]:
    """Claude's versions are written with dots and with hyphens, before and behind the family's name."""
    turned = _FAMILY.sub(lambda found: f"claude-{found[2]}-{found[1]}", name)
    for one in dict.fromkeys((name, turned)):
        yield Spelling(one, assumed)
        if one.startswith(("claude", "amazon-nova", "nova")):
            hyphened = _DOTTED.sub("-", one)
            yield Spelling(hyphened, assumed)
            yield Spelling(re.sub(r"\A(?:amazon-)?nova-", "amazon.nova-", hyphened), assumed)
