"""What gateways, OpenTelemetry, bills and people call a provider, and the one id that everything here uses for it."""

from __future__ import annotations

import re
from typing import Final

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
