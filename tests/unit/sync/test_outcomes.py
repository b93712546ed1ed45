"""The table of replies."""

from datetime import UTC, datetime

import pytest

from atiha_web.backends.base import Response
from atiha_web.sync.outcomes import Kind, backoff, classify, problem

NOW = datetime(2025, 1, 6, 12, 0, tzinfo=UTC)
OURS = {"atiha-protocol": "1"}


def kind(status: int, *, ours: bool) -> Kind:
    return classify(Response(status, OURS if ours else {}, b""), NOW).kind


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Kind.OK),
        (201, Kind.TRANSIENT),
        (304, Kind.TRANSIENT),
        (400, Kind.BAD_BATCH),
        (401, Kind.NEEDS_AUTH),
        (403, Kind.BLOCKED),
        (404, Kind.BLOCKED),
        (408, Kind.TRANSIENT),
        (413, Kind.TOO_LARGE),
        (422, Kind.BAD_BATCH),
        (425, Kind.TRANSIENT),
        (426, Kind.UPGRADE),
        (429, Kind.BUSY),
        (500, Kind.TRANSIENT),
        (502, Kind.TRANSIENT),
        (503, Kind.BUSY),
    ],
)
def test_what_our_server_means(status: int, expected: Kind) -> None:
    assert kind(status, ours=True) is expected


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 422, 426, 500, 502])
def test_without_our_header_nearly_everything_is_transient(status: int) -> None:
    assert kind(status, ours=False) is Kind.TRANSIENT


@pytest.mark.parametrize(
    ("status", "expected"), [(413, Kind.TOO_LARGE), (429, Kind.BUSY), (503, Kind.BUSY)]
)
def test_without_our_header_size_and_load_are_believed(status: int, expected: Kind) -> None:
    assert kind(status, ours=False) is expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("100000", 900.0),
        ("Mon, 06 Jan 2025 12:00:30 GMT", 30.0),
        ("Mon, 06 Jan 2025 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_15_minutes(
    value: str, seconds: float | None
) -> None:
    response = Response(503, {**OURS, "retry-after": value}, b"")
    assert classify(response, NOW).retry_after == seconds


def test_a_problem_document_says_why() -> None:
    body = b'{"code": "too_large", "detail": "Send less."}'
    response = Response(413, {**OURS, "content-type": "application/problem+json"}, body)
    outcome = classify(response, NOW)
    assert (outcome.code, outcome.message) == ("too_large", "Send less.")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_broken_problem_document_says_nothing(body: bytes) -> None:
    assert problem(Response(400, {"content-type": "application/problem+json"}, body)) == ("", "")


def test_every_other_reply_is_explained_in_words() -> None:
    for status in range(200, 600):
        for headers in ({}, OURS):
            outcome = classify(Response(status, headers, b""), NOW)
            assert bool(outcome.message) == (outcome.kind is not Kind.OK)


def test_backoff_grows_to_a_minute_with_full_jitter() -> None:
    assert [backoff(failures, 0.999999) for failures in range(8)] == pytest.approx(
        [1, 2, 4, 8, 16, 32, 60, 60], rel=1e-4
    )
    assert backoff(20, 0.0) == 1.0
