"""What the server refused: why, and what the visitor wants to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from atiha_web import AtihaError

from ..browser import Parts, by_id, download, set_shown, set_text
from ..editing import Field, fields, read
from ..routes import Route
from ..shell import Dialog
from ..words import about, ago, changes
from .view import Empty, Handler, Page, View

if TYPE_CHECKING:
    from atiha_web.sync.replica import Quarantined

    from ..catalogue import Catalogue

FILE_NAME = "atiha-not-saved.json"
_CONTROLS = {"long": "field-long", "json": "field-long", "check": "field-check"}


class Refused(View):
    """The changes in quarantine, each as a form."""

    template = "view-refused"
    title = "Not saved · Atiha"

    def __init__(self, page: Page, route: Route) -> None:
        super().__init__(page, route)
        self._items: dict[str, _Item] = {}
        self._empty = Empty(self.parts["empty"])
        self._dialog = Dialog("confirm-drop")
        self._doomed = ""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """See `View.handlers`."""
        return {
            "send-again": self._send_again,
            "drop": self._ask_to_drop,
            "drop-now": self._drop,
            "dismiss-drop": self._dismiss,
            "download-refused": self._download,
        }

    def update(self) -> None:
        """See `View.update`."""
        refused = self.page.client.quarantined if self.page.client.user_id else []
        kept = {item.operation.id: item for item in refused}
        if list(kept) != list(self._items):
            self._items = {
                name: self._items.get(name) or _Item(entry, self.page.catalogue)
                for name, entry in kept.items()
            }
            self.parts["list"].replaceChildren(*(item.root for item in self._items.values()))
        set_text(self.parts["count"], changes(len(kept)) if kept else "")
        for name in ("lede", "all"):
            set_shown(self.parts[name], bool(kept))
        if kept:
            self._empty.hide()
        else:
            words = "The server took everything that you did."
            self._empty.show("Nothing was refused", words, "#/", "Back to the films")

    def close(self) -> None:
        """See `View.close`."""
        self._dialog.close()

    async def _send_again(self, form: Any) -> None:
        item = self._items[str(form.dataset.operation)]
        try:
            await self.page.client.retry_quarantined(item.id, item.entered())
        except (AtihaError, ValueError) as error:
            item.complain(str(error))
        else:
            self._gone("Sent again.")

    async def _ask_to_drop(self, button: Any) -> None:
        self._doomed = str(button.dataset.operation)
        self._dialog.ask(f"“{self._items[self._doomed].words}” will be gone for good.")

    async def _drop(self, _button: Any) -> None:
        self._dialog.close()
        await self.page.client.drop_quarantined([self._doomed])
        self._gone("Dropped.")

    async def _dismiss(self, _button: Any) -> None:
        self._dialog.close()

    async def _download(self, _button: Any) -> None:
        refused = self.page.client.export()["quarantine"]
        download(FILE_NAME, json.dumps(refused, ensure_ascii=False, indent=2))

    def _gone(self, words: str) -> None:
        """The form that had the focus goes: the next one, or the view, takes it."""
        self.page.toast(words)
        self.update()
        following = self.parts["list"].querySelector("button")
        (following or by_id("view")).focus()


class _Item:
    """One refused change."""

    def __init__(self, entry: Quarantined, catalogue: Catalogue) -> None:
        operation = entry.operation
        self.id = operation.id
        self._data = operation.data
        film = catalogue.films.get(operation.key)
        stated = operation.data or {}
        title = film.title if film else str(stated.get("title") or operation.key)
        if operation.collection == "profile":
            title = "How you like it"
        self._parts = Parts("refused-item")
        self.root = self._parts.root
        kind = about(operation.collection, removed=operation.data is None)
        self.words = f"{kind}: {title}"
        now = datetime.now(UTC)
        set_text(self._parts["where"], f"{kind}, {ago(entry.stated_at, now)}")
        set_text(self._parts["title"], title)
        set_text(self._parts["reason"], entry.message)
        self._parts["form"].dataset.operation = self._parts["drop"].dataset.operation = self.id
        self._parts["form"].setAttribute("aria-label", self.words)
        self._controls = [(field, _control(field)) for field in fields(operation.data)]
        self._parts["fields"].replaceChildren(*(parts.root for _, parts in self._controls))

    def entered(self) -> dict[str, Any] | None:
        """What the form states now; None to send it as it was.

        Raises:
            ValueError: a field holds something else than it should.
        """
        if self._data is None:
            return None
        return {**self._data, **{each.name: _value(each, parts) for each, parts in self._controls}}

    def complain(self, words: str) -> None:
        """Say what is wrong with what was entered."""
        set_text(self._parts["reason"], words)
        if self._controls:
            self._controls[0][1]["input"].focus()


def _control(field: Field) -> Parts:
    parts = Parts(_CONTROLS.get(field.kind, "field-line"))
    set_text(parts["label"], field.label)
    if field.kind == "check":
        parts["input"].checked = field.text == "true"
    else:
        parts["input"].value = field.text
    if field.kind == "number":
        parts["input"].inputMode = "decimal"
    return parts


def _value(field: Field, parts: Parts) -> Any:
    node = parts["input"]
    checked = "true" if field.kind == "check" and node.checked else "false"
    return read(field, checked if field.kind == "check" else str(node.value))
