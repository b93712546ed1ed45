"""What the README and the demo print for people to copy, and how it runs on CPython."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRINTED_URL = "http://127.0.0.1:8000"
PRINTED_ADDRESS = "ada@example.org"
PRINTED = ["5 1", "Still funny.", "1 ratings"]
"""What the quickstart prints, line by line."""

README = (ROOT / "README.md").read_text("utf-8")
QUICKSTART = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
BLOCKING = (ROOT / "demo" / "blocking.py").read_text("utf-8")


def printed_quickstart(url: str, address: str) -> str:
    """The README's first Python, for another server and another account."""
    return QUICKSTART.replace(PRINTED_URL, url).replace(PRINTED_ADDRESS, address)


def printed_blocking(url: str, address: str) -> str:
    """The ten lines of demo/blocking.py, likewise."""
    return BLOCKING.replace(PRINTED_URL, url).replace(PRINTED_ADDRESS, address)


def on_cpython(code: str, home: Path) -> list[str]:
    """What a script prints there, with its data in a home folder of its own."""
    environment = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "share")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.splitlines()


def printed_worker() -> tuple[str, str]:
    """The README's line for a page, and the worker below it."""
    [line] = re.findall(r"```html\n(.*?)```", README, re.DOTALL)
    [worker] = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
    return line, worker
