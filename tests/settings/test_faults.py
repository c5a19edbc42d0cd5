"""What is wrong with a configuration is said all at once, each with its place and its remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sample_plugins import Faults

from alertd.core.config_errors import Fault

SOUND = {
    "ALERTD_SOURCES__GATEWAY__KIND": "tap",
    "ALERTD_SOURCES__GATEWAY__URL": "http://tap:9090",
    "ALERTD_NOTIFIERS__OPS__KIND": "post",
    "ALERTD_NOTIFIERS__MAIL__KIND": "echo",
    "ALERTD_ACTIONS__STOP_RESEARCH__KIND": "stop",
    "ALERTD_BUDGETS__RESEARCH__AMOUNT": "500 USD",
}
BUDGET = "ALERTD_BUDGETS__RESEARCH__"
SOURCE = "ALERTD_SOURCES__GATEWAY__"
OPS = "ALERTD_NOTIFIERS__OPS__"
THOUSANDS = ": a point and three digits may be thousands or decimals; write it as 1500 or 1.50"
IN_MESSAGES = "holds a user or password, which every message would show; leave out what is before the @"
JSON = 'a list is written ["a","b"], a map {"a":"b"}'

#: One defect each, over a configuration that is sound: variable, value, what is said (all of it).
BROKEN = [
    # keys
    ("ALERTD_DATABSE", "x", "no such key; did you mean ALERTD_DATABASE?"),
    ("ALERTD_BUGDETS__A__AMOUNT", "5 USD", "no such key; did you mean ALERTD_BUDGETS__A__AMOUNT?"),
    (
        "ALERTD_BUDGETS_RESEARCH_AMOUNT",
        "5 USD",
        "no such key; did you mean ALERTD_BUDGETS__RESEARCH__AMOUNT? (two underscores between the parts)",
    ),
    ("ALERTD_HTTP_LISTEN", "x", "no such key; did you mean ALERTD_HTTP__LISTEN? (two underscores between the parts)"),
    (BUDGET + "TRESHOLDS", "actual 80%", "no such key; did you mean ALERTD_BUDGETS__RESEARCH__THRESHOLDS?"),
    (SOURCE + "PRESETS", "vllm", "no such key; did you mean ALERTD_SOURCES__GATEWAY__PRESET?"),
    ("ALERTD_DEFAULTS__CURENCY", "USD", "no such key; did you mean ALERTD_DEFAULTS__CURRENCY?"),
    ("ALERTD_HTTP__OPEN_METRIC", "true", "no such key; did you mean ALERTD_HTTP__OPEN_METRICS?"),
    ("ALERTD_PRICES__FILE", "x", "no such key; did you mean ALERTD_PRICES__FILES?"),
    (
        "ALERTD_HTTP__ZZZ",
        "1",
        (
            "no such key; there are: allowance_listen, listen, mcp, open_metrics, token, tokens_file, "
            "trusted_proxies, user_header"
        ),
    ),
    ("ALERTD_DATABASE__URL", "x", "has no keys; write it as ALERTD_DATABASE"),
    (
        "ALERTD_BUDGETS__LATER",
        "5 USD",
        "has keys, and no value itself; write its keys one by one (ALERTD_BUDGETS__LATER__...), or a JSON map",
    ),
    ("ALERTD_BUDGETS__A/B__AMOUNT", "5 USD", "'a/b' is not a valid name; a name is letters, digits, - and _"),
    # top level
    (
        "ALERTD_DATABASE",
        "mysql://db",
        "no database; write sqlite:////var/lib/alertd/alertd.db or postgresql://host/alertd",
    ),
    ("ALERTD_POLL_INTERVAL", "fast", "'fast' is no duration; write it as 60s, 5m, 1h30m or 2d"),
    ("ALERTD_POLL_INTERVAL", "0s", "0s is too short; write 1s or longer"),
    ("ALERTD_TIMEZONE", "Europe/Berln", "'Europe/Berln' is not a time zone; write an IANA name such as Europe/Berlin"),
    ("ALERTD_DRY_RUN", "maybe", "neither true nor false; write true or false"),
    ("ALERTD_DIGEST", "weeky", "none of its values; write weekly, daily or off"),
    ("ALERTD_QUIET_HOURS", "22-7", "'22-7' are no quiet hours; write them as 22:00-07:00"),
    ("ALERTD_QUIET_HOURS", "25:00-07:00", "'25:00-07:00' are no quiet hours; write them as 22:00-07:00"),
    ("ALERTD_QUIET_HOURS", "07:00-07:00", "07:00-07:00: quiet hours end when they start; write them as 22:00-07:00"),
    ("ALERTD_PUBLIC_URL", "alertd.example.com", "not a web address; write it as https://host/path"),
    ("ALERTD_HEARTBEAT_URL", "ftp://x", "not a web address; write it as https://host/path"),
    (
        "ALERTD_HTTP__LISTEN",
        "9480",
        "'9480' is not a host and port; write it as 127.0.0.1:9480, or 0.0.0.0:9480 for everywhere",
    ),
    (
        "ALERTD_HTTP__LISTEN",
        "127.0.0.1:99999",
        "'127.0.0.1:99999' is not a host and port; write it as 127.0.0.1:9480, or 0.0.0.0:9480 for everywhere",
    ),
    ("ALERTD_FX__EURUSD", "1.08", "not a pair of currencies; write EUR_USD=1.08: one EUR is 1.08 USD"),
    ("ALERTD_FX__USD_USD", "1", "not a pair of currencies; write EUR_USD=1.08: one EUR is 1.08 USD"),
    ("ALERTD_FX__EUR_USD", "-1", "'-1' is not a rate; write a number above 0, such as 1.08"),
    ("ALERTD_FX__EUR_USD", "NaN", "'NaN' is not a rate; write a number above 0, such as 1.08"),
    # budgets
    (BUDGET + "AMOUNT", "500", "'500' has no currency; write 500 USD"),
    *(
        (BUDGET + key, f"{before}{text}", f"'{text}'{THOUSANDS}")
        for key, before in (("AMOUNT", ""), ("AMOUNTS", "2027-01-01="), ("OPENING", ""))
        for text in ("1.000 USD", "12.345.678 USD")
    ),
    ("ALERTD_DEFAULTS__AMOUNT", "1.000 tokens", f"'1.000 tokens'{THOUSANDS}"),
    ("ALERTD_PUBLIC_URL", "https://user:pass@alertd.example.com", IN_MESSAGES),
    (BUDGET + "RUNBOOK_URL", "https://user:pass@wiki.example.com", IN_MESSAGES),
    (BUDGET + "AMOUNT", "lots", "'lots' is not an amount; write it as 500 USD or 5M tokens"),
    (
        BUDGET + "CURRENCY",
        "EUR",
        (BUDGET + "AMOUNT", "'500 USD' is in USD, but the currency here is EUR; give one of them"),
    ),
    (BUDGET + "CURRENCY", "Euros", "'Euros' is not a currency; write a code such as USD, or tokens"),
    (BUDGET + "OPENING", "20 EUR", "'20 EUR' is in EUR, but the currency here is USD; give one of them"),
    (
        BUDGET + "PERIOD",
        "mnth",
        (
            "no period 'mnth'; there are: day, hour, month, quarter, rolling 5h, week, window 5h, year; "
            "did you mean month?"
        ),
    ),
    (BUDGET + "TIMEZONE", "CETT", "'CETT' is not a time zone; write an IANA name such as CET"),
    (BUDGET + "START_DAY", "first", "not a whole number; write a number such as 1"),
    (BUDGET + "WHERE", "research", "'research' has no label; write it as team=research,model=gpt-*"),
    (
        BUDGET + "WHERE",
        "team=web AND model=gpt-4o",
        "'web AND model=gpt-4o' has a second condition; write a comma between: team=web,model=gpt-*",
    ),
    (
        BUDGET + "WHERE",
        "team=web model=gpt-4o",
        "'web model=gpt-4o' has a second condition; write a comma between: team=web,model=gpt-*",
    ),
    (
        BUDGET + "WHERE",
        "team=web;model=gpt-4o",
        "'web;model=gpt-4o' has a second condition; write a comma between: team=web,model=gpt-*",
    ),
    (
        BUDGET + "WHERE",
        "team!=a",
        "'team!' is not a label pattern; write team=research, or team=!research for all others",
    ),
    (BUDGET + "WHERE", "team=", "team has no pattern; write team=research, or team=!* for usage without team"),
    (
        BUDGET + "WHERE",
        '{"team": 5}',
        'a pattern is text; write it as {"team":"research","model":["gpt-*","!gpt-4o-mini"]}',
    ),
    (BUDGET + "WHERE", '{"team": ', "not valid JSON (Expecting value at character 9); " + JSON),
    (BUDGET + "THRESHOLDS", "actual eighty", "'actual eighty' is no threshold; write it as actual 80%"),
    (BUDGET + "THRESHOLDS", "actual 400 EUR", "'actual 400 EUR' is in EUR, but the budget in USD; give both in one"),
    (
        BUDGET + "THRESHOLDS",
        "spent 80%",
        (
            "'spent 80%' is no threshold; a basis is one of actual, forecast, burn_rate, anomaly, balance, novel; "
            "write it as actual 80%"
        ),
    ),
    (BUDGET + "NOTIFY", "opps", "no 'opps' in notifiers; there are: mail, ops; did you mean ops?"),
    (BUDGET + "NOTIFY", '{"critical": ["pager"]}', "no 'pager' in notifiers; there are: mail, ops"),
    (
        BUDGET + "NOTIFY",
        '{"urgent": ["ops"]}',
        "no severity 'urgent'; there are: critical, info, warning",
    ),
    (BUDGET + "ACTIONS", "stop", "no 'stop' in actions; there are: stop-research"),
    (BUDGET + "RUNBOOK_URL", "wiki", "not a web address; write it as https://host/path"),
    (
        BUDGET + "TABLE_FILE",
        "teams.csv",
        "a table without PER; name the labels of its rows: ALERTD_BUDGETS__RESEARCH__PER=team",
    ),
    # plug-ins
    (SOURCE + "KIND", "tab", "no 'tab' in sources; there are: tap; did you mean tap?"),
    (SOURCE + "URL", "", "required; write it as http://tap:9090"),
    (SOURCE + "PRESET", "litelm", "none of its values; write litellm or vllm"),
    (SOURCE + "INTERVAL", "often", "'often' is no duration; write it as 60s, 5m, 1h30m or 2d"),
    (SOURCE + "INTERVAL", "0s", "0s is too short; write 1s or longer"),
    (SOURCE + "TIMEOUT", "0s", "0s is too short; write 1ms or longer"),
    (
        BUDGET + "PERIOD",
        "rolling 90m",
        "'90m' is no length of a rolling window; write whole hours up to 90d, as rolling 5h",
    ),
    (BUDGET + "PERIOD", "window 8d", "'8d' is no length of a window; write whole hours up to 7d, as window 5h"),
    (SOURCE + "LABELS", "search", "not a map; write it as team=search,env=production or as JSON"),
    (SOURCE + "DROP_LABELS", '["end_user"', "not valid JSON (Expecting ',' delimiter at character 12); " + JSON),
    (OPS + "PORT", "99999", "must be at most 65535; A port, 1 to 65535"),
    (OPS + "FALLBACK", "male", "no 'male' in notifiers; there are: mail; did you mean mail?"),
    (OPS + "FALLBACK", "ops", "goes in a circle: ops -> ops; leave one of them out"),
    ("ALERTD_NOTIFIERS__PAGER__URL", "x", ("ALERTD_NOTIFIERS__PAGER__KIND", "required; write echo or post")),
    ("ALERTD_ACTIONS__STOP_RESEARCH__MODE", "automatic", "none of its values; write dry_run, approve or auto"),
    (
        "ALERTD_ACTIONS__STOP_RESEARCH__MAX_PER_HOUR",
        "-1",
        "must be at least 0; The most keys that all actions together may change in an hour",
    ),
]


def test_the_configuration_that_the_defects_are_made_in_is_sound(faults: Faults) -> None:
    assert faults(SOUND) == ()


@pytest.mark.parametrize(("key", "value", "said"), BROKEN, ids=[f"{key}={value}" for key, value, _ in BROKEN])
def test_one_defect_is_one_fault_that_names_its_key_and_the_remedy(
    faults: Faults, key: str, value: str, said: str | tuple[str, str]
) -> None:
    place, text = said if isinstance(said, tuple) else (key, said)
    assert [str(fault) for fault in faults({**SOUND, key: value})] == [f"{place}: {text}"]


def test_all_defects_are_told_at_once(faults: Faults) -> None:
    defects: dict[str, str] = {}
    for key, value, said in BROKEN:
        if key not in defects and key not in SOUND and isinstance(said, str):
            defects[key] = value
    found = {fault.place for fault in faults({**SOUND, **defects})}
    assert len(defects) > 35
    assert found == defects.keys()


def test_a_budget_without_an_amount_is_told_how_to_write_one(faults: Faults) -> None:
    assert faults({"ALERTD_BUDGETS__RESEARCH__OWNER": "@ana"}) == (
        Fault("ALERTD_BUDGETS__RESEARCH__AMOUNT", "required", "write it as 500 USD"),
    )


def test_a_misspelt_amount_is_one_fault_and_not_also_a_missing_one(faults: Faults) -> None:
    assert [fault.place for fault in faults({"ALERTD_BUDGETS__RESEARCH__AMUONT": "500 USD"})] == [
        "ALERTD_BUDGETS__RESEARCH__AMUONT"
    ]


def test_nothing_to_watch_is_a_fault_only_for_who_needs_it(faults: Faults) -> None:
    assert faults({}) == ()
    assert [str(fault) for fault in faults({}, need=("sources", "budgets"))] == [
        (
            "ALERTD_SOURCES__GATEWAY__...: no sources are configured; "
            "write ALERTD_SOURCES__GATEWAY__KIND=prometheus, and its URL"
        ),
        "ALERTD_BUDGETS__TEAM__...: no budgets are configured; write ALERTD_BUDGETS__TEAM__AMOUNT=500 USD",
    ]


def test_an_escalation_says_when_and_to_whom(faults: Faults) -> None:
    to, after = {BUDGET + "ESCALATE_TO": "ops"}, {BUDGET + "ESCALATE_AFTER": "30m"}
    assert [str(fault) for fault in faults({**SOUND, **to})] == [
        f"{BUDGET}ESCALATE_TO: has no time to escalate after; say when: {BUDGET}ESCALATE_AFTER=30m"
    ]
    assert [str(fault) for fault in faults({**SOUND, **after})] == [
        f"{BUDGET}ESCALATE_AFTER: has no notifier to escalate to; name a notifier: {BUDGET}ESCALATE_TO=ops"
    ]
    assert faults({**SOUND, **to, **after}) == ()


def test_a_circle_of_fallbacks_is_told_at_each_of_its_notifiers(faults: Faults) -> None:
    env = {f"ALERTD_NOTIFIERS__{name}__KIND": "echo" for name in "ABCD"}
    env |= {"ALERTD_NOTIFIERS__A__FALLBACK": "b", "ALERTD_NOTIFIERS__B__FALLBACK": "c"}
    assert faults({**env, "ALERTD_NOTIFIERS__C__FALLBACK": "d"}) == ()
    env |= {"ALERTD_NOTIFIERS__C__FALLBACK": "b"}
    assert [fault.place for fault in faults(env)] == ["ALERTD_NOTIFIERS__B__FALLBACK", "ALERTD_NOTIFIERS__C__FALLBACK"]


def test_a_start_day_that_its_period_has_not_is_a_fault(faults: Faults) -> None:
    env = {**SOUND, BUDGET + "PERIOD": "week", BUDGET + "START_DAY": "8"}
    assert [str(fault) for fault in faults(env)] == [
        BUDGET + "START_DAY: the start day of a week is 1 to 7, not 8; 1 is the default"
    ]


def test_a_fault_in_the_defaults_is_told_once_at_the_default(faults: Faults) -> None:
    env = {**SOUND, "ALERTD_BUDGETS__SEARCH__AMOUNT": "5 USD", "ALERTD_DEFAULTS__NOTIFY": "nobody"}
    env |= {"ALERTD_DEFAULTS__PERIOD": "moon"}
    assert [fault.place for fault in faults(env)] == ["ALERTD_DEFAULTS__PERIOD", "ALERTD_DEFAULTS__NOTIFY"]


@pytest.mark.parametrize("key", ["CONFIG", "HTTP__TOKENS_FILE", "PRICES__FILES", "PRICES__LIST_FILE",
                                 "PRICES__SECOND_OPINION"])  # fmt: skip
@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "[" * 100_000, '{"a":' * 100_000])
def test_a_file_that_is_nested_without_end_is_one_fault(faults: Faults, tmp_path: Path, key: str, text: str) -> None:
    file = tmp_path / "deep"
    file.write_text(text)
    (fault,) = faults({**SOUND, f"ALERTD_{key}": str(file)})
    assert fault.problem
    assert len(str(fault)) < 500


def test_a_fault_in_toml_is_told_at_its_toml_key_with_the_file(faults: Faults, tmp_path: Path) -> None:
    config = tmp_path / "alertd.toml"
    config.write_text(
        'datbase = "x"\n[budgets.research]\namuont = "5 USD"\nperiod = 5\n[sources.gateway]\nkind = "tap"\n'
    )
    assert [str(fault) for fault in faults(config=config)] == [
        "datbase (alertd.toml): no such key; did you mean database?",
        "sources.gateway.url: required; write it as http://tap:9090",
        "budgets.research.amuont (alertd.toml): no such key; did you mean budgets.research.amount?",
        (
            "budgets.research.period (alertd.toml): no period 5; there are: day, hour, month, quarter, rolling 5h,"
            " week, window 5h, year"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ALERTD_DATBASE=x\n", "ALERTD_DATBASE (my.env:1): no such key; did you mean ALERTD_DATABASE?"),
        ("\n# one\nALERTD_DRY_RUN=perhaps", "ALERTD_DRY_RUN (my.env:3): neither true nor false; write true or false"),
        (
            'ALERTD_TIMEZONE="UTC\n',
            "my.env:1: no KEY=value; write one KEY=value per line; a value that begins with a quote must end with it",
        ),
        ("ALERTED_DRY_RUN=true", "ALERTED_DRY_RUN (my.env:1): no such key; keys begin with ALERTD_"),
        ("ALERTD_PORT=9480", "ALERTD_PORT (my.env:1): no such key"),
        ("PATH=/bin\nGRAFANA_URL=x\n", ""),
    ],
)
def test_a_fault_in_an_env_file_is_told_with_its_line(faults: Faults, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "my.env"
    file.write_text(text)
    assert "\n".join(map(str, faults(env_files=[file]))).startswith(said)
    assert bool(faults(env_files=[file])) == bool(said)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"env_files": ["absent.env"]}, "--env-file absent.env"),
        ({"config": "absent.toml"}, "--config"),
        ({"env": {"ALERTD_CONFIG": "absent.toml"}}, "ALERTD_CONFIG"),
        ({"env": {"ALERTD_DATABASE_FILE": "absent"}}, "ALERTD_DATABASE_FILE"),
        ({"env": {"ALERTD_SECRETS_DIR": "absent"}}, "ALERTD_SECRETS_DIR"),
        ({"env": {"ALERTD_PRICES__FILES": "absent.toml"}}, "ALERTD_PRICES__FILES"),
        ({"env": {**SOUND, BUDGET + "PER": "team", BUDGET + "TABLE_FILE": "absent.csv"}}, BUDGET + "TABLE_FILE"),
    ],
)
def test_a_file_that_is_not_there_is_a_fault_of_the_key_that_names_it(
    faults: Faults, given: dict[str, object], place: str
) -> None:
    (fault,) = faults(**given)
    assert fault.place == place
    assert "absent" in fault.problem
    assert fault.remedy


def test_a_toml_file_that_is_none_is_told_with_its_line(faults: Faults, tmp_path: Path) -> None:
    config = tmp_path / "alertd.toml"
    config.write_text('database = "x"\n[budgets\n')
    (fault,) = faults(config=config)
    assert fault.place == str(config)
    assert "line 2" in fault.problem


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e99999999999999999999"])
def test_a_number_beyond_all_numbers_is_a_fault_in_toml_and_in_json(
    faults: Faults, tmp_path: Path, number: str
) -> None:
    file = tmp_path / "alertd.toml"
    file.write_text(f"[budgets.research]\namount = {number}\n")
    (in_toml,) = faults({**SOUND, "ALERTD_CONFIG": str(file)})
    (in_json,) = faults({**SOUND, BUDGET + "WHERE": f'{{"team": {number}}}'})
    assert in_toml.place == str(file)
    assert in_json.place == BUDGET + "WHERE"
    assert in_json.problem.startswith("JSON that is nested too deeply")


def test_a_grace_is_a_share_or_an_amount_of_the_budgets_unit_and_for_what_is_over_only(faults: Faults) -> None:
    def lines(more: dict[str, str]) -> list[str]:
        return [str(fault) for fault in faults({**SOUND, **more})]

    risky = {BUDGET + "ALLOWANCE_GRACE": "10%", BUDGET + "ALLOWANCE": "at_risk"}
    assert lines(risky) == [
        f"{BUDGET}ALLOWANCE_GRACE: is for ALLOWANCE=over only; leave it out, or leave ALLOWANCE at over"
    ]
    (line,) = lines({BUDGET + "ALLOWANCE_GRACE": "10 EUR"})
    assert "but the currency here is USD" in line
    assert line.endswith("or as a share of the amount, 10%")
    assert lines({BUDGET + "ALLOWANCE_GRACE": "20", BUDGET + "ALLOWANCE_MODE": "warn"}) == []


def test_a_budget_is_part_of_one_that_exists_in_its_currency_and_periods_and_not_below_itself(faults: Faults) -> None:
    company = {**SOUND, "ALERTD_BUDGETS__COMPANY__AMOUNT": "900 USD", BUDGET + "PARENT": "company"}
    assert faults(company) == ()
    company_in_euro = (
        "is in USD, but company is in EUR; give both one currency: costs of others are converted by ALERTD_FX"
    )
    weeks = "has other periods than company; give both the same PERIOD, TIMEZONE and START_DAY, of days or longer"
    for changed, said in (
        ({BUDGET + "PARENT": "compny"}, "no 'compny' in budgets; there are: company, research; did you mean company?"),
        ({"ALERTD_BUDGETS__COMPANY__AMOUNT": "900 EUR"}, company_in_euro),
        ({BUDGET + "PERIOD": "week"}, weeks),
        ({BUDGET + "PARENT": "research"}, "research is part of research itself; a budget has its parts below it only"),
    ):
        assert [str(fault) for fault in faults({**company, **changed})] == [f"{BUDGET}PARENT: {said}"]


@pytest.mark.parametrize(
    "name",
    [
        "ALERTD_DATABASE",
        SOURCE + "TOKEN",
        SOURCE + "URL",
        OPS + "URL",
        BUDGET + "WHERE",
        "ALERTD_HTTP__TOKEN",
        "ALERTD_\udcff",
    ],
)
def test_bytes_in_the_environment_that_are_no_utf8_are_a_fault_that_repeats_none_of_them(
    faults: Faults, name: str
) -> None:
    place = name.replace("\udcff", r"\udcff")
    said = [str(fault) for fault in faults(env={**SOUND, name: f"secret-{os.fsdecode(bytes([0xC3, 0x28]))}"})]
    assert said[0] == f"{place}: is no UTF-8 text; set it again, as UTF-8"
    assert all("required" in one for one in said[1:]), "what has to be there is not there without it"
    assert "secret" not in str(said)


def test_half_a_character_in_json_is_a_fault(faults: Faults) -> None:
    (fault,) = faults(env={**SOUND, BUDGET + "WHERE": r'{"team": "\ud83d"}'})
    assert "JSON with half of a character" in str(fault)
    assert not faults(env={**SOUND, BUDGET + "WHERE": r'{"team": "\ud83d\ude00"}'})
