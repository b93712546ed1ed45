"""The digest is the same however the rows came, and differs where they do."""

from hypothesis import given
from hypothesis import strategies as st

from atiha_web.sync.digest import EMPTY, row_digest, to_text
from atiha_web.sync.merge import State
from atiha_web.sync.operation import RecordKey
from atiha_web.sync.replica import Base, Row
from tests.unit.sync.samples import stamp

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12)


@given(ROWS)
def test_a_base_keeps_the_digest_of_its_live_rows(changes: list[tuple[str, bool]]) -> None:
    base = Base()
    for version, (key, live) in enumerate(changes, 1):
        state = State(stamp(version), {} if live else None)
        base.put(RecordKey("ratings", key), Row(version, state))
    expected = EMPTY
    for record, row in base.rows.items():
        if not row.state.deleted:
            expected ^= row_digest(*record, row.version)
    assert base.digest == expected


def test_it_differs_by_collection_key_and_version() -> None:
    digests = {
        row_digest("a", "b", 1),
        row_digest("a", "b", 2),
        row_digest("a", "c", 1),
        row_digest("ab", "", 1),
    }
    assert len(digests) == 4


def test_its_text_and_value_never_change() -> None:
    assert to_text(row_digest("ratings", "m1", 7)) == "42be3c208d6f7941"
