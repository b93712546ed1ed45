"""What the README and the demo print for people to copy."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRINTED_URL = "http://127.0.0.1:8000"
PRINTED_ADDRESS = "ada@example.org"
PRINTED = ["5 1", "Still funny.", "1 ratings"]
"""What the quickstart prints, line by line."""

QUICKSTART = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[
    0
]
BLOCKING = (ROOT / "demo" / "blocking.py").read_text("utf-8")


def printed_quickstart(url: str, address: str) -> str:
    """The README's first Python, for another server and another account."""
    return QUICKSTART.replace(PRINTED_URL, url).replace(PRINTED_ADDRESS, address)


def printed_blocking(url: str, address: str) -> str:
    """The ten lines of demo/blocking.py, likewise."""
    return BLOCKING.replace(PRINTED_URL, url).replace(PRINTED_ADDRESS, address)
