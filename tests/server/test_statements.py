"""The SQL of the sync: fit for a database sharded by user."""

import re

import pytest

from atiha_web.server import statements

REGISTRY = {name: text for name, text in vars(statements).items() if name[0].isupper()}
PER_USER = {name: text for name, text in REGISTRY.items() if name != "RENEW_EPOCHS"}


def tables(text: str) -> set[str]:
    return set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) ([a-z_]+)", text))


@pytest.mark.parametrize("name", PER_USER)
def test_a_statement_names_its_user(name: str) -> None:
    text = PER_USER[name]
    if name == "CREATE_STATE":
        assert "VALUES ($1," in text
        return
    # A subquery reads tables of its own.
    named = len(re.findall(r"\b(?:\w\.)?user_id = \$1", text))
    read = len(re.findall(r"\b(?:FROM|UPDATE) (?:sync_state|records)\b", text))
    assert named >= read >= 1


@pytest.mark.parametrize("name", REGISTRY)
def test_a_statement_touches_sync_state_and_records_only(name: str) -> None:
    known = {"sync_state", "records", "unnest", "SET", "LATERAL"}
    assert tables(REGISTRY[name]) <= known


@pytest.mark.parametrize("name", REGISTRY)
def test_no_statement_changes_the_session(name: str) -> None:
    assert not re.search(r"\b(SET (LOCAL|SESSION)|NOTIFY|LISTEN|advisory)\b", REGISTRY[name])
