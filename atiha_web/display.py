"""How a client and its status look in a notebook."""

from __future__ import annotations

import asyncio
import logging
from html import escape
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from atiha_web.backends.base import Usage
from atiha_web.sync.status import Status, SyncState

if TYPE_CHECKING:
    from atiha_web.client import Client

logger = logging.getLogger("atiha_web")

SECONDS = 0.2
"""Between two updates: more often nobody sees them."""
ALMOST_FULL = 90.0
"""Percent of the quota from which on the bar warns."""

# Colours are those of JupyterLab's theme, or of the text around where there is none. JupyterLab has
# a style of its own for lists, paragraphs and code; therefore none are used.
_STYLE = """
.atiha-status {
  --line: var(--jp-border-color2, color-mix(in srgb, currentColor 25%, transparent));
  --soft: var(--jp-ui-font-color2, color-mix(in srgb, currentColor 65%, transparent));
  --good: var(--jp-success-color1, #388e3c);
  --busy: var(--jp-brand-color1, #1976d2);
  --warn: var(--jp-warn-color1, #f57c00);
  --bad: var(--jp-error-color1, #d32f2f);
  box-sizing: border-box; width: 36em; max-width: 100%; padding: .7em .9em;
  border: 1px solid var(--line); border-left: 4px solid var(--tone); border-radius: 4px;
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
}
.atiha-status header { display: flex; gap: .6em; align-items: baseline; }
.atiha-status header :first-child + span { flex: 1; }
.atiha-status .who {
  max-width: 11em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font: 12px/1.5 var(--jp-code-font-family, monospace);
}
.atiha-status span { color: var(--soft); }
.atiha-status .figures { display: flex; flex-wrap: wrap; gap: .2em 2em; margin-top: .6em; }
.atiha-status .figures strong { display: block; font-variant-numeric: tabular-nums; }
.atiha-status .quota { display: flex; gap: .7em; align-items: center; margin-top: .5em; }
.atiha-status .track { flex: 1; height: 6px; border-radius: 3px; background: var(--line); }
.atiha-status .track div { height: 100%; min-width: 2px; border-radius: 3px; }
.atiha-status .note { margin-top: .5em; }
"""

_STATES: dict[SyncState, tuple[str, str]] = {
    "idle": ("good", "in step with the server"),
    "syncing": ("busy", "talking to the server"),
    "offline": ("warn", "no network; what you do is kept here"),
    "backoff": ("warn", "the server does not answer; tried again by itself"),
    "needs_auth": ("warn", "sign in to go on; nothing is lost meanwhile"),
    "blocked": ("bad", "the server refuses this account; asked again every minute"),
    "stalled": ("bad", "no progress; begun again by itself"),
    "storage_full": ("bad", "local storage has no room left"),
    "upgrade_required": ("bad", "the server speaks a newer protocol: reload the page"),
}


def status_html(status: Status, *, closed: bool = False) -> str:
    """The status as HTML that needs nothing else; whatever is not ours in it is escaped."""
    tone, words = ("soft", "this client was closed") if closed else _words(status)
    state = "closed" if closed else status.state.replace("_", " ")
    who = escape(status.user_id or "nobody")
    notes = (text for text in (status.message, *status.problems) if text)
    return (
        f"<style>{_STYLE}</style>"
        f'<div class="atiha-status" role="group" aria-label="atiha_web" '
        f'style="--tone: var(--{tone})"><header><strong>{state}</strong> <span>{words}</span> '
        f'<span class="who" title="{who}">{who}</span></header>'
        f'<div class="figures">{_figures(status)}</div>{_quota(status.usage)}'
        f"{''.join(f'<div class=note>{escape(text)}</div>' for text in notes)}</div>"
    )


def _words(status: Status) -> tuple[str, str]:
    if status.state != "idle":
        return _STATES[status.state]
    if status.user_id is None:
        return "soft", "sign in, and what you keep is synced"
    return ("busy", "stored here, about to be sent") if status.pending else _STATES["idle"]


def _figures(status: Status) -> str:
    last = status.last_sync
    figures = {
        "pending": f"{status.pending:,}",
        "on the way": f"{status.in_flight:,}",
        "quarantined": f"{status.quarantined:,}",
        "last sync": "never" if last is None else f"{last.astimezone():%H:%M:%S}",
    }
    return "".join(
        f"<div><span>{name}</span><strong>{text}</strong></div>" for name, text in figures.items()
    )


def _quota(usage: Usage | None) -> str:
    """A bar, where storage has a quota."""
    if usage is None:
        return ""
    percent = min(100.0, 100 * usage.used / usage.quota)
    tone = "bad" if percent > ALMOST_FULL else "busy"
    return (
        '<div class="quota"><span>local storage</span><div class="track" role="progressbar" '
        f'aria-label="local storage" aria-valuenow="{percent:.0f}">'
        f'<div style="width: {percent:.1f}%; background: var(--{tone})"></div></div>'
        f"<span>{usage.used / 1e6:.2f} of {usage.quota / 1e6:.1f} M characters</span></div>"
    )


# -- live ----------------------------------------------------------------------------------

_live: WeakKeyDictionary[Client, asyncio.Task[None]] = WeakKeyDictionary()


def show(client: Client) -> None:
    """Show a client in IPython; in a notebook it changes with the client, until that is closed."""
    from IPython.display import display  # noqa: PLC0415 - who calls this has it

    display(_bundle(client, client.status), raw=True, display_id=_name(client))
    task = _live.get(client)
    if task is None or task.done():
        try:
            _live[client] = asyncio.get_running_loop().create_task(_update(client))
        except RuntimeError:
            # Without a running loop (a terminal) nothing changes by itself.
            return


async def _update(client: Client) -> None:
    """Keep what is shown of a client in step with it; all cells that show it change."""
    from IPython.display import update_display  # noqa: PLC0415

    name = _name(client)
    try:
        async for status in client.statuses():
            update_display(_bundle(client, status), raw=True, display_id=name)
            await asyncio.sleep(SECONDS)
        update_display(_bundle(client, status, closed=True), raw=True, display_id=name)
    except Exception:
        # Nobody awaits this, and what fails here may not speak into somebody's output.
        logger.debug("the display of a client cannot be updated", exc_info=True)


def _bundle(client: Client, status: Status, *, closed: bool = False) -> dict[str, str]:
    return {"text/plain": repr(client), "text/html": status_html(status, closed=closed)}


def _name(client: Client) -> str:
    return f"atiha-{id(client)}"
