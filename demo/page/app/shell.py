"""What stands around every view: header, profile menu, status bar, messages, the logout dialog."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .browser import Parts, by_id, document, set_attribute, set_shown, set_text
from .words import ago, changes, status_words

if TYPE_CHECKING:
    from atiha_web import Status

    from .member import Member
    from .routes import Route

TOAST_SECONDS = 4.0


class Header:
    """Navigation, search, and who is signed in."""

    def __init__(self) -> None:
        self._root = by_id("account")
        self._shown: object = "nothing yet"

    def show_member(self, member: Member | None) -> None:
        """Show the profile menu of a member, or the way in for a guest."""
        if member == self._shown:
            return
        self._shown = member
        parts = Parts("account-member" if member else "account-guest")
        if member:
            set_text(parts["initial"], member.initial)
            set_text(parts["name"], member.name or "Member")
            set_text(parts["email"], member.email)
        self._root.replaceChildren(parts.root)

    def show_route(self, route: Route) -> None:
        """Mark where the visitor is."""
        for link in document.querySelectorAll("[data-nav]"):
            if link.dataset.nav == route.name:
                link.setAttribute("aria-current", "page")
            else:
                link.removeAttribute("aria-current")
        search = by_id("search")
        if not search.isSameNode(document.activeElement):
            search.value = route.parameters.get("query", "")
        close_menus()


def close_menus(keep: Any = None) -> None:
    """Close what is open, except a menu that contains `keep`."""
    for menu in document.querySelectorAll("details[open]"):
        if keep is None or not menu.contains(keep):
            menu.open = False


class StatusBar:
    """Says how safe the visitor's changes are."""

    def __init__(self) -> None:
        self._parts = Parts("status-panel-rows")
        by_id("status-panel").replaceChildren(self._parts.root)

    def show(self, status: Status) -> None:
        """Show this status."""
        words = status_words(status)
        bar, member = by_id("status-bar"), status.user_id is not None
        if bar.dataset.tone != words.tone:
            bar.dataset.tone = words.tone
        set_text(by_id("status-headline"), words.headline)
        synced = ago(status.last_sync, datetime.now(UTC))
        set_text(by_id("status-sync"), f"Synced {synced}" if status.last_sync and member else "")
        busy = status.state == "syncing"
        by_id("sync-now").disabled = busy or not member
        set_shown(by_id("sync-now"), member)
        set_text(by_id("sync-now"), "Log in" if status.state == "needs_auth" else "Sync now")
        set_text(self._parts["words"], words.details or words.headline)
        set_text(self._parts["connection"], "Online" if status.online else "No network")
        set_text(self._parts["pending"], changes(status.pending) if status.pending else "Nothing")
        set_text(self._parts["last-sync"], synced)
        refused = changes(status.quarantined) if status.quarantined else "Nothing"
        set_text(self._parts["quarantined"], refused)
        set_shown(self._parts["refused"], bool(status.quarantined))


class Toasts:
    """Short messages that go by themselves; a screen reader hears them."""

    async def show(self, words: str) -> None:
        """Show a message for a while, in the place of an earlier one."""
        parts = Parts("toast")
        set_text(parts["words"], words)
        by_id("toasts").replaceChildren(parts.root)
        await asyncio.sleep(TOAST_SECONDS)
        parts.root.remove()


class Dialog:
    """A question that waits for an answer, from a template with a part `words`."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._root: Any = None

    def ask(self, words: str) -> None:
        """Open it, or say something else in it."""
        if self._root is None:
            self._parts = Parts(self._template)
            self._root = self._parts.root
            document.body.appendChild(self._root)
        if not self._root.open:
            # The Escape key closes it without a word to us.
            self._root.showModal()
        set_text(self._parts["words"], words)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._root is not None:
            self._root.close()
            self._root.remove()
            self._root = None


def show_view(root: Any, title: str, *, first: bool) -> None:
    """Put a view in the place of the one before and tell assistive technology where it is."""
    main = by_id("view")
    main.replaceChildren(root)
    document.title = title
    set_attribute(main, "aria-label", title.removesuffix(" · Atiha"))
    # Who types into the search goes on typing there; for others the new view is where they are.
    if not first and not by_id("search").isSameNode(document.activeElement):
        main.focus()
        document.documentElement.scrollTop = 0
