"""One module per view; `VIEWS` finds the class by the name in the address."""

from .browse import Browse
from .film import FilmPage
from .home import Home, Landing
from .lists import Lists
from .player import Player
from .refused import Refused
from .sign import Login, Register
from .view import Page, View

__all__ = ["VIEWS", "Landing", "Page", "View"]

VIEWS: dict[str, type[View]] = {
    "home": Home,
    "browse": Browse,
    "film": FilmPage,
    "watch": Player,
    "library": Lists,
    "refused": Refused,
    "login": Login,
    "register": Register,
}
