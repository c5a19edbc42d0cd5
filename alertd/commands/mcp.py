"""`alertd mcp`: the MCP server for an agent, over standard input and output. It asks a running alertd."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from alertd.clients.own_api import OwnApi
from alertd.commands._context import refusal

HELP: Final = "answer an agent over MCP (standard input and output), by asking a running alertd"
EXAMPLES: Final = (
    "ALERTD_URL=http://127.0.0.1:9480 ALERTD_TOKEN=... alertd mcp",
    "alertd mcp --propose     # also proposals, which change nothing until a person accepts them",
)
ENDS: Final = "0 when the agent closes the connection; 1 without the extra; 2 for wrong usage"
_HERE: Final = "http://127.0.0.1:9480"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether it proposes. Where alertd is, and the token, come from the environment of the agent."""
    parser.add_argument(
        "--propose", action="store_true", help="offer proposals too; the token needs the role responder"
    )


def run(args: argparse.Namespace) -> int:
    """0 when the agent has closed the connection."""
    if find_spec("mcp") is None:
        raise refusal("alertd mcp", "the MCP SDK is not installed", "pip install 'alertd[mcp]'")
    token = os.environ.get("ALERTD_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    api = OwnApi(os.environ.get("ALERTD_URL", _HERE).rstrip("/"), headers)
    server = import_module("alertd.web.mcp_server").build_server(lambda _: api, proposes=args.propose)
    server.run("stdio")
    return 0
