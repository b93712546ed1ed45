"""Other processes that use the same folder, and die when the test says so."""

import json
import random
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_FRAME = """
import asyncio, json, sys
from pathlib import Path

def say(value):
    print(json.dumps(value), flush=True)

async def forever():
    await asyncio.Event().wait()

{text}

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""


class Program:
    """A process that runs ``main(folder, *arguments)`` of a text; ``say`` in it is heard here."""

    def __init__(self, text: str, folder: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FRAME.format(text=text), str(folder), *arguments],
            stdout=subprocess.PIPE,
        )

    def hear(self) -> Any:
        """The next thing it says; ``None`` at its end."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def hear_all(self) -> list[Any]:
        """Everything it says until its end."""
        return list(iter(self.hear, None))

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


def some_moments(count: int, most: int) -> list[int]:
    """``count`` numbers of writes after which to kill, the same in every run."""
    source = random.Random(7)
    return [source.randrange(most) for _ in range(count)]
