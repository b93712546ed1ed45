"""Every error this package raises, as one tree.

AtihaError
├── InvalidDataError (ValueError)      bad input; nothing was changed
│   ├── UnknownCollectionError         a collection nobody declared
│   └── OperationTooLargeError         one operation above 32 KiB
├── SessionError                       who is signed in does not fit the call
│   ├── NotSignedInError
│   ├── WrongUserError                 the call names another user than the one signed in
│   └── PendingOperationsError         logout would leave unsent changes behind
├── StorageError                       the browser's or the file system's storage
│   ├── StorageFullError               no room; the write was not accepted
│   └── StorageUnavailableError        blocked cookies, private mode, unwritable folder
├── TransportError                     no usable answer from the server
│   ├── NetworkError                   no connection
│   ├── RequestTimeoutError            no answer in time
│   └── ProblemError                   the server refused (RFC 9457); ``status``, ``code``
├── SaveError                          the asked durability level cannot be reached
│   └── OperationRejectedError         the server refused the operation; it is in quarantine
├── PlatformError                      this platform lacks what was asked for
└── ClosedError                        the client was closed
"""

from __future__ import annotations


class AtihaError(Exception):
    """Base of every error of this package; its text says what to do next."""


class InvalidDataError(AtihaError, ValueError):
    """Bad input. Nothing was changed."""


class UnknownCollectionError(InvalidDataError):
    """The named collection is not declared."""


class OperationTooLargeError(InvalidDataError):
    """One operation is above 32 KiB of JSON."""


class SessionError(AtihaError):
    """Who is signed in does not fit the call."""


class NotSignedInError(SessionError):
    """The call needs a signed-in user."""


class WrongUserError(SessionError):
    """The call names another user than the one signed in."""


class PendingOperationsError(SessionError):
    """Signing out now would leave ``pending`` unsent changes behind."""

    def __init__(self, message: str, pending: int) -> None:
        super().__init__(message)
        self.pending = pending


class StorageError(AtihaError):
    """Local storage failed; the write was not accepted."""


class StorageFullError(StorageError):
    """Local storage has no room for the write, even after cached data was given up."""


class StorageUnavailableError(StorageError):
    """Local storage cannot be used at all here."""


class TransportError(AtihaError):
    """No usable answer came from the server."""


class NetworkError(TransportError):
    """The server could not be reached."""


class RequestTimeoutError(TransportError):
    """The server did not answer in time."""


class ProblemError(TransportError):
    """The server refused the request.

    ``status`` is the HTTP status, ``code`` the machine-readable reason of the problem document
    (RFC 9457), for instance ``email_taken``; empty where the reply carried none.
    """

    def __init__(self, message: str, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class SaveError(AtihaError):
    """The asked durability level cannot be reached."""


class OperationRejectedError(SaveError):
    """The server refused the operation for good; it waits in quarantine with its ``code``."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class PlatformError(AtihaError):
    """This platform lacks what was asked for."""


class ClosedError(AtihaError):
    """The client was closed; open a new one with ``connect``."""
