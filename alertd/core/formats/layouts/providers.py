"""Bills and metrics of single providers: Fireworks, Together, Scaleway, Alibaba, DeepSeek.

Sources: docs.fireworks.ai (exporting billing metrics), together SDK 3.1 (billing usage), Scaleway's Billing API
v2beta1 (consumptions), Alibaba's "detailed file format" (the names of its columns in the API, in English and Chinese),
DeepSeek's monthly export (`amount-*.csv`: tokens, `cost-*.csv`: money).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from alertd.core.formats.documents import flat
from alertd.core.formats.layout import (
    ACCOUNT,
    CURRENCY,
    END,
    INSTANCE,
    METER,
    MODEL,
    QUANTITY,
    TIME,
    UNIT,
    Flat,
    Layout,
    ignored,
    label,
    money,
    plain,
    tokens,
)
from alertd.core.formats.names import MODELS


def _scaleway(objects: Iterable[object]) -> Iterator[Flat]:
    """Lines of a month's consumption, and the part of its discount that models have by what they cost."""
    for one in objects:
        if not isinstance(one, dict) or not isinstance(one.get("consumptions"), list):
            continue
        updated = one.get("updated_at")
        month = {"month": updated[:7] if isinstance(updated, str) else ""}
        lines = [flat(line) for line in one["consumptions"] if isinstance(line, dict)]
        amounts = [Decimal(line.get("value.units") or 0) + _nanos(line.get("value.nanos") or "0") for line in lines]
        names = ("category_name", "product_name", "resource_name", "sku")
        of_models = [any(MODELS.search(line.get(name, "")) for name in names) for line in lines]
        for line, amount in zip(lines, amounts, strict=True):
            yield {**line, **month, "value.units": "", "value.nanos": "", "value": f"{amount:f}"}
        discount, total = _decimal(one.get("total_discount_untaxed_value")), sum(amounts)
        if discount and total:
            models = sum(amount for amount, is_model in zip(amounts, of_models, strict=True) if is_model)
            currency = next((line.get("value.currency_code", "") for line in lines), "")
            row = {"product_name": "AI: discounts", "value": f"{discount * models / total:f}"}
            yield {**row, **month, "value.currency_code": currency}


def _nanos(text: str) -> Decimal:
    return Decimal(text).scaleb(-9)


def _decimal(value: object) -> Decimal:
    return Decimal(value) if isinstance(value, str) and value else Decimal(0)


_ALIBABA: Final = {
    INSTANCE: "instance_id instanceid resource_id 实例id 实例_id 资源_实例id",
    QUANTITY: "usage usage_amount 用量",
    UNIT: "usage_unit unit 用量单位",
    money(): "pretax_amount pre_tax_amount amount_due 应付金额 税前应付金额",
    CURRENCY: "currency currency_code 币种",
    ACCOUNT: "account_id 账号id",
    label("product"): "product_detail product_details commodity_name 商品名称 产品明细",
    label("line"): "billing_item billing_item_name 计费项 计费项名称",
    label("region"): "region region_name 地域 资源所属地域",
}

_ALIBABA_TIMES: Final = (
    "UsageStartTime|Usage Start Time|使用开始时间|BillingDate|Billing Date|Bill Date|账单日期|日期"
    "|BillingCycle|Billing Cycle|Billing Month|账期|账单月份"
)

LAYOUTS: Final = (
    Layout(
        name="fireworks",
        title="Fireworks billing metrics",
        recognised_by=("usage_type", "base_model_name", "accelerator_seconds", "prompt_tokens", "completion_tokens"),
        provider="fireworks",
        includes=frozenset({"cache"}),
        columns={
            "start_time": TIME,
            "end_time": END,
            "email": label("email"),
            "usage_type": label("usage_type"),
            "accelerator_type": label("accelerator"),
            "accelerator_seconds": tokens("accelerator_seconds", rounded=True),
            "base_model_name": MODEL,
            "prompt_tokens": tokens("input"),
            "cached_prompt_tokens": tokens("cached_input"),
            "completion_tokens": tokens("output"),
            **ignored("uncached_prompt_tokens", "model_bucket", "parameter_count"),
        },
    ),
    Layout(
        name="together",
        title="Together billing usage (JSON)",
        recognised_by=("start_time", "end_time", "product_name", "unit_price", "cost"),
        provider="together",
        path="data[].line_items[]",
        carry=("start_time", "end_time", "currency"),
        columns={
            "start_time": TIME,
            "end_time": END,
            "currency": CURRENCY,
            "product_name": label("product"),
            "cost": money(),
            "attributes_api_key_id": label("key"),
            "attributes_project_id": label("project"),
        },
        one_cost=True,
    ),
    Layout(
        name="scaleway",
        title="Scaleway consumption (JSON)",
        note="a discount of the whole bill is shared in proportion to the cost",
        recognised_by=("month", "product_name", "value", "value.currency_code"),
        provider="scaleway",
        currency="EUR",
        objects=_scaleway,
        products=("category_name", "product_name", "resource_name", "sku"),
        columns={
            "month": TIME,
            "value": money(),
            "value_currency_code": CURRENCY,
            "category_name": label("category"),
            "product_name": label("product"),
            "resource_name": label("resource"),
            "sku": label("sku"),
            "project_id": label("project"),
            "project_name": label("project_name"),
        },
        one_cost=True,
    ),
    Layout(
        name="alibaba",
        title="Alibaba Cloud bill by instance",
        recognised_by=(
            "InstanceID|Instance ID|实例ID|实例 ID|资源/实例ID",
            "PretaxAmount|Pretax Amount|Pre-tax Amount|Amount Due|应付金额|税前应付金额",
            _ALIBABA_TIMES,
        ),
        provider="alibaba",
        currency="CNY",
        zone="Asia/Shanghai",
        products=("product_detail", "product_details", "product_name", "product_code", "commodity_name", "instance_id",
                  "商品名称", "产品明细", "产品名称", "实例id", "资源_实例id", "billing_item", "计费项"),
        columns={
            **{name: column for column, names in _ALIBABA.items() for name in names.split()},
            **dict.fromkeys(map(plain, _ALIBABA_TIMES.split("|")), TIME),
            "product_name": label("product_name"),
            "product_code": label("product_code"),
            "产品名称": label("product_name"),
        },
        one_cost=True,
    ),
    Layout(
        name="deepseek-amount",
        title="DeepSeek usage export (amount)",
        recognised_by=("utc_date", "model", "type", "price", "amount"),
        provider="deepseek",
        columns={
            "utc_date": TIME,
            "model": MODEL,
            "type": METER,
            "amount": QUANTITY,
            "user_id": label("user"),
            "api_key_name": label("key"),
            **ignored("api_key", "price"),
        },
        values={
            "type": {
                "input_cache_hit_tokens": "cached_input",
                "input_cache_miss_tokens": "input",
                "prompt_cache_hit_tokens": "cached_input",
                "prompt_cache_miss_tokens": "input",
                "output_tokens": "output",
                "completion_tokens": "output",
                "request_count": "ignored",
            }
        },
    ),
    Layout(
        name="deepseek-cost",
        title="DeepSeek usage export (cost)",
        recognised_by=("utc_date", "model", "wallet_type", "cost", "currency"),
        provider="deepseek",
        columns={
            "utc_date": TIME,
            "model": MODEL,
            "cost": money(),
            "currency": CURRENCY,
            "user_id": label("user"),
            "wallet_type": label("wallet"),
        },
    ),
)  # fmt: skip
