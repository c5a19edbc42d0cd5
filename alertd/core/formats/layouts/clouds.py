"""Bills of clouds: AWS CUR 2.0 and its forerunner, Azure cost details, Google's billing export, FOCUS 1.0 to 1.3.

Of a whole account's bill only charges for models are read, and what is left out is said; a FOCUS file is read whole.
Sources: docs.aws.amazon.com/cur (table dictionary), learn.microsoft.com (cost details fields), cloud.google.com/billing
(standard usage cost schema), focus.finops.org (columns of 1.0 to 1.3).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from alertd.core.formats.documents import decoded
from alertd.core.formats.layout import (
    CURRENCY,
    END,
    MODEL,
    PROVIDER,
    TIME,
    Cells,
    Column,
    Flat,
    Layout,
    label,
    money,
    tokens,
)


def _credits(text: str) -> Flat:
    """Google's credits of one charge: their sum is less than nothing."""
    try:
        found = decoded(text)
    except ValueError:
        return {}
    listed = found if isinstance(found, list) else []
    amounts = [one.get("amount") for one in listed if isinstance(one, dict)]
    return {"credits_sum": f"{sum((Decimal(str(amount)) for amount in amounts if amount), Decimal(0)):f}"}


_FOCUS: Final[dict[str, Column]] = {
    "billed_cost": money(required=True),
    "billing_currency": CURRENCY,
    "charge_period_start": TIME,
    "charge_period_end": END,
    "service_provider_name": PROVIDER,
    "provider_name": PROVIDER,
    "provider": PROVIDER,
    "service_name": label("service"),
    "service": label("service"),
    "sub_account_name": label("subaccount"),
    "sub_account_id": label("subaccount_id"),
    "region_id": label("region"),
    "region": label("region"),
    "charge_category": label("category"),
}

LAYOUTS: Final = (
    Layout(
        name="focus",
        title="FOCUS 1.0 to 1.3 cost and usage",
        recognised_by=("BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd"),
        columns=_FOCUS,
        one_cost=True,
    ),
    Layout(
        name="aws-cur",
        title="AWS Cost and Usage Report (CUR 2.0 and legacy)",
        recognised_by=("line_item_usage_start_date", "line_item_unblended_cost", "line_item_product_code"),
        provider="aws",
        products=("line_item_product_code", "line_item_usage_type", "line_item_line_item_description",
                  "product_product_name", "product_servicename", "line_item_operation"),
        columns={
            "line_item_usage_start_date": TIME,
            "line_item_usage_end_date": END,
            "line_item_unblended_cost": money(),
            "line_item_currency_code": CURRENCY,
            "line_item_product_code": label("service"),
            "line_item_usage_type": label("usage_type"),
            "line_item_operation": label("operation"),
            "line_item_line_item_type": label("category"),
            "line_item_line_item_description": label("description"),
            "line_item_usage_account_id": label("subaccount"),
            "line_item_usage_account_name": label("subaccount_name"),
            "line_item_iam_principal": label("principal"),
            "product_product_name": label("product"),
            "product_servicename": label("product"),
            "product_region_code": label("region"),
        },
        one_cost=True,
    ),
    Layout(
        name="azure-costs",
        title="Azure cost details",
        recognised_by=(
            "MeterCategory", "MeterName", "Date|UsageDate|UsageDateTime", "CostInBillingCurrency|PreTaxCost|Cost",
        ),
        provider="azure",
        dates="mdy",
        products=("meter_category", "meter_sub_category", "meter_name", "product_name", "consumed_service", "product",
                  "service_family"),
        columns={
            "date": TIME,
            "usage_date": TIME,
            "usage_date_time": TIME,
            "cost_in_billing_currency": money(),
            "pre_tax_cost": money(),
            "cost": money(),
            "billing_currency": CURRENCY,
            "billing_currency_code": CURRENCY,
            "currency": CURRENCY,
            "meter_category": label("service"),
            "meter_sub_category": label("meter_category"),
            "meter_name": label("meter"),
            "product_name": label("product"),
            "product": label("product"),
            "consumed_service": label("consumed_service"),
            "service_family": label("service_family"),
            "charge_type": label("category"),
            "subscription_name": label("subaccount"),
            "resource_group_name": label("resource_group"),
            "resource_group": label("resource_group"),
            "resource_location": label("region"),
        },
        one_cost=True,
    ),
    Layout(
        name="gcp-billing",
        title="Google Cloud billing export",
        recognised_by=("service.description", "sku.description", "usage_start_time", "cost", "currency"),
        provider="google",
        cells={"credits": Cells(_credits, ("credits_sum",))},
        products=("service_description", "sku_description"),
        columns={
            "usage_start_time": TIME,
            "usage_end_time": END,
            "cost": money(summed=True),
            "credits_sum": money(summed=True),
            "currency": CURRENCY,
            "service_description": label("service"),
            "sku_description": label("sku"),
            "project_id": label("project"),
            "location_region": label("region"),
            "cost_type": label("category"),
        },
        one_cost=True,
    ),
    Layout(
        name="gcp-cost-table",
        title="Google Cloud cost table (CSV of the console)",
        recognised_by=("Service description", "SKU description", "Usage start date", "Usage end date",
                       "Cost ($)|Cost (€)|Cost (£)"),
        provider="google",
        products=("service_description", "sku_description"),
        columns={
            "usage_start_date": TIME,
            "usage_end_date": END,
            "cost_usd": money("USD"),
            "cost_eur": money("EUR"),
            "cost_gbp": money("GBP"),
            "service_description": label("service"),
            "sku_description": label("sku"),
            "project_id": label("project"),
            "cost_type": label("category"),
        },
        one_cost=True,
    ),
    Layout(
        name="bedrock-invocations",
        title="Amazon Bedrock model invocation log (JSON lines)",
        recognised_by=("timestamp", "modelId", "input.inputTokenCount", "output.outputTokenCount"),
        provider="aws",
        includes=frozenset(),
        columns={
            "timestamp": TIME,
            "model_id": MODEL,
            "input_input_token_count": tokens("input", exclusive=True),
            "input_cache_read_input_token_count": tokens("cached_input"),
            "input_cache_write_input_token_count": tokens("cache_write"),
            "output_output_token_count": tokens("output"),
            "account_id": label("subaccount"),
            "region": label("region"),
            "identity_arn": label("principal"),
        },
        one_cost=True,
    ),
)  # fmt: skip
