"""Posters, cards and rows of cards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .browser import Parts, document, set_attribute, set_shown, set_text
from .words import running_time, stars

if TYPE_CHECKING:
    from .catalogue import Film, Shelf
    from .library import Library


Note = Callable[["Film"], str]


def draw_poster(parts: Parts, film: Film) -> None:
    """Give a copied template the poster of a film."""
    paint(parts, film)
    parts["poster-title"].textContent = film.title
    parts["poster-credit"].textContent = film.credit


def paint(parts: Parts, film: Film) -> None:
    """Give a copied template the motif and the colours of a film's poster."""
    parts["motif"].setAttribute("href", f"#motif-{film.poster.motif}")
    data = parts["poster"].dataset
    data.palette, data.face, data.size = film.poster.palette, film.poster.face, film.poster.size


def draw_meter(parts: Parts, library: Library, film: Film) -> None:
    """Show how much of a film was seen."""
    time_left = library.time_left(film)
    set_shown(parts["meter"], bool(time_left))
    if time_left:
        parts["progress"].value = library.watched_percent(film)
        set_text(parts["left"], time_left)


class Card:
    """A film in a row or a grid."""

    def __init__(self, film: Film, note: Note) -> None:
        self.film = film
        self._note = note
        self._parts = Parts("card")
        self.root = self._parts.root
        self._shown: object = None
        self._draw()

    def _draw(self) -> None:
        parts, film = self._parts, self.film
        draw_poster(parts, film)
        parts["link"].href = f"#/film/{film.id}"
        parts["title"].textContent = film.title
        parts["button"].dataset.film = film.id

    def refresh(self, library: Library) -> None:
        """Show what the visitor's lists say about the film."""
        rating = library.entry("ratings", self.film)
        listed = library.entry("watchlist", self.film) is not None
        badge = stars(rating.rating) if rating else ""
        watched = library.watched_percent(self.film)
        note = self._note(self.film) or f"{self.film.year} · {running_time(self.film.minutes)}"
        wanted = (library.user_id is not None, listed, badge, watched, note)
        if wanted != self._shown:
            self._shown = wanted
            self._mark(*wanted)

    def _mark(self, member: bool, listed: bool, badge: str, watched: float, note: str) -> None:
        parts = self._parts
        set_text(parts["meta"], note)
        set_shown(parts["button"], member)
        set_attribute(parts["button"], "aria-pressed", "true" if listed else "false")
        set_attribute(parts["button"], "aria-label", f"{self.film.title} on my list")
        set_shown(parts["badge"], bool(badge))
        set_text(parts["badge"], badge)
        set_shown(parts["progress"], watched > 0)
        parts["progress-bar"].style.setProperty("--watched", f"{watched:.1f}")


class CardList:
    """Keeps the cards of a list element; a card stays the same node while its film is shown.

    Args:
        root: The list element.
        note: What stands below a film's title; the year and the length where it is empty.
    """

    def __init__(self, root: Any, note: Note = lambda _film: "") -> None:
        self._root = root
        self._note = note
        self._cards: dict[str, Card] = {}

    def show(self, films: Sequence[Film], library: Library) -> None:
        """Show these films, in this order."""
        wanted = {film.id: self._cards.get(film.id) or Card(film, self._note) for film in films}
        for card in wanted.values():
            card.refresh(library)
        if list(wanted) != list(self._cards):
            self._place(wanted)

    def _place(self, wanted: dict[str, Card]) -> None:
        before = list(self._cards)
        active = document.activeElement
        focused = active if self._root.contains(active) else None
        lost = next((n for n, c in enumerate(self._cards.values()) if c.root.contains(active)), -1)
        self._cards = wanted
        fragment = document.createDocumentFragment()
        for card in wanted.values():
            fragment.appendChild(card.root)
        self._root.replaceChildren(fragment)
        if focused is None:
            return
        if before[lost] in wanted:
            focused.focus()
        elif wanted:
            # The focused card went: the one that took its place gets the focus.
            next_card = list(wanted.values())[min(lost, len(wanted) - 1)]
            next_card.root.querySelector("a").focus()


class Rows:
    """Rows of cards below each other; one that has no films is not there."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._rows: dict[str, tuple[Parts, CardList]] = {}
        self._titles: list[str] = []

    def show(self, shelves: Sequence[Shelf], library: Library) -> None:
        """Show these shelves, in this order."""
        filled = [shelf for shelf in shelves if shelf.films]
        for shelf in filled:
            if shelf.title not in self._rows:
                self._rows[shelf.title] = self._new_row(shelf)
            self._rows[shelf.title][1].show(shelf.films, library)
        titles = [shelf.title for shelf in filled]
        if titles != self._titles:
            self._titles = titles
            self._root.replaceChildren(*(self._rows[title][0].root for title in titles))

    def _new_row(self, shelf: Shelf) -> tuple[Parts, CardList]:
        parts = Parts("row")
        set_text(parts["title"], shelf.title)
        set_shown(parts["more"], bool(shelf.link))
        if shelf.link:
            parts["more"].href = shelf.link
            set_attribute(parts["more"], "aria-label", f"See all: {shelf.title}")
        return parts, CardList(parts["cards"])
