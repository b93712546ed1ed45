"""What is in storage reads back as it was written, and anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atiha_web.backends.memory import units
from atiha_web.errors import InvalidDataError
from atiha_web.sync.journal import (
    decode_operation,
    decode_quarantined,
    encode_operation,
    encode_quarantined,
)
from atiha_web.sync.names import Names
from atiha_web.sync.operation import Operation
from atiha_web.sync.replica import Quarantined
from tests.unit.sync.samples import operation, stamp

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('aé🎬"\\', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=10,
)


@given(st.none() | st.dictionaries(st.text("abé", min_size=1), JSON, max_size=4))
def test_an_operation_reads_back(data: dict[str, object] | None) -> None:
    written = Operation("0123456789ab-7", "ratings", "m/é", data, stamp(), 3)
    assert decode_operation(written.id, encode_operation(written)) == written


def test_a_refused_operation_reads_back_with_its_reason() -> None:
    entry = Quarantined(operation(1), "invalid", "five stars at most")
    assert decode_quarantined(entry.operation.id, encode_quarantined(entry)) == entry


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[1,2,3,4,5]",
        '["ratings","m1",{},"yesterday",1]',
        f'["ratings","",{{}},"{stamp()}",1]',
        f'["ratings","m1",[],"{stamp()}",1]',
        f'["ratings","m1",{{}},"{stamp()}"]',
        '["ratings","m1",{},',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidDataError):
        decode_operation("0123456789ab-1", text)


@pytest.mark.parametrize(
    "text",
    [
        "[1,2,3,4,5,6,7]",
        f'["ratings","m1",{{}},"{stamp()}",1]',
        f'["ratings","m1",{{}},"{stamp()}",1,null,"refused"]',
        f'["ratings","m1",{{}},"{stamp()}",1,null,[["0123456789ab-0",{{}}]]]',
    ],
)
def test_anything_else_is_no_refused_operation(text: str) -> None:
    with pytest.raises(InvalidDataError):
        decode_quarantined("0123456789ab-1", text)


def test_a_plain_entry_takes_at_most_260_units() -> None:
    data = {"contentType": "episode", "title": "The Cabinet of Dr. Caligari, restored"}
    entry = Operation("0123456789ab-99999", "watchlist", "x" * 36, data, stamp())
    key = Names("u" * 36).journal + entry.id
    assert units(key) + units(encode_operation(entry)) <= 260


def test_no_users_keys_begin_with_anothers() -> None:
    one, two = Names("ann"), Names("ann-2")
    assert not two.prefix.startswith(one.prefix)
    assert not one.prefix.startswith(two.prefix)
