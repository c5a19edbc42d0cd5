"""A second price list: where it disagrees the model is named, and it never prices anything."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.clients.price_files import price_book
from alertd.core.pricing.price_book import Price, PriceBook, Unpriced
from alertd.core.pricing.price_file import PriceFileError, read_price_file
from alertd.core.pricing.price_suggestions import disagreements, price_blocks
from alertd.core.usage import Line

DAY = date(2026, 11, 20)
TABLE = {
    "sample_spec": {"litellm_provider": "one of the providers", "input_cost_per_token": 0.0},
    "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06,
               "output_cost_per_token": 1.08e-05, "cache_read_input_token_cost": 6.25e-07},
    "xai/grok-code-fast-1": {"litellm_provider": "xai", "mode": "chat", "input_cost_per_token": 1e-06,
                             "input_cost_per_token_above_200k_tokens": 2e-06},
    "azure/eu/gpt-5": {"litellm_provider": "azure", "mode": "chat", "input_cost_per_token": 1.375e-06},
    "deepseek/deepseek-v4-pro": {"litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 1.32e-06},
    "gpt-realtime": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_audio_token": 3.2e-05},
    "ft:gpt-4.1-mini-2025-04-14": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 8e-07},
    "gpt-4.1-mini": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 4e-07},
    "whisper-1": {"litellm_provider": "openai", "mode": "audio_transcription", "input_cost_per_second": 0.0002},
    "gpt-9": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 7e-06,
              "output_cost_per_token": 2.1e-05},
    "scaleway/llama-3.3-70b-instruct": {"litellm_provider": "scaleway", "mode": "chat", "input_cost_per_token": 9e-07},
}  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "model_prices.json"
    file.write_text(json.dumps(TABLE))
    return file


def differing(book: PriceBook, *lines: Line) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    found = disagreements(book, lines, DAY)
    return {(one.line.model, one.line.meter): (one.ours.amount, one.theirs.amount) for one in found}


def test_prices_that_differ_by_more_than_a_tenth_are_named_and_no_others(table: Path) -> None:
    found = differing(
        price_book((), str(table)),
        Line("openai", "gpt-4o", "input"),
        Line("openai", "gpt-4o", "output"),  # 8% more
        Line("openai", "gpt-4o", "cached_input"),
        Line("x-ai", "grok-code-fast-1", "input"),
        Line("azure", "azure/eu/gpt-5", "input"),
        Line("deepseek", "deepseek-v4-pro", "input"),  # within the hours of the day
        Line("openai", "gpt-realtime", "input", (("modality", "audio"),)),
        Line("openai", "whisper-1", "minutes"),
        Line("scaleway", "llama-3.3-70b-instruct", "input"),  # euros in dollars there
        Line("openai", "ft:gpt-4.1-mini-2025-04-14:acme::x", "input"),  # the fine-tuned one, not its base
        Line("openai", "gpt-9", "input"),  # ours has none: unpriced, no disagreement
    )
    assert found == {
        ("gpt-4o", "cached_input"): (Decimal("1.25"), Decimal("0.625")),
        ("grok-code-fast-1", "input"): (Decimal("0.2"), Decimal(1)),
        ("whisper-1", "minutes"): (Decimal("0.006"), Decimal("0.012")),
    }


def test_a_disagreement_is_said_with_both_prices_and_both_lists(table: Path) -> None:
    (one,) = disagreements(price_book((), str(table)), [Line("xai", "grok-code-fast-1", "input")], DAY)
    assert one.said.startswith("grok-code-fast-1 input: prices disagree: 0.20 USD (genai-prices ")
    assert one.said.endswith(") per 1M")
    assert " or 1.00 USD (model_prices.json of 20" in one.said


def test_a_price_of_one_s_own_settles_it_and_a_discount_does_not_begin_it(table: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    line = Line("x-ai", "grok-code-fast-1", "input")
    own.write_text('[[price]]\nprovider = "xai"\nmodel = "grok-code-fast-1"\ncurrency = "USD"\ninput = "0.18"')
    assert differing(price_book([own], str(table)), line) == {}
    own.write_text('[[discount]]\nprovider = "openai"\nmodel = "*"\npercent = "50"')
    assert differing(price_book([own], str(table)), Line("openai", "gpt-4o", "input")) == {}


def test_a_file_of_one_s_own_may_be_called_like_one_that_ships(table: Path, tmp_path: Path) -> None:
    (tmp_path / "openai.toml").write_text("")
    line = Line("openai", "whisper-1", "minutes")  # its price is of the openai.toml that ships
    assert differing(price_book([tmp_path / "openai.toml"], str(table)), line)


def test_the_second_list_prices_nothing(table: Path) -> None:
    book = price_book((), str(table))
    assert isinstance(book.price(Line("openai", "gpt-9", "input"), DAY), Unpriced)
    price = book.price(Line("x-ai", "grok-code-fast-1", "input"), DAY)
    assert isinstance(price, Price)
    assert price.amount == Decimal("0.2")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no JSON"), ("[]", "is no price table of LiteLLM"), ('{"gpt-4o": 3}', "is no price table of LiteLLM")],
)
def test_what_is_no_table_is_a_fault_with_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(PriceFileError, match=f"{said}.*; give"):
        price_book((), str(tmp_path / "t.json"))


def test_genai_prices_data_as_a_file_goes_before_what_ships(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    assert price_book((), "", file).price_list is not None  # not there yet: what ships is used
    raw = [{"id": f"p{number}", "name": "P", "api_pattern": "p", "models": []} for number in range(5)]
    raw[0] = {
        "id": "openai", "name": "OpenAI", "api_pattern": "openai",
        "models": [{"id": "gpt-9", "match": {"equals": "gpt-9"}, "prices": {"input_mtok": 7, "output_mtok": 21}}],
    }  # fmt: skip
    file.write_text(json.dumps(raw))
    book = price_book((), "", file)
    price = book.price(Line("openai", "gpt-9", "input"), DAY)
    assert isinstance(price, Price)
    assert price.amount == 7
    assert price.source.startswith("genai-prices of 20")
    shipped = book.price(Line("openai", "gpt-4o", "input"), DAY)  # what the file lacks is not taken away
    assert isinstance(shipped, Price)
    assert shipped.source.startswith("genai-prices 0")
    for wrong in ("{}", "[1]", "[]", "nothing"):
        file.write_text(wrong)
        with pytest.raises(PriceFileError, match="data.json"):
            price_book((), "", file)


#: What has no price today, and a name that a file could not quote.
UNPRICED = [
    [Line("openai", "gpt-9", "input"), Line("openai", "gpt-9", "output"), Line("openai", "gpt-9", "cached_input")],
    [Line("together", "meta-llama/Llama-3.1-405B", "training", (("method", "dpo"), ("type", "full")))],
    [Line("fireworks", "accounts/fireworks/models/zork-v9p9", "input")],
    [Line("acme", "zork", "minutes"), Line("acme", "zork", "requests")],
    [Line("acme", "zork", "hours")],
    [Line("", "whatever model", "output")],
    [Line("openai", "gpt-4o", "input", (("tier", "moonlight"),))],
    [Line("azure", 'my "chat" \\ deployment', "cached_input")],
    [Line("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", "input")],
    [Line("vllm", "llama-3", "input"), Line("vllm", "llama-3", "output")],
]


@pytest.mark.parametrize("lines", UNPRICED, ids=lambda lines: lines[0].model)
@pytest.mark.parametrize("second", ["alone", "compared"])
def test_the_block_to_paste_prices_what_had_no_price(table: Path, lines, second: str) -> None:
    book = price_book((), str(table) if second == "compared" else "")
    assert all(isinstance(book.price(line, DAY), Unpriced) for line in lines)
    blocks = list(price_blocks(book, lines, DAY))
    own = PriceBook((read_price_file("own.toml", "\n\n".join(blocks)), *book.layers), book.price_list, own=1)
    for line in lines:
        price = own.price(line, DAY)
        assert isinstance(price, Price), price.reason
        assert price.amount > 0
        assert "known of" not in price.assumed
    assert list(price_blocks(own, lines, DAY)) == []


def test_the_block_has_the_second_list_s_figures_where_it_has_them(table: Path) -> None:
    (block,) = price_blocks(price_book((), str(table)), [Line("openai", "gpt-9", "input")], DAY)
    assert 'input = "7.00"' in block
    assert 'output = "21.00"' in block
    assert "by model_prices.json of 20" in block


def test_a_model_is_never_its_own_nearest(book: PriceBook) -> None:
    for name in ("meta-llama/Llama-3-8b-chat-hf", "openai/gpt-4o", "GPT-4o", "qwen/qwen3-coder:free"):
        known = {name.lower(), name.lower().rsplit("/", 1)[-1]}
        assert known.isdisjoint(one.lower() for one in book.nearest(name))
        assert book.nearest(name) is book.nearest(name)  # the search is long, and is made once


def test_a_known_model_without_a_price_for_a_meter_says_which(book: PriceBook) -> None:
    line = Line(
        "together", "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo", "training", (("method", "dpo"), ("type", "full"))
    )
    reason = book.price(line, DAY)
    assert isinstance(reason, Unpriced)
    assert reason.known
    assert "has no price for training of method dpo, size >100B, type full" in reason.reason


def test_the_table_of_an_installed_package_is_read_and_never_imported(table, tmp_path, monkeypatch) -> None:
    package = tmp_path / "site" / "litellm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    table.rename(package / "model_prices_and_context_window_backup.json")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (one,) = disagreements(price_book((), "litellm"), [Line("xai", "grok-code-fast-1", "input")], DAY)
    assert one.theirs.source.startswith("litellm")


def test_a_package_that_is_not_installed_is_a_fault_with_a_remedy() -> None:
    with pytest.raises(PriceFileError, match="no package litellm .* is installed here; give the path of its table"):
        price_book((), "litellm")
