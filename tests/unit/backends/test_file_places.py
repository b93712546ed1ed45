"""Where on this machine whose data is."""

import sys
from pathlib import Path

import pytest

from atiha_web.backends.file.places import data_folder, server_folder, user_data_folder
from atiha_web.errors import InvalidDataError, StorageUnavailableError

HERE = Path("/data")


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", "/home/ada/.local/share/atiha_web"),
        ("darwin", "/home/ada/Library/Application Support/atiha_web"),
        ("win32", "/home/ada/AppData/Local/atiha_web"),
    ],
)
def test_the_user_data_folder_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, platform: str, expected: str
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr(sys, "platform", platform)
    assert user_data_folder() == Path(expected)


def test_xdg_data_home_is_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_data_folder() == tmp_path / "atiha_web"


def test_a_relative_xdg_data_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert user_data_folder().is_absolute()


def test_without_a_home_folder_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(StorageUnavailableError, match="give storage="):
        data_folder(None, "")


def test_a_tilde_is_the_home_folder() -> None:
    assert data_folder("~/films", "").parent == Path.home() / "films"


@pytest.mark.parametrize(
    "other",
    [
        "http://films.test",
        "https://films.test:8443",
        "https://films.test/app",
        "https://films.test/App",
        "https://films-test",
        "https://www.films.test",
        "",
    ],
)
def test_every_server_has_a_folder_of_its_own(other: str) -> None:
    assert server_folder(HERE, other) != server_folder(HERE, "https://films.test")


@pytest.mark.parametrize(
    "same", ["https://films.test/", "https://FILMS.test", "https://films.test:443"]
)
def test_one_server_written_otherwise_has_the_same(same: str) -> None:
    assert server_folder(HERE, same) == server_folder(HERE, "https://films.test")


@pytest.mark.parametrize("url", ["http://[::1]:8000", "https://user:secret@films.test", "http://"])
def test_a_folders_name_is_plain_and_tells_no_secret(url: str) -> None:
    name = server_folder(HERE, url).name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert "secret" not in name


def test_an_impossible_port_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="no server"):
        server_folder(HERE, "http://films.test:99999")
