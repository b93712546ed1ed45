"""What a refused change says, as fields, and back."""

import pytest

from demo.page.app.editing import Field, fields, read

DATA = {
    "title": "Metropolis",
    "rating": 4,
    "review": "Grand",
    "completed": True,
    "watchedAt": None,
    "preferences": {"theme": "é"},
    "session": "0197",
    "contentType": "movie",
}


def test_each_member_a_person_wrote_has_a_field_of_its_kind() -> None:
    assert [(field.label, field.kind) for field in fields(DATA)] == [
        ("Rating", "number"),
        ("Review", "long"),
        ("Completed", "check"),
        ("Watched at", "json"),
        ("Preferences", "json"),
        ("Title", "text"),
    ]


def test_a_deletion_has_none() -> None:
    assert fields(None) == []


def test_what_was_not_edited_reads_back() -> None:
    shown = fields(DATA)
    assert {field.name: read(field, field.text) for field in shown} == {
        field.name: DATA[field.name] for field in shown
    }


@pytest.mark.parametrize("text", ["", "many", "4 stars", '"4"', "null", "{"])
def test_no_number_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"Rating: please enter a number\."):
        read(Field("rating", "Rating", "number", "4"), text)


def test_no_json_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"Preferences: please enter JSON\."):
        read(Field("preferences", "Preferences", "json", "{}"), "{theme: dark}")
