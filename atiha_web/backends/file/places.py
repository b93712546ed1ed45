"""Where on this machine whose data is."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from atiha_web.errors import InvalidDataError, StorageUnavailableError

_PORTS = {"http": 80, "https": 443}


def data_folder(chosen: str | os.PathLike[str] | None, base_url: str) -> Path:
    """Where to keep the data of one server: in ``chosen``, else in the user-data folder.

    Raises:
        StorageUnavailableError: there is no home folder to put it in.
        InvalidDataError: ``base_url`` is not one.
    """
    try:
        parent = user_data_folder() if chosen is None else Path(chosen).expanduser()
    except RuntimeError as error:
        raise StorageUnavailableError(
            "there is no such home folder: give storage= an absolute path, or 'memory'"
        ) from error
    return server_folder(parent.absolute(), base_url)


def user_data_folder() -> Path:
    """The platform's folder for a user's data, ours in it.

    ``$XDG_DATA_HOME`` where it is an absolute path, else ``%LOCALAPPDATA%`` on Windows,
    ``~/Library/Application Support`` on macOS and ``~/.local/share`` elsewhere.

    Raises:
        RuntimeError: this user has no home folder.
    """
    chosen = os.environ.get("XDG_DATA_HOME", "")
    if Path(chosen).is_absolute():
        return Path(chosen) / "atiha_web"
    return _platform_folder(Path.home()) / "atiha_web"


def _platform_folder(home: Path) -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    return home / ".local" / "share"


def server_folder(parent: Path, base_url: str) -> Path:
    """The folder in ``parent`` for the data of one server, so that two servers' users never mix.

    Named for people by host and port, told apart by a digest of the whole address.

    Raises:
        InvalidDataError: ``base_url`` is not one.
    """
    if not base_url:
        return parent / "no-server"
    try:
        parts = urlsplit(base_url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise InvalidDataError(f"{base_url!r} is no server: {error}") from error
    host = parts.hostname or ""
    address = f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
    name = re.sub(r"[^a-z0-9.]+", "-", f"{host}-{port}").strip("-.")
    return parent / f"{name[:64]}-{digest[:12]}"
