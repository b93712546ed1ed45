"""The films: what is known of them, how they are searched, filtered and put on shelves."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Poster:
    """How a poster is drawn: names that motifs.svg and posters.css know."""

    motif: str
    palette: str
    face: str
    size: str


@dataclass(frozen=True)
class Film:
    """One film of the catalogue; `minutes` is the running time of a common version."""

    id: str
    title: str
    year: int
    directors: tuple[str, ...]
    minutes: int
    genre: str
    country: str
    silent: bool
    poster: Poster

    @property
    def seconds(self) -> int:
        """The running time."""
        return self.minutes * 60

    @property
    def decade(self) -> int:
        """The first year of its decade."""
        return self.year // 10 * 10

    @property
    def credit(self) -> str:
        """Its directors in a line."""
        return " & ".join(self.directors)

    @property
    def sentence(self) -> str:
        """The facts in a sentence."""
        kind = f"{'silent ' if self.silent else ''}{genre_word(self.genre)}"
        article = "An" if kind[0] in "aeiou" else "A"
        makers = " and ".join(self.directors)
        return f"{article} {kind} from {_country(self.country)}, directed by {makers}."

    @cached_property
    def searched(self) -> str:
        """What a search looks into."""
        parts = (self.title, *self.directors, str(self.year), self.genre, self.country)
        return folded(" ".join(parts))


@dataclass(frozen=True)
class Filters:
    """What the visitor asked to see; an empty text means any."""

    query: str = ""
    genre: str = ""
    decade: str = ""
    sound: str = ""
    sort: str = "title"

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return bool(self.query or self.genre or self.decade or self.sound)


@dataclass(frozen=True)
class Shelf:
    """A row of films under a heading; `link` leads to all of them."""

    title: str
    films: Sequence[Film]
    link: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All films by their id."""

    films: Mapping[str, Film]
    genres: Sequence[str] = field(default=())
    decades: Sequence[int] = field(default=())

    @classmethod
    def read(cls, text: str) -> Catalogue:
        """Take what films.json says."""
        films = [
            Film(
                **{
                    **item,
                    "directors": tuple(item["directors"]),
                    "poster": Poster(**item["poster"]),
                }
            )
            for item in json.loads(text)
        ]
        return cls(
            {film.id: film for film in films},
            sorted({film.genre for film in films}),
            sorted({film.decade for film in films}),
        )

    def find(self, filters: Filters) -> list[Film]:
        """The films that match every filter and every word of the query, sorted."""
        words = folded(filters.query).split()
        found = [
            film
            for film in self.films.values()
            if all(word in film.searched for word in words)
            and filters.genre in {"", film.genre}
            and filters.decade in {"", str(film.decade)}
            and filters.sound in {"", "silent" if film.silent else "talkie"}
        ]
        return sorted(found, key=ORDERS.get(filters.sort, ORDERS["title"]))

    def shelves(self) -> list[Shelf]:
        """The rows of the home page."""
        genre = {name: self.find(Filters(genre=name)) for name in self.genres}
        comedies = [film for film in genre["Comedy"] if film.silent]
        worlds = [*genre["Fantasy"], *genre["Science fiction"], *genre["Animation"]]
        short = [film for film in self.films.values() if film.minutes <= 30]
        return [
            Shelf("Silent comedy", comedies, "#/browse?genre=Comedy&sound=silent"),
            Shelf("After midnight", genre["Horror"], "#/browse?genre=Horror"),
            Shelf("Film noir", genre["Film noir"], "#/browse?genre=Film+noir"),
            Shelf("Other worlds", worlds),
            Shelf("Swords, storms and jungles", genre["Adventure"], "#/browse?genre=Adventure"),
            Shelf("Under half an hour", short, "#/browse?sort=shortest"),
            Shelf("For two", genre["Romance"], "#/browse?genre=Romance"),
        ]

    def like(self, film: Film, count: int = 12) -> list[Film]:
        """Other films by the same directors first, then of the same genre and time."""

        def distance(other: Film) -> tuple[bool, bool, int]:
            strangers = not set(other.directors) & set(film.directors)
            return strangers, other.genre != film.genre, abs(other.year - film.year)

        others = [other for other in self.films.values() if other is not film]
        return sorted(others, key=distance)[:count]

    def known(self, ids: Iterable[str]) -> list[Film]:
        """The films of these ids, in this order; ids of other catalogues are left out."""
        return [self.films[film_id] for film_id in ids if film_id in self.films]


def folded(text: str) -> str:
    """Lower case without accents, so that "haxan" finds "Häxan"."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


def genre_word(genre: str) -> str:
    """A genre as it stands in a sentence."""
    if genre in {"Horror", "Science fiction", "War"}:
        return f"{genre.lower()} film"
    return "animated film" if genre == "Animation" else genre.lower()


def _country(name: str) -> str:
    return f"the {name}" if name in {"United States", "United Kingdom", "Soviet Union"} else name


def _by_title(film: Film) -> str:
    words = folded(film.title)
    return words.removeprefix("the ").removeprefix("a ").removeprefix("an ")


ORDERS: dict[str, Callable[[Film], tuple[int, str]]] = {
    "title": lambda film: (0, _by_title(film)),
    "newest": lambda film: (-film.year, _by_title(film)),
    "oldest": lambda film: (film.year, _by_title(film)),
    "shortest": lambda film: (film.minutes, _by_title(film)),
}
