"""The schema of both databases as numbered steps, forward only. A step never takes away what an older alertd reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from alertd.ports import StoreError
from alertd.stores.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, as statements in which `$integer` and the like stand for the database's own words.

    `oldest` is the lowest schema number that an alertd must know to work on the result: a step that only adds keeps
    it, so that the version before still runs after a roll-back.
    """

    number: int
    oldest: int
    statements: tuple[str, ...]


_FIRST: Final = (
    # Writers of one kind take turns by locking one row: what a reader sees in order was committed in order.
    "CREATE TABLE turn (name $text PRIMARY KEY, number $integer NOT NULL) $clustered",
    "INSERT INTO turn VALUES ('ledger', 0), ('closed', 0), ('compacted', 0), ('decisions', 0), ('probe', 0)",
    """CREATE TABLE source (
        name $text PRIMARY KEY, revision $integer NOT NULL DEFAULT 0, cursor_text $text,
        until_at $integer, complete_from $integer, last_ok $integer, failing_since $integer,
        error $text NOT NULL DEFAULT '', degraded $text NOT NULL DEFAULT '',
        assumed $text NOT NULL DEFAULT '', assumed_at $integer) $clustered""",
    """CREATE TABLE series (
        id $identity, digest $text NOT NULL UNIQUE, source $text NOT NULL, provider $text NOT NULL,
        model $text NOT NULL, meter $text NOT NULL, modifiers $text NOT NULL, account $text NOT NULL,
        labels $text NOT NULL, billed $text NOT NULL) $plain""",
    # By start first: new buckets go to the end of the tree, and a period is one range of it.
    """CREATE TABLE usage (
        start $integer NOT NULL, series $integer NOT NULL, width $integer NOT NULL, quantity $integer NOT NULL,
        revision $integer NOT NULL, PRIMARY KEY (start, series, width)) $clustered""",
    "CREATE INDEX usage_revision ON usage (revision)",
    # A day has 86,400 seconds: the few wider buckets are found apart when a period is read.
    "CREATE INDEX usage_wide ON usage (start) WHERE width > 86400",
    # Buckets of at most an hour as compressed columns: those of a source that start within some minutes.
    """CREATE TABLE usage_block (
        source $text NOT NULL, slot $integer NOT NULL, buckets $bytes NOT NULL, revision $integer NOT NULL,
        PRIMARY KEY (slot, source)) $plain""",
    "CREATE INDEX usage_block_revision ON usage_block (revision)",
    "CREATE INDEX usage_block_slot ON usage_block (slot, revision)",
    # What an interval of blocks adds up to, which a start reads in their place, and the newest revision among them.
    """CREATE TABLE usage_sum (
        start $integer NOT NULL, finish $integer NOT NULL, revision $integer NOT NULL, sums $bytes NOT NULL,
        PRIMARY KEY (start, finish)) $plain""",
    # The states of a source's raw series, divided by their fingerprints.
    """CREATE TABLE counter_block (
        source $text NOT NULL, part $integer NOT NULL, states $bytes NOT NULL, PRIMARY KEY (source, part)) $plain""",
    """CREATE TABLE alert (
        alert_key $text PRIMARY KEY, at $integer NOT NULL, event $text NOT NULL, state $text NOT NULL) $plain""",
    "CREATE INDEX alert_at ON alert (at)",
    # What the last evaluation of each status saw, computed and decided: for commands that do not evaluate anew.
    """CREATE TABLE evaluation (
        name $text PRIMARY KEY, budget $text NOT NULL, at $integer NOT NULL, record $text NOT NULL) $plain""",
    "CREATE INDEX evaluation_budget ON evaluation (budget)",
    "CREATE TABLE note (name $text PRIMARY KEY, value $text NOT NULL, revision $integer NOT NULL) $clustered",
    """CREATE TABLE outbox (
        id $identity, message_key $text NOT NULL, notifier $text NOT NULL, conversation $text NOT NULL,
        events $text NOT NULL, created $integer NOT NULL, state $text NOT NULL DEFAULT 'waiting',
        attempts $integer NOT NULL DEFAULT 0, not_before $integer NOT NULL DEFAULT 0, lease_until $integer,
        fence $integer NOT NULL DEFAULT 0, first_tried $integer, uncertain $integer NOT NULL DEFAULT 0,
        reason $text NOT NULL DEFAULT '', done_at $integer, critical $integer NOT NULL DEFAULT 0,
        UNIQUE (message_key, notifier)) $plain""",
    "CREATE INDEX outbox_line ON outbox (notifier, critical DESC, id) WHERE done_at IS NULL",
    "CREATE INDEX outbox_open ON outbox (notifier, conversation, id) WHERE done_at IS NULL",
    "CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL",
    "CREATE TABLE ended_session (session $text PRIMARY KEY, until $integer NOT NULL) $clustered",
    """CREATE TABLE conversation (
        notifier $text NOT NULL, conversation $text NOT NULL, memory $text NOT NULL, at $integer NOT NULL,
        PRIMARY KEY (notifier, conversation)) $clustered""",
)

_AUDIT: Final = (
    """CREATE TABLE audit (
        id $identity, act $text NOT NULL, number $integer NOT NULL, at $integer NOT NULL, what $text NOT NULL,
        state $text NOT NULL, who $text NOT NULL, reason $text NOT NULL, request $text NOT NULL,
        evidence $text NOT NULL, UNIQUE (act, number)) $plain""",
    # The audit of actions only grows, whatever SQL is run.
    "$audit_unchanged",
    "$audit_kept",
)

MIGRATIONS: Final = (Migration(1, 1, _FIRST), Migration(2, 1, _AUDIT))

_TABLE: Final = "CREATE TABLE IF NOT EXISTS migration (number $integer PRIMARY KEY, oldest $integer NOT NULL) $plain"


def migrate(tx: Transaction, words: Mapping[str, str], steps: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the schema up to the last step inside one exclusive transaction, and give the number it has now.

    A newer schema is worked on where it only added to what this alertd knows, and refused by StoreError where not; so
    is a database that holds another program's tables: some programs drop every table that they do not know.
    """
    tables = {name for (name,) in tx.rows(words["tables"])}
    if tables and "migration" not in tables:
        raise StoreError(
            f"{tx.place}: holds tables of another program (in all {len(tables)}) and none of alertd's. Give alertd a"
            " database of its own (PostgreSQL: CREATE DATABASE alertd) and name it in ALERTD_DATABASE"
        )
    tx.run(Template(_TABLE).substitute(words))
    done = dict(tx.rows("SELECT number, oldest FROM migration"))
    known = steps[-1].number
    needed = max(done.values(), default=0)
    if needed > known:
        raise StoreError(
            f"{tx.place}: written by a newer alertd (schema {max(done)}, readable from {needed} on; this one knows"
            f" {known}). Run that version again, or restore the backup taken before the upgrade"
        )
    for step in steps:
        if step.number not in done:
            for statement in step.statements:
                tx.run(Template(statement).substitute(words))
            tx.run("INSERT INTO migration (number, oldest) VALUES (?, ?)", step.number, step.oldest)
    return max(known, *done, 0) if done else known
