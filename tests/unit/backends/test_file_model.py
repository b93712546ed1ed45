"""Two storages in one folder against a dictionary, through openings, mergings and clearings."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atiha_web.backends.base import StorageChange
from atiha_web.backends.file import FileStorage
from atiha_web.backends.file.compaction import FEW
from atiha_web.backends.file.reader import list_segments

KEYS = st.sampled_from(["a", "b", "c", "é", ""])
VALUES = st.none() | st.text(st.characters(exclude_categories=()), max_size=5)
WHO = st.integers(0, 1)


class Folder(RuleBasedStateMachine):
    """What a listener was told, applied to what it knew, is what is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[str, str] = {}
        self.storages = [self.open(), self.open()]
        self.mirrors: list[dict[str, str]] = [{}, {}]
        self.listen(0)
        self.listen(1)

    def open(self) -> FileStorage:
        return self.runner.run(FileStorage.open(self.folder))

    def listen(self, who: int) -> None:
        async def subscribe() -> None:
            self.storages[who].subscribe(lambda change: self.apply(who, change))

        self.mirrors[who] = dict(self.model)
        self.runner.run(subscribe())

    def apply(self, who: int, change: StorageChange) -> None:
        mirror = self.mirrors[who]
        if change.key is None:
            mirror.clear()
        elif change.value is None:
            mirror.pop(change.key, None)
        else:
            mirror[change.key] = change.value

    @rule(who=WHO, changes=st.dictionaries(KEYS, VALUES, max_size=4))
    def write(self, who: int, changes: dict[str, str | None]) -> None:
        self.runner.run(self.storages[who].write(changes))
        for key, value in changes.items():
            self.apply(who, StorageChange(key, value))
            self.model.pop(key, None)
            if value is not None:
                self.model[key] = value

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        self.storages[who].close()
        self.storages[who] = self.open()
        self.listen(who)

    @rule(who=WHO)
    def rewrite(self, who: int) -> None:
        self.runner.run(self.storages[who]._roll_over())

    @rule(who=WHO)
    def flush(self, who: int) -> None:
        self.read(who)  # Who has not noticed a clearing is told that nothing was kept.
        self.runner.run(self.storages[who].flush("disk"))

    @rule()
    def merge(self) -> None:
        """Enough short lives for the next opening to merge."""
        for n in range(FEW):
            storage = self.open()
            self.runner.run(storage.write({"a": f"{n}"}))
            storage.close()
        self.model["a"] = f"{FEW - 1}"
        self.open().close()
        assert len(list_segments(self.folder)) < 2 * FEW

    @rule()
    def clear(self) -> None:
        shutil.rmtree(self.folder)
        self.model.clear()

    @rule(who=WHO)
    def read(self, who: int) -> None:
        storage = self.storages[who]
        keys = self.runner.run(storage.keys(""))
        assert keys == sorted(self.model)
        assert self.runner.run(storage.read(keys)) == [self.model[key] for key in keys]
        assert self.mirrors[who] == self.model

    @invariant()
    def a_new_storage_finds_everything(self) -> None:
        fresh = self.open()
        assert fresh._reader.values == self.model
        fresh.close()

    def teardown(self) -> None:
        for storage in self.storages:
            storage.close()
        self.runner.close()
        shutil.rmtree(self.folder, ignore_errors=True)


TestFolder = Folder.TestCase
TestFolder.settings = settings(max_examples=40, stateful_step_count=25)
