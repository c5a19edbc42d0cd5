"""Evaluation: from the ledger and the stored state to budget statuses, alerts and their messages. Pure."""
