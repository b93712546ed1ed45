"""The catalogue: what it holds, and how films are found."""

from pathlib import Path

import pytest

from demo.page.app.catalogue import Catalogue, Filters

PAGE = Path(__file__).parents[2] / "demo" / "page"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The films of the demo."""
    return Catalogue.read((PAGE / "films.json").read_text("utf-8"))


def test_every_poster_names_a_motif_a_palette_and_a_face_that_are_drawn(
    catalogue: Catalogue,
) -> None:
    motifs = (PAGE / "motifs.svg").read_text("utf-8")
    styles = (PAGE / "posters.css").read_text("utf-8")
    for film in catalogue.films.values():
        assert f'id="motif-{film.poster.motif}"' in motifs
        assert f'[data-palette="{film.poster.palette}"]' in styles
        assert f'[data-face="{film.poster.face}"]' in styles
        assert f'[data-size="{film.poster.size}"]' in styles


def test_a_hundred_films_stand_in_the_catalogue(catalogue: Catalogue) -> None:
    assert len(catalogue.films) == 100


def test_search_ignores_case_and_accents(catalogue: Catalogue) -> None:
    assert [film.title for film in catalogue.find(Filters("HAXAN"))] == ["Häxan"]


def test_search_needs_every_word_wherever_it_stands(catalogue: Catalogue) -> None:
    assert [film.title for film in catalogue.find(Filters("keaton 1924 navigator"))] == [
        "The Navigator"
    ]


def test_filters_apply_together(catalogue: Catalogue) -> None:
    found = catalogue.find(Filters(genre="Comedy", decade="1920", sound="talkie"))
    assert [film.title for film in found] == ["The Cocoanuts"]


def test_titles_are_sorted_without_their_article(catalogue: Catalogue) -> None:
    first = catalogue.find(Filters())[0]
    assert first.title == "The Adventures of Prince Achmed"


@pytest.mark.parametrize(
    ("sort", "title"),
    [
        ("newest", "Night of the Living Dead"),
        ("oldest", "A Trip to the Moon"),
        ("shortest", "The Skeleton Dance"),
    ],
)
def test_other_orders(catalogue: Catalogue, sort: str, title: str) -> None:
    assert catalogue.find(Filters(sort=sort))[0].title == title


def test_films_like_another_begin_with_those_of_its_director(catalogue: Catalogue) -> None:
    like = catalogue.like(catalogue.films["nosferatu-1922"], 3)
    assert {film.directors for film in like} == {("F. W. Murnau",)}


def test_a_sentence_tells_the_facts(catalogue: Catalogue) -> None:
    film = catalogue.films["gullivers-travels-1939"]
    assert film.sentence == "An animated film from the United States, directed by Dave Fleischer."


def test_ids_of_other_catalogues_are_left_out(catalogue: Catalogue) -> None:
    assert catalogue.known(["nobody-knows", "detour-1945"]) == [catalogue.films["detour-1945"]]
