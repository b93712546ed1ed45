"""Everything that is kept of a user, as JSON, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from atiha_web.collections import Collection
from atiha_web.models import User
from atiha_web.server.rows import Row, RowStore
from atiha_web.sync.operation import RecordKey, dump_json

PAGE_ROWS = 500


async def exported(
    user: User, rows: RowStore, collections: Mapping[str, Collection]
) -> AsyncIterator[str]:
    """The text in pieces: the account, then the live rows of each collection that has any.

    Each record is in it once, as it was when its page was read. No connection is held meanwhile.
    """
    account = user.model_dump_json(by_alias=True, exclude_none=True)
    yield f'{{"account":{account},"collections":{{'
    last: RecordKey | None = None
    while page := await rows.page(user.id, last, PAGE_ROWS):
        pieces = []
        for row in page:
            began = last is not None and last.collection == row.collection
            opening = "," if began else f"{'],' if last else ''}{dump_json(row.collection)}:["
            pieces.append(opening + dump_json(_as_json(row, user.id, collections)))
            last = row.record
        yield "".join(pieces)
    yield "]}}" if last else "}}"


def _as_json(row: Row, user_id: str, collections: Mapping[str, Collection]) -> dict[str, Any]:
    """The row as its REST route gives it; of a collection nobody declares any more, as stored."""
    collection = collections.get(row.collection)
    if collection is None:
        return {
            "key": row.key,
            "timestamp": row.timestamp,
            "schema": row.schema,
            "data": row.data,
        }
    return collection.row(user_id, row.key, collection.current(row.state, row.schema))
