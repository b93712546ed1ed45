"""Operations as calls of a REST server: what is stored of them, and the bytes that are sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web.collections import BUILT_IN, Registry
from atiha_web.errors import InvalidDataError
from atiha_web.sync.calls import rest_call, user_of
from atiha_web.sync.journal import (
    decode_operation,
    decode_quarantined,
    encode_operation,
    encode_quarantined,
)
from atiha_web.sync.operation import Call, Operation
from atiha_web.sync.replica import Quarantined
from tests.unit.sync.samples import WRITER, operation, stamp

REGISTRY = Registry(BUILT_IN)
ID = f"{WRITER}-1"

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
calls = st.builds(
    Call,
    st.sampled_from(["create", "update"]),
    st.just("/api/free"),
    st.none() | st.lists(texts, max_size=3).map(tuple),
)


def called(data: dict[str, object], call: Call) -> Operation:
    return Operation(ID, "/api/free", "k", data, stamp(), call=call)


@given(st.dictionaries(texts, values, max_size=4), calls)
def test_what_is_stored_gives_the_same_bytes(data: dict[str, object], call: Call) -> None:
    stated = called(data, call)
    stored = decode_operation(ID, encode_operation(stated))
    assert stored == stated
    assert rest_call(stored, REGISTRY, "ann", "PATCH") == rest_call(
        stated, REGISTRY, "ann", "PATCH"
    )


def test_a_refused_call_is_stored_with_its_reason() -> None:
    entry = Quarantined(called({"a": 1}, Call("update", "/api/free", ("a",))), "http_409", "no")
    assert decode_quarantined(ID, encode_quarantined(entry)) == entry


def test_what_was_stored_before_there_were_calls_is_read() -> None:
    old = operation(1)
    text = f'["ratings","m1",{{"rating":3}},"{old.timestamp}",1]'
    assert decode_operation(old.id, text) == old


@pytest.mark.parametrize("call", ['"create"', "[]", '["destroy","/x",null]', '["create",1,null]'])
def test_a_call_of_another_form_is_named(call: str) -> None:
    with pytest.raises(InvalidDataError, match="another form"):
        decode_operation(ID, f'["/x","k",{{}},"{stamp()}",1,{call}]')


@pytest.mark.parametrize(
    ("endpoint", "user_id"),
    [
        ("/api/users/ann/ratings", "ann"),
        ("/api/users/ann", "ann"),
        ("/api/users/ann/ratings?a=/api/users/bob", "ann"),
        ("/api/users", None),
        ("/api/users/a%2Fb/ratings", None),
        ("/api/free", None),
    ],
)
def test_an_endpoint_tells_whose_it_is(endpoint: str, user_id: str | None) -> None:
    assert user_of(endpoint) == user_id
