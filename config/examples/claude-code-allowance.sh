#!/usr/bin/env bash
# A hook of Claude Code: before each prompt, ask alertd whether this user may go on. It sends the user's name, no prompt.
# In .claude/settings.json:
#   {"hooks": {"UserPromptSubmit": [{"hooks": [{"type": "command", "command": ".claude/hooks/alertd.sh", "timeout": 5}]}]}}
# Environment: ALERTD_URL, ALERTD_TOKEN (role allowance), ALERTD_USER (default: git's user.email). Needs curl and jq.
# Only a plain no stops the prompt; where nobody answers in two seconds, it goes on.
user="${ALERTD_USER:-$(git config user.email 2>/dev/null)}"
answer=$(curl -fsS --max-time 2 -G "$ALERTD_URL/api/v1/allowance" ${ALERTD_TOKEN:+-H "Authorization: Bearer $ALERTD_TOKEN"} \
  --data-urlencode "user=$user" 2>/dev/null) || exit 0
jq -c 'if .allow == false then {decision: "block", reason: .reason}
       elif .warning or .status == "at_risk" then {systemMessage: .reason} else empty end' <<<"$answer" 2>/dev/null || exit 0
