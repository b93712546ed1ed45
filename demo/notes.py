"""The collection that the notebook declares, as the server knows it."""

import atiha_web


class Note(atiha_web.Record):
    """A few words of one's own."""

    note_id: str
    text: str


NOTES = atiha_web.Collection("notes", Note, key="note_id")
