"""What every operation must satisfy, whatever its collection."""

from typing import Any
from uuid import UUID, uuid5

import pytest

from atiha_web.errors import InvalidDataError, OperationTooLargeError
from atiha_web.sync.names import is_user_id
from atiha_web.sync.operation import (
    MAX_DEPTH,
    MAX_OPERATION_BYTES,
    Operation,
    check_json,
    check_key,
    check_operation,
    dump_json,
    is_operation_id,
    record_id,
)
from tests.unit.sync.samples import OpenTab, operation, queue_of, stamp


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("text", ["ann", "A-z_9", "x" * 64])
def test_names_a_user(text: str) -> None:
    assert is_user_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "é", "a\n", None])
def test_names_no_user(text: object) -> None:
    assert not is_user_id(text)


@pytest.mark.parametrize("text", ["", "0123456789ab", "0123456789AB-1", "0123456789ab-", "x-1", 5])
def test_is_no_operation_id(text: object) -> None:
    assert not is_operation_id(text)


def test_a_record_has_one_id_everywhere() -> None:
    assert record_id("ann", "ratings", "m1") == record_id("ann", "ratings", "m1")
    assert record_id("ann", "ratings", "m1") != record_id("bob", "ratings", "m1")


@pytest.mark.parametrize("number", range(20))
def test_a_record_id_is_a_uuid_of_user_collection_and_key(number: int) -> None:
    namespace = UUID("6f2d6c7e-0b7e-5b53-9d43-6f3b1f0c8a11")
    assert record_id("ann", "ratings", f"é{number}") == str(
        uuid5(namespace, f"ann/ratings/é{number}")
    )


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "é🎬", [1, [2]], {"a": {"b": None}}])
def test_can_be_stored(value: object) -> None:
    check_json(value, "it")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "finite"),
        (float("-inf"), "finite"),
        ("a\x00b", "NUL"),
        ("\ud83c", "surrogate"),
        ({"a": ["\udfff"]}, r"it\.a\[0\]"),
        ({1: "a"}, "keys are text"),
        ({"a\x00": 1}, "NUL"),
        ({1, 2}, "set"),
        (b"a", "bytes"),
        (nested(MAX_DEPTH + 1), "nested"),
    ],
    ids=repr,
)
def test_cannot_be_stored_and_says_why(value: object, words: str) -> None:
    with pytest.raises(InvalidDataError, match=words):
        check_json(value, "it")


def test_deep_but_not_too_deep_can_be_stored() -> None:
    check_json(nested(MAX_DEPTH), "it")


@pytest.mark.parametrize("key", ["", "k" * 257, None, 5, "a\x00", "\ud800"])
def test_is_no_key(key: object) -> None:
    with pytest.raises(InvalidDataError):
        check_key(key)


def test_an_operation_may_hold_32_kib_and_no_more() -> None:
    room = MAX_OPERATION_BYTES - len(dump_json({"review": ""}))
    check_operation(operation(1, data={"review": "x" * room}))
    with pytest.raises(OperationTooLargeError, match="32,769 bytes"):
        check_operation(operation(1, data={"review": "x" * (room + 1)}))


@pytest.mark.parametrize(
    "bad",
    [
        Operation("1", "ratings", "m1", {}, stamp()),
        Operation("0123456789ab-1", "ratings", "", {}, stamp()),
        Operation("0123456789ab-1", "ratings", "m1", {}, "yesterday"),
        Operation("0123456789ab-1", "ratings", "m1", {"a": float("inf")}, stamp()),
    ],
    ids=["id", "key", "timestamp", "data"],
)
def test_a_malformed_operation_is_refused(bad: Operation) -> None:
    with pytest.raises(InvalidDataError):
        check_operation(bad)


def test_an_operation_without_data_is_a_deletion() -> None:
    assert Operation("0123456789ab-1", "ratings", "m1", None, stamp()).type == "delete"
    assert operation(1).type == "put"


async def test_a_deletion_names_a_key_too(open_tab: OpenTab) -> None:
    tab = await open_tab()
    with pytest.raises(InvalidDataError, match="NUL"):
        await tab.write("ratings", "m\x001", None)
    assert queue_of(tab) == 0
