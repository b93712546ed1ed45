"""Offline-first data for Python in the browser, in notebooks and on CPython."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atiha_web.client import Client, CollectionReader
    from atiha_web.collections import Collection, Registry
    from atiha_web.connecting import connect
    from atiha_web.errors import (
        AtihaError,
        ClosedError,
        InvalidDataError,
        NetworkError,
        NotSignedInError,
        OperationRejectedError,
        OperationTooLargeError,
        PendingOperationsError,
        PlatformError,
        ProblemError,
        RequestTimeoutError,
        SaveError,
        SessionError,
        StorageError,
        StorageFullError,
        StorageUnavailableError,
        TransportError,
        UnknownCollectionError,
        WrongUserError,
    )
    from atiha_web.models import (
        AtihaModel,
        ContentRecord,
        Favorite,
        LocalProfile,
        Rating,
        Record,
        User,
        UserAccount,
        UserProfile,
        WatchHistoryEntry,
        WatchlistEntry,
    )
    from atiha_web.progress import SyncProgress
    from atiha_web.services.user_database import UserDatabase
    from atiha_web.services.user_profile import UserProfileService
    from atiha_web.sync.engine import Write
    from atiha_web.sync.merge import LastWriteWins, MergePolicy, PerField, State, ViewingSessions
    from atiha_web.sync.names import GUEST
    from atiha_web.sync.reconciler import Conflict
    from atiha_web.sync.service import SyncConfig, SyncOperation, SyncService
    from atiha_web.sync.status import Status, SyncReport

__version__ = "0.1.0"

# Who wants to read the log says where; else Python prints warnings, in a notebook between cells.
logging.getLogger("atiha_web").addHandler(logging.NullHandler())

__all__ = [
    "GUEST",
    "AtihaError",
    "AtihaModel",
    "Client",
    "ClosedError",
    "Collection",
    "CollectionReader",
    "Conflict",
    "ContentRecord",
    "Favorite",
    "InvalidDataError",
    "LastWriteWins",
    "LocalProfile",
    "MergePolicy",
    "NetworkError",
    "NotSignedInError",
    "OperationRejectedError",
    "OperationTooLargeError",
    "PendingOperationsError",
    "PerField",
    "PlatformError",
    "ProblemError",
    "Rating",
    "Record",
    "Registry",
    "RequestTimeoutError",
    "SaveError",
    "SessionError",
    "State",
    "Status",
    "StorageError",
    "StorageFullError",
    "StorageUnavailableError",
    "SyncConfig",
    "SyncOperation",
    "SyncProgress",
    "SyncReport",
    "SyncService",
    "TransportError",
    "UnknownCollectionError",
    "User",
    "UserAccount",
    "UserDatabase",
    "UserProfile",
    "UserProfileService",
    "ViewingSessions",
    "WatchHistoryEntry",
    "WatchlistEntry",
    "Write",
    "WrongUserError",
    "connect",
]

_NAMES_BY_MODULE = {
    "client": "Client CollectionReader",
    "collections": "Collection Registry",
    "connecting": "connect",
    "errors": (
        "AtihaError ClosedError InvalidDataError NetworkError NotSignedInError "
        "OperationRejectedError OperationTooLargeError PendingOperationsError PlatformError "
        "ProblemError RequestTimeoutError SaveError SessionError StorageError "
        "StorageFullError StorageUnavailableError TransportError UnknownCollectionError "
        "WrongUserError"
    ),
    "models": (
        "AtihaModel ContentRecord Favorite LocalProfile Rating Record User UserAccount "
        "UserProfile WatchHistoryEntry WatchlistEntry"
    ),
    "progress": "SyncProgress",
    "services.user_database": "UserDatabase",
    "services.user_profile": "UserProfileService",
    "sync.engine": "Write",
    "sync.names": "GUEST",
    "sync.merge": "LastWriteWins MergePolicy PerField State ViewingSessions",
    "sync.reconciler": "Conflict",
    "sync.service": "SyncConfig SyncOperation SyncService",
    "sync.status": "Status SyncReport",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

if not TYPE_CHECKING:  # Else a type checker takes any name for one of ours.

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is asked for (PEP 562): a start needs half of it."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
