"""Common names of columns: their meaning in any file, which are quantities, and which are text or ids of rows."""

from __future__ import annotations

import re
from typing import Final

from alertd.core.formats.layout import IGNORED, Column, money, plain
from alertd.core.formats.words import WORDS

#: Prefixes that say nothing: gen_ai.usage.input_tokens, usage.input_tokens, attributes.llm.usage.prompt_tokens.
_PREFIX: Final = re.compile(
    r"(?:attributes_|properties_|span_|resource_|metadata_usage_|log_|llm_token_count_|llm_|gen_ai_client_|gen_ai_|ai_|ls_|response_usage_"
    r"|usage_details_|token_usage_|usage_metadata_|usage_|token_counts_|tokens_details_|metrics_)+"
)
_COUNTING: Final = re.compile(
    r"(?:^|_)(?:tokens?|costs?|amounts?|spend|spent|charges?|charged|billed|fees?|usd|eur|cents|credits|dollars?|euros?)(?=_|$)"
)
#: Words anywhere in a name that make it a limit, a rate or an average.
_LIMITS: Final = re.compile(
    r"(?:^|_)(?:max|maximum|min|minimum|limits?|budgets?|per|rate|speed|avg|average|mean|median|p\d+|percent|pct|ratio"
    r"|share|latency|remaining|quota|left|available|threshold|cap|allowed)(?:_|$)"
)
#: Words behind what counts that make it a name: cost_center, token_type.
_NAMES: Final = re.compile(
    r"_(?:type|kind|ids?|names?|keys?|hash|alias|code|category|source|center|centre|allocation|explorer|model|tags?"
    r"|label|status|class|frequency|description|subcategory|currency|symbol|units?|version|region|owner|group|to|ms"
    r"|seconds|duration|price|date|time|at|by|period|start|end|count_method|details|account)(?:_|$)"
)
#: What is counted, in the name of a label that holds nothing but numbers.
_COUNTED: Final = re.compile(
    r"(?:^|_)(?:cache|cached|input|output|prompt|completion|reasoning|thinking|thoughts|(?:request|response|total)_units"
    r"|discounts?|taxe?s?|vat|refunds?|rebates?)"
    r"(?:_|$)"
)
#: Sizes of texts, and other numbers about a request that nobody pays for.
_SIZES: Final = re.compile(
    r"(?:^|_)(?:length|len|chars?|characters|bytes|words|size|score|index|number|turns?|messages?|temperature|hits?"
    r"|hit|used|enabled|flag|eval|lines|files|images?|chunks|documents|docs)(?:_|$)"
)
#: Secrets that are called tokens.
_SECRET: Final = re.compile(
    r"(?:api|access|auth|csrf|bearer|session|refresh|id|secret|device|bos|eos|stop|pad)_token\Z"
)


#: What charges for models are called on a cloud's bill of everything.
MODELS: Final = re.compile(
    r"bedrock|openai|cognitive|foundry|azure ai|ai services|vertex|gemini|generative|claude|anthropic|llama|mistral"
    r"|deepseek|gpt|qwen|nova|titan|grok|cohere|sagemaker|model studio|百炼|大模型|dashscope|\bllm\b|tokens?\b|ai21"
    r"|inference|managed inference|\bAI\b|bailian|sfm_|copilot|github.models",
    re.IGNORECASE,
)
#: Free text: never a label, never shown.
TEXT: Final = frozenset(
    [
        "prompt",
        "prompts",
        "messages",
        "message",
        "response",
        "responses",
        "completion",
        "completions",
        "content",
        "text",
        "body",
        "request",
        "query",
        "question",
        "answer",
        "error",
        "error_message",
        "input_text",
        "output_text",
        "proxy_server_request",
        "request_body",
        "response_body",
        "user_message",
        "system_prompt",
        "instructions",
        "reasoning_content",
        "thinking",
        "tools",
        "tool_calls",
        "functions",
        "choices",
        "raw",
        "payload",
        "notes",
        "comment",
        "exception",
        "traceback",
        "stack_trace",
        "metadata",
        "request_tags_json",
    ]
)
#: A name for each row: no label, or every row would be a series of its own.
IDENTITIES: Final = frozenset(
    [
        "id",
        "request_id",
        "generation_id",
        "trace_id",
        "span_id",
        "uuid",
        "message_id",
        "response_id",
        "call_id",
        "completion_id",
        "event_id",
        "row_id",
        "parent_id",
        "observation_id",
        "invocation_id",
        "turn_id",
        "parent_observation_id",
        "litellm_call_id",
        "log_id",
        "record_id",
    ]
)


def meaning(name: str) -> Column | None:
    """What a plain column name means in any file; None where it is not known."""
    if known := WORDS.get(name):
        return known
    for code in ("usd", "eur", "gbp", "cny", "jpy", "inr"):
        stem = name.removesuffix(f"_{code}")
        if stem == name:
            continue
        if stem in {"total", "net", "sum"}:
            return money(code.upper())
        if (found := WORDS.get(stem)) and found.role == "money":
            return money(code.upper(), part=found.part)
    shorter = _PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name
    return meaning(shorter) if shorter and shorter != name else None


def counts(name: str) -> bool:
    """Whether a column that is not known counts tokens or money by its name, and so may not be left out."""
    found = list(_COUNTING.finditer(name))
    if not found or _LIMITS.search(name) or _SECRET.search(name):
        return False
    return not _NAMES.match(name[found[-1].end() :])


def may_count(name: str) -> bool:
    """Whether a label (a plain name) with nothing but numbers may be a meter that is not known by its name."""
    found = list(_COUNTED.finditer(name))
    if not found or _LIMITS.search(name) or _SIZES.search(name) or _SECRET.search(name):
        return False
    return not _NAMES.search(name[found[0].start() :])


def meant(text: str) -> Column | None:
    """A meaning as people write it in `--columns`: a column name that is known, `label`, `ignore`, or a meter."""
    word = plain(text)
    if word in {"ignore", "ignored"}:
        return IGNORED
    if word == "label":
        return Column("label")
    return meaning(word)
