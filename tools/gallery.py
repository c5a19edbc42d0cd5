"""Pictures of every message, as people see it: Slack from its blocks, mails in light, dark and on a telephone.

For developers; needs Debian's chromium. `python tools/gallery.py [WORD...]` writes docs/gallery.md and its
pictures, or only those whose names have one of the words. Slack's and Teams' pages are look-alikes; the mails are the
very HTML that is sent.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from alertd.clients.png import png
from alertd.core.addresses import answer_page, page_of
from alertd.core.charts.message_chart import DARK, LIGHT, Theme, story
from alertd.core.events import Event
from alertd.core.messages import Message, compose
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.notifiers import discord, google_chat, teams
from alertd.notifiers._blocks import render as blocks
from alertd.notifiers._buttons import ButtonSigner, buttons, link_buttons
from alertd.notifiers._mail import html as mail_html

#: Kinds whose mails are shown in all three ways.
MAILED: Final = ("forecast", "burn_rate", "source_stale", "digest")
_TITLES: Final = {
    "actual": "A threshold crossed on track", "ahead": "A threshold crossed ahead of plan",
    "over": "The budget is used up",
    "certain": "An endpoint that nobody stops breaks the budget",
    "forecast": "The forecast breaks the budget", "burn_rate": "A runaway", "anomaly": "Unusual spend",
    "balance": "A prepaid credit runs low",
    "novel": "A model that nobody used before", "window": "A window that rolls is used up",
    "opened_window": "A window that first use opened is full soon",
    "recovered": "Back on track", "source_stale": "No data",
    "live_message": "The message that follows a budget",
    "source_back": "Seeing again", "unpriced": "A model without a price", "unmatched": "A budget that matches nothing",
    "uncovered": "Spend that no budget covers", "first_start": "The first start in mid-period",
    "period_closed": "A period has closed", "digest": "The digest", "proposed": "An action waits for an answer",
    "action": "An action was taken", "test": "alertd test-notify",
}  # fmt: skip
_DOTS: Final = {"🔵": "#1d9bd1", "🟠": "#e8912d", "🔴": "#e01e5a", "🟢": "#2bac76", "⚪": "#b9bbbe",
                "✋": "#d9a400", "🔌": "#7a7f87", "📊": "#5b6ee1",
                "🛑": "#b3123f", "✅": "#2bac76"}  # fmt: skip
_FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                 "--hide-scrollbars", "--disable-dev-shm-usage", "--virtual-time-budget=2000",
                 "--run-all-compositor-stages-before-draw")  # fmt: skip
_SLACK: Final = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 14px 18px; background: #fff; color: #1d1c1d;
  font: 15px/1.46 Lato, "Liberation Sans", sans-serif; }}
.who {{ display: flex; gap: 10px; }}
.face {{ width: 36px; height: 36px; border-radius: 6px; background: #1264a3; color: #fff; text-align: center;
  line-height: 36px; font-weight: 700; flex: none; }}
.app {{ background: #e8e8e8; border-radius: 2px; font-size: 10px; padding: 1px 3px; color: #616061; }}
.time {{ color: #616061; font-size: 12px; }}
.section {{ margin: 4px 0 8px; }}
.fields {{ display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; max-width: 560px; }}
.actions {{ margin: 4px 0 8px; }} img {{ display: block; border: 1px solid #ddd; border-radius: 6px; margin: 4px 0; }}
.button {{ display: inline-block; border: 1px solid #bbb; border-radius: 4px; padding: 3px 10px; margin: 0 8px 6px 0;
  font-weight: 700; font-size: 13px; }} .primary {{ background: #007a5a; border-color: #007a5a; color: #fff; }}
.danger {{ background: #e01e5a; border-color: #e01e5a; color: #fff; }}
.reply {{ border-left: 3px solid #ddd; padding-left: 12px; margin: 12px 0; }}
.context {{ font-size: 13px; color: #616061; }}
a {{ color: #1264a3; text-decoration: none; }}
code {{ color: #e01e5a; background: #f6f6f6; border: 1px solid #ddd; border-radius: 3px; padding: 1px 3px;
  font-size: 12px; }}
</style><div class="who"><div class="face">a</div><div><b>alertd</b> <span class="app">APP</span>
<span class="time">8:05 AM</span>{blocks}</div></div>"""
_DISCORD: Final = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 14px 18px; background: #313338; color: #dbdee1;
  font: 15px/1.4 "gg sans", "Liberation Sans", sans-serif; }}
.fields {{ display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; margin: 8px 0; }}
.fields div > b:first-child {{ display: block; }}
.embed img {{ width: 100%; border-radius: 4px; margin-top: 8px; }}
.embed {{ background: #2b2d31; border-left: 4px solid #{colour:06x}; border-radius: 4px; padding: 10px 14px;
  margin-top: 6px; font-size: 14px; }} .foot {{ font-size: 12px; color: #b5bac1; margin-top: 8px; }}
a {{ color: #00a8fc; text-decoration: none; }} code {{ background: #1e1f22; padding: 1px 4px; border-radius: 3px;
  font-size: 13px; }}
</style><b>alertd</b><div>{content}</div><div
class="embed">{lines}{fields}{image}<div class="foot">{foot}</div></div>"""
_TEAMS: Final = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px; background: #f5f5f5; color: #242424;
  font: 14px/1.4 "Segoe UI", "Liberation Sans", sans-serif; }}
div {{ background: #fff; border: 1px solid #e0e0e0; border-radius: 6px; padding: 12px 16px; }} p {{ margin: 0 0 6px; }}
.row {{ display: grid; grid-template-columns: 1fr 1fr; border: 0; padding: 0; margin: 0 0 8px; }}
.row div {{ border: 0; padding: 0; }} .row p {{ margin: 0; }} img {{ width: 100%; }}
.button {{ display: inline-block; border: 1px solid #c7c7c7; border-radius: 4px; padding: 4px 12px; margin: 0 8px 0 0;
  font-weight: 600; }}
</style><div>{lines}</div>"""
_GOOGLE: Final = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px; background: #fff; color: #1f1f1f;
  font: 14px/1.43 Roboto, "Liberation Sans", sans-serif; }}
.card {{ border: 1px solid #dadce0; border-radius: 8px; padding: 12px 16px; margin-top: 8px; max-width: 480px; }}
.row {{ display: grid; grid-template-columns: 1fr 1fr; gap: 12px; margin-bottom: 8px; }}
.top {{ font-size: 12px; color: #5f6368; }} p {{ margin: 0 0 8px; }} a {{ color: #1a73e8; text-decoration: none; }}
.button {{ color: #1a73e8; font-weight: 500; margin-right: 20px; }} img {{ width: 100%; }}
</style><b>alertd</b> <span class="top">App</span><div>{head}</div><div class="card">{widgets}</div>"""
_FRAME: Final = """<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; background: {ground}; text-align: center; }}
iframe {{ border: 0; width: {width}px; display: inline-block; }}
</style><iframe srcdoc="{page}" onload="
  this.style.height = '10px';
  const height = this.contentDocument.documentElement.scrollHeight;
  this.style.height = height + 'px';
  document.documentElement.dataset.height = height;
"></iframe>"""
_SIGNER: Final = ButtonSigner.of("gallery")
_FIXED: Final = re.compile(r' onload="[^"]*"')


@dataclass(frozen=True, slots=True)
class Picture:
    """A page at a width, in a scheme."""

    name: str
    page: str
    width: int
    dark: bool = False


def main(arguments: list[str]) -> int:
    """Write the gallery; 1 where there is no chromium."""
    browser = shutil.which("chromium")
    if browser is None:
        print("the gallery needs chromium on PATH (apt install chromium)", file=sys.stderr)
        return 1
    folder = Path(__file__).parent.parent / "docs" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures():
        if arguments and not any(word in picture.name for word in arguments):
            continue
        size = _shoot(browser, picture, folder / f"{picture.name}.png")
        print(f"{picture.name}.png {size // 1024} kB")
    (folder.parent / "gallery.md").write_text(_index(folder.name))
    return 0


def pictures() -> Iterator[Picture]:
    """Every picture of the gallery."""
    for kind, sample in SAMPLES.items():
        events = tuple(linked(event) for event in sample(NOW))
        message = compose(events, NOW)
        chart = _chart(events)
        body = blocks(message, picture=chart, buttons=link_buttons(message.actions))
        yield Picture(f"slack-{kind}", slack_page(body["blocks"]), 720)
        if kind in MAILED:
            source = f"data:image/png;base64,{chart}" if chart else ""
            yield Picture(f"mail-{kind}-light", _mail(message, events, LIGHT), 680)
            yield Picture(f"mail-{kind}-dark", _mail(message, events, DARK), 680, dark=True)
            yield Picture(f"mail-{kind}-phone", _mail(message, events, LIGHT), 390)
            yield Picture(f"teams-{kind}", teams_page(teams.render(message), source), 640)
            yield Picture(f"discord-{kind}", discord_page(discord.render(message), source), 640)
            yield Picture(f"google-chat-{kind}", google_page(google_chat.render(message), source), 560)
    yield Picture("slack-follows", follows_page(), 720)
    yield Picture("slack-thread", thread_page(), 720)
    for name, event in _states().items():
        drawn_state = story(event, NOW)
        if drawn_state is not None:
            yield Picture(f"chart-{name}", f"<body style='margin:0'>{drawn_state.decode()}", 640)


def linked(event: Event) -> Event:
    """The event as it is sent where ALERTD_PUBLIC_URL is set: with the links of the page."""
    page = "https://alertd.example.com"
    return replace(event, details_url=page_of(page, event), answer_url=answer_page(page, event))


def _chart(events: Sequence[Event]) -> str:
    drawn = png(story(events[0], NOW)) if len(events) == 1 and events[0].kind != "test" else b""
    return b64encode(drawn).decode()


def _mail(message: Message, events: Sequence[Event], theme: Theme) -> str:
    """The mail's HTML with the picture that its reader would see."""
    drawn = png(story(events[0], NOW, theme)) if len(events) == 1 else b""
    source = f"data:image/png;base64,{b64encode(drawn).decode()}" if drawn else ""
    return _dotted(mail_html(message, source))


def _states() -> dict[str, Event]:
    """The states of the chart."""
    rising = SAMPLES["forecast"](NOW)[0]
    return {
        "quiet": SAMPLES["actual"](NOW)[0],
        "rising": rising,
        "over": SAMPLES["over"](NOW)[0],
        "no-history": replace(rising, spent=Decimal(0), projected={}, daily=(), status="no_forecast"),
        "runaway": SAMPLES["burn_rate"](NOW)[0],
        "stale": replace(rising, data_until=NOW - timedelta(days=2), status="unknown", daily=(rising.daily or ())[:-2]),
    }


def slack_page(found: list[dict[str, Any]], below: str = "") -> str:
    """A page that shows blocks much as Slack does."""
    return _dotted(_SLACK.format(blocks="".join(map(_block, found)) + below))


def follows_page() -> str:
    """The message that follows a budget, with its chart and buttons."""
    events = [linked(event) for event in SAMPLES["live_message"](NOW)]
    body = blocks(compose(events, NOW), picture=_chart(events), buttons=buttons(events, _SIGNER))
    return slack_page(body["blocks"])


def thread_page() -> str:
    """The alerts in its thread."""
    samples = [[linked(event) for event in SAMPLES[kind](NOW)] for kind in ("forecast", "burn_rate", "proposed")]
    thread = [blocks(compose(one, NOW), buttons=buttons(one, _SIGNER))["blocks"] for one in samples]
    return slack_page([], "".join(f'<div class="reply">{"".join(map(_block, one))}</div>' for one in thread))


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "image":
            source = f"data:image/png;base64,{block['slack_file']['id']}"
            return f'<img src="{source}" width="480" alt="{html.escape(block["alt_text"])}">'
        case "actions":
            inner = "".join(_slack_button(one) for one in block["elements"])
        case _:
            if "fields" in block:
                cells = "".join(f"<div>{_mrkdwn(text['text'])}</div>" for text in block["fields"])
                return f'<div class="fields section">{cells}</div>'
            texts = [block["text"]] if "text" in block else block.get("elements", [])
            inner = "<br>".join(_mrkdwn(text["text"]) for text in texts)
    return f'<div class="{block["type"]}">{inner}</div>'


def _slack_button(found: dict[str, Any]) -> str:
    return f'<span class="button {found.get("style", "")}">{html.escape(found["text"]["text"])}</span>'


def discord_page(body: dict[str, Any], source: str = "") -> str:
    """A page that shows a message and its embed much as Discord does."""
    (embed,) = body["embeds"]
    lines = _discord(embed["description"]).replace("\n", "<br>")
    foot = html.escape(embed.get("footer", {}).get("text", ""))
    cells = [f"<div><b>{_discord(one['name'])}</b>{_discord(one['value'])}</div>" for one in embed.get("fields", [])]
    fields = f'<div class="fields">{"".join(cells)}</div>' if cells else ""
    image = f'<img src="{source}">' if source else ""
    return _dotted(
        _DISCORD.format(content=_discord(body["content"]), lines=lines, fields=fields, image=image, foot=foot,
                        colour=embed["color"])
    )  # fmt: skip


def _discord(text: str) -> str:
    """Discord's Markdown as HTML: code, links, bold, italic; what is escaped stays as it is."""
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", text)
    text = re.sub(r"(?<!\\)\[((?:\\.|[^\]\\])+)\]\(&lt;(.+?)&gt;\)", r'<a href="#">\1</a>', text)
    text = re.sub(r"(?<!\\)\*\*(.+?)(?<!\\)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"(?<![\\*])\*([^*]+?)(?<!\\)\*", r"<i>\1</i>", text)
    return re.sub(r"\\([^\w\s])", r"\1", text)


def teams_page(body: dict[str, Any], source: str = "") -> str:
    """A page that shows a card of runs much as Teams does."""
    card = body["attachments"][0]["content"]
    *parts, foot = [_teams_block(block) for block in card["body"]]
    image = f'<img src="{source}">' if source else ""
    return _dotted(_TEAMS.format(lines=f"{''.join(parts)}{image}{foot}"))


def _teams_block(block: dict[str, Any]) -> str:
    if block["type"] == "ActionSet":
        named = (html.escape(one["title"]) for one in block["actions"])
        return f"<p>{''.join(f'<span class=button>{name}</span>' for name in named)}</p>"
    if block["type"] == "ColumnSet":
        cells = ("".join(map(_teams_block, column["items"])) for column in block["columns"])
        return f'<div class="row">{"".join(f"<div>{cell}</div>" for cell in cells)}</div>'
    return f"<p>{''.join(_run(run) for run in block['inlines'])}</p>"


def google_page(body: dict[str, Any], source: str = "") -> str:
    """A page that shows a text and a card much as Google Chat does."""
    widgets = [
        _widget(one) for card in body.get("cardsV2", []) for part in card["card"]["sections"] for one in part["widgets"]
    ]
    image = f'<p><img src="{source}"></p>' if source else ""
    foot = widgets.pop() if widgets else ""
    return _dotted(_GOOGLE.format(head=_mrkdwn(html.escape(body["text"])), widgets="".join(widgets) + image + foot))


def _widget(widget: dict[str, Any]) -> str:
    ((kind, found),) = widget.items()
    match kind:
        case "buttonList":
            named = (html.escape(one["text"]) for one in found["buttons"])
            return f"<p>{''.join(f'<span class=button>{name}</span>' for name in named)}</p>"
        case "columns":
            cells = "".join(f"<div>{''.join(map(_widget, one['widgets']))}</div>" for one in found["columnItems"])
            return f'<div class="row">{cells}</div>'
        case "decoratedText":
            return f'<div class="top">{html.escape(found["topLabel"])}</div><div>{found["text"]}</div>'
    return f"<p>{found['text']}</p>"


def _run(run: dict[str, Any]) -> str:
    text = html.escape(run["text"])
    style = {"medium": "font-size:17px;", "small": "font-size:12px;color:#616161;"}.get(run["size"], "")
    style += "font-weight:600;" if run.get("weight") == "bolder" else ""
    style += "font-family:monospace;font-size:13px;" if run.get("fontType") == "monospace" else ""
    return f'<span style="{style}">{f"<a href=#>{text}</a>" if "selectAction" in run else text}</span>'


def _mrkdwn(text: str) -> str:
    """Slack's own mark-up as HTML: code first, then links, bold and italic; the escapes are HTML's already."""
    codes: list[str] = []

    def keep(code: re.Match[str]) -> str:
        codes.append(f"<code>{code[1]}</code>")
        return f"\x00{len(codes) - 1}\x00"

    text = re.sub(r"`([^`\n]+)`", keep, text)
    text = re.sub(r"<(https?://[^|>]+)\|([^>]+)>", r'<a href="\1">\2</a>', text)
    text = re.sub(r"(?<![\w*])\*(\S|\S[^*\n]*\S)\*(?![\w*])", r"<b>\1</b>", text)
    text = re.sub(r"(?<![\w_])_(\S|\S[^\n]*\S)_(?![\w_])", r"<i>\1</i>", text)
    text = re.sub(r"(^|\n)( +)", lambda found: found[1] + "&nbsp;" * len(found[2]), text)
    return re.sub(r"\x00(\d+)\x00", lambda found: codes[int(found[1])], text).replace("\n", "<br>")


def _dotted(page: str) -> str:
    """Coloured dots for the icons: this machine may have no font with pictures."""
    for icon, colour in _DOTS.items():
        dot = f'<span style="display:inline-block;width:.8em;height:.8em;border-radius:50%;background:{colour}"></span>'
        page = page.replace(icon, dot)
    return page


def _shoot(browser: str, picture: Picture, target: Path) -> int:
    """Twice: once for the page's height, once for the picture."""
    with tempfile.TemporaryDirectory() as work:
        frame = Path(work) / "frame.html"
        ground = "#18181b" if picture.dark else "#ffffff"
        frame.write_text(_FRAME.format(page=html.escape(picture.page), width=picture.width, ground=ground))
        scheme = f"--blink-settings=preferredColorScheme={0 if picture.dark else 1}"
        base = [browser, *_FLAGS, f"--user-data-dir={work}/profile", scheme]
        outer = max(picture.width, 500)
        dom = _output([*base, f"--window-size={outer},900", "--dump-dom", frame.as_uri()])
        found = re.search(r'data-height="(\d+)"', dom)
        if found is None:
            raise RuntimeError(f"{picture.name}: the page did not tell its height")
        frame.write_text(_FIXED.sub(f' style="height: {found[1]}px"', frame.read_text()))
        _output([*base, f"--window-size={outer},{found[1]}", f"--screenshot={target}", frame.as_uri()])
    return target.stat().st_size


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - chromium
    return done.stdout


def _index(folder: str) -> str:
    lines = ["# What alertd says", "",
             "Every kind of message with made-up figures, as it is sent where `ALERTD_PUBLIC_URL` is set: the buttons",
             "lead to the page. Written by `python tools/gallery.py`.",
             "The words are composed in one place; every channel says the same.",
             "[How it reads](gallery-reading.md): what readers understood, and what was changed.",
             ""]  # fmt: skip
    for kind in SAMPLES:
        lines += [f"## {_TITLES[kind]}", "", f"![Slack: {_TITLES[kind]}]({folder}/slack-{kind}.png)", ""]
        if kind == "live_message":
            lines += ["With its chart and buttons, and its thread:", ""]
            lines += [f"![the message]({folder}/slack-follows.png) ![its thread]({folder}/slack-thread.png)", ""]
        if kind in MAILED:
            ways = " ".join(f"![mail, {way}]({folder}/mail-{kind}-{way}.png)" for way in ("light", "dark", "phone"))
            lines += [
                f"The same as a mail, in light, in dark and on a telephone: {ways}",
                "",
                f"The same in Teams: ![Teams: {_TITLES[kind]}]({folder}/teams-{kind}.png)",
                "",
                f"The same in Discord: ![Discord: {_TITLES[kind]}]({folder}/discord-{kind}.png)",
                "",
                f"The same in Google Chat: ![Google Chat: {_TITLES[kind]}]({folder}/google-chat-{kind}.png)",
                "",
            ]
    charts = " ".join(f"![chart, {name}]({folder}/chart-{name}.png)" for name in _states())
    lines += [
        "## The chart",
        "",
        f"On track, at risk, over, without history, running away, with old data: {charts}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
