"""Evaluation: from the ledger and what is remembered to budget statuses, alerts and their messages. Pure."""
