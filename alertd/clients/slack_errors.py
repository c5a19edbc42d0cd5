"""Slack's error names: which are permanent, and what to do about them. Tables only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What Slack's Web API refuses for good, and the remedy. What is not in the table may pass, and is retried.
PERMANENT: Final[Mapping[str, str]] = {
    "invalid_auth": "the bot token is wrong",
    "not_authed": "the bot token is missing",
    "account_inactive": "the bot token's app or user was removed",
    "token_revoked": "the bot token was revoked; reinstall the app",
    "token_expired": "the bot token has expired",
    "org_login_required": "the workspace moved to an organisation; reinstall the app",
    "ekm_access_denied": "an administrator suspended the workspace's key",
    "missing_scope": "the app lacks a scope; add chat:write and reinstall it",
    "no_permission": "the app lacks a permission; add chat:write and reinstall it",
    "not_allowed_token_type": "this is no bot token (xoxb-...)",
    "access_denied": "the app may not do this",
    "channel_not_found": "there is no such channel, or it is private and the app is not in it: /invite the app",
    "not_in_channel": "the app is not in the channel: /invite it, or add chat:write.public",
    "is_archived": "the channel is archived",
    "restricted_action": "the workspace's settings forbid posting there",
    "restricted_action_read_only_channel": "the channel is read-only",
    "restricted_action_thread_only_channel": "the channel takes replies only",
    "restricted_action_non_threadable_channel": "the channel takes no replies",
    "msg_too_long": "the message is too long",
    "msg_blocks_too_long": "the message's blocks are too long",
    "no_text": "the message has no text",
    "invalid_blocks": "the message's blocks are not valid",
    "invalid_blocks_format": "the message's blocks are not valid",
    "invalid_arguments": "the message is not valid",
    "invalid_metadata_format": "the message's metadata is not valid",
    "invalid_metadata_schema": "the message's metadata is not valid",
    "metadata_too_large": "the message's metadata is too large",
    "cannot_reply_to_message": "the thread cannot be replied to",
    "thread_not_found": "the thread is gone",
    "message_not_found": "the message is gone",
    "cant_update_message": "the message is not the app's own",
    "edit_window_closed": "the message is too old to be changed",
    "team_access_not_granted": "the app has no access to this workspace",
    "method_deprecated": "Slack has withdrawn the method",
    "unknown_method": "api_url is not Slack's",
    "invalid_json": "Slack could not read the request",
    "json_not_object": "Slack could not read the request",
}
#: What an incoming webhook says in plain text beside its status; the status says whether it is final.
WEBHOOK_REMEDIES: Final[Mapping[str, str]] = {
    "no_service": "the webhook was removed or disabled; make a new one",
    "no_service_id": "webhook_url is not whole",
    "no_team": "webhook_url is not whole",
    "invalid_token": "the webhook was revoked; make a new one",
    "action_prohibited": "an administrator forbids it",
    "posting_to_general_channel_denied": "the workspace forbids posting to #general",
    "channel_not_found": "the webhook's channel is gone",
    "channel_is_archived": "the webhook's channel is archived",
    "invalid_payload": "Slack could not read the message",
    "too_many_attachments": "the message is too long",
    "rollup_error": "Slack has a fault; it will be tried again",
}
