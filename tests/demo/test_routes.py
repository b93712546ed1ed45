"""Addresses of views."""

import pytest

from demo.page.app.routes import Route, address, parse


@pytest.mark.parametrize(
    ("fragment", "route"),
    [
        ("", Route()),
        ("#/", Route()),
        ("#/nowhere/at/all", Route()),
        ("#/film/detour-1945", Route("film", "detour-1945")),
        (
            "#/browse?query=the+kid&sort=oldest",
            Route("browse", "", {"query": "the kid", "sort": "oldest"}),
        ),
    ],
)
def test_reading(fragment: str, route: Route) -> None:
    assert parse(fragment) == route


def test_what_was_written_is_read_back() -> None:
    written = address("browse", query="häxan & co", genre="", sort="newest")
    assert parse(written) == Route("browse", "", {"query": "häxan & co", "sort": "newest"})


def test_parameters_do_not_change_the_view() -> None:
    assert parse("#/browse?sort=oldest").view == parse("#/browse").view
