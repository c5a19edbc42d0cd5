"""`alertd estimate`: what a fine-tuning job at Together AI will cost, by the formula or by Together's own estimate."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from alertd.clients.price_files import price_book
from alertd.commands._context import refusal
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.config_errors import one_of
from alertd.core.messages.format import amount
from alertd.core.pricing.modifiers import TrainingJob, tokens_processed, tokens_unpacked
from alertd.core.pricing.price_book import Unpriced
from alertd.core.pricing.price_file import PriceFileError
from alertd.core.pricing.price_suggestions import price_blocks
from alertd.ports import SourceError
from alertd.sources._together import Estimate
from alertd.sources.together import Options, Together

HELP: Final = "the cost of a fine-tuning job at Together AI, by the formula or by Together's own estimate"
EXAMPLES: Final = (
    "alertd estimate --model meta-llama/Meta-Llama-3.1-8B-Instruct-Reference --training-tokens 20M --epochs 3",
    "alertd estimate --model acme/model --parameters 32B --method dpo --type full --examples 5000 --longest 8192",
    "alertd estimate --source together --model qwen/qwen3-8b --training-file file-abc --env-file my.env",
)
ENDS: Final = "0; 1 if the rate of the job is not known or Together gives no estimate; 2 for wrong usage"
_SCALES: Final = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the job, the source of the estimate, your own prices."""
    add_settings_arguments(parser)
    parser.add_argument(
        "--model", required=True, help="the base model; its size is read from its name, else give --parameters"
    )
    parser.add_argument("--parameters", type=_count, default=0, metavar="8B", help="how large the model is")
    parser.add_argument("--method", choices=("sft", "dpo"), default="sft", help="supervised (sft) or preferences (dpo)")
    parser.add_argument("--type", choices=("lora", "full"), default="lora", help="LoRA or all weights")
    parser.add_argument("--epochs", type=_count, default=1, metavar="N", help="passes over the training file (1)")
    parser.add_argument("--training-tokens", type=_count, default=0, metavar="20M", help="tokens of the training file")
    parser.add_argument("--examples", type=_count, default=0, metavar="N", help="without packing: examples of the file")
    parser.add_argument("--longest", type=_count, default=0, metavar="N", help="without packing: the longest sequence")
    parser.add_argument("--evals", type=_count, default=0, metavar="N", help="evaluations during training (0)")
    parser.add_argument(
        "--validation-tokens", type=_count, default=0, metavar="1M", help="tokens of the validation file"
    )
    parser.add_argument("--prices", action="append", default=[], type=Path, metavar="F.toml", help="own prices")
    parser.add_argument("--source", metavar="NAME", help="ask Together with this source's key instead")
    parser.add_argument("--training-file", metavar="ID", help="with --source: the id of the uploaded training file")
    parser.add_argument("--validation-file", metavar="ID", help="with --source: that of the validation file")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _count(text: str) -> int:
    scale = _SCALES.get(text[-1:].lower(), 1)
    digits = text[:-1] if scale > 1 else text
    if not (digits.isascii() and digits.replace(".", "", 1).isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens; write 20000000 or 20M")
    count = Decimal(digits) * scale
    if count != int(count):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write 20000000 or 20M")
    return int(count)


def run(args: argparse.Namespace) -> int:
    """Print the estimate; 0, or 1 where it is missing."""
    return _asked(args) if args.source else _computed(args)


def _computed(args: argparse.Namespace) -> int:
    """Tokens processed by the published formula, at the rate of the model's size, method and type."""
    unpacked = tokens_unpacked(examples=args.examples, longest_sequence=args.longest)
    if not (args.training_tokens or unpacked):
        raise refusal("--training-tokens", "there are no training tokens", "give it, or --examples and --longest")
    tokens = tokens_processed(
        epochs=args.epochs,
        training_tokens=args.training_tokens or unpacked,
        evaluations=args.evals,
        validation_tokens=args.validation_tokens,
    )
    try:
        book = price_book(args.prices)
    except PriceFileError as error:
        raise refusal("--prices", str(error), "config/prices.example.toml is an example") from error
    line, today = TrainingJob(args.model, args.method, args.type, args.parameters).line, datetime.now(UTC).date()
    price = book.price(line, today)
    if isinstance(price, Unpriced):
        block = next(iter(price_blocks(book, [line], today)), "")
        _answer(args, {"tokens": tokens, "reason": price.reason, "block": block}, f"{tokens:,} tokens: {price.reason}")
        if not args.json:
            print(f"\n# to paste into a file of --prices, with the provider's figures:\n\n{block}")
        return 1
    cost = price.of(tokens)
    found = {"tokens": tokens, "price": f"{cost:f}", "currency": price.currency, "source": price.source}
    said = f"{tokens:,} tokens x {price.amount:f} {price.currency} per 1M = {amount(cost, price.currency)}"
    _answer(args, found, f"{said} ({price.note or price.source})")
    return 0


def _asked(args: argparse.Namespace) -> int:
    """Together's own estimate of a job before it is created."""
    settings = settings_of(args)
    known = {name: options for name, (_, options) in settings.sources.items() if isinstance(options, Options)}
    if args.source not in known:
        raise refusal("--source", f"no source {args.source!r} of kind together", one_of(args.source, known))
    if not args.training_file:
        raise refusal("--training-file", "Together's estimate needs an uploaded file", "give the file's id")
    job: dict[str, Any] = {
        "training_file": args.training_file,
        "model": args.model,
        "n_epochs": args.epochs,
        "n_evals": args.evals,
        "training_method": {"method": args.method},
        "training_type": {"type": "Lora" if args.type == "lora" else "Full"},
        **({"validation_file": args.validation_file} if args.validation_file else {}),
    }
    try:
        found = asyncio.run(_estimate(Together(args.source, known[args.source]), job))
    except SourceError as error:
        raise refusal(args.source, str(error), "check the job, and that its file was validated") from error
    if found.price is None:
        _answer(args, {"reason": found.reason}, f"Together gives no estimate: {found.reason}")
        return 1
    tokens = found.training_tokens + found.evaluation_tokens
    limit = f"; it may not start: {amount(found.limit, 'USD')} are left of the limit" if not found.allowed else ""
    _answer(
        args,
        {"tokens": tokens, "price": f"{found.price:f}", "currency": "USD", "allowed": found.allowed,
         "limit": f"{found.limit:f}", "source": "Together's estimate"},
        f"{tokens:,} tokens = {amount(found.price, 'USD')} by Together's estimate{limit}",
    )  # fmt: skip
    return 0


async def _estimate(source: Together, job: dict[str, object]) -> Estimate:
    try:
        return await source.estimate(job)
    finally:
        await source.close()


def _answer(args: argparse.Namespace, found: dict[str, object], said: str) -> None:
    print(json.dumps(found) if args.json else said)
