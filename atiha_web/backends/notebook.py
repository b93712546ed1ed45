"""Showing JavaScript to the page of a notebook, where nobody installed the extension."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from atiha_web.backends.bridge import script


@contextmanager
def shown_script() -> Iterator[None]:
    """Let the page of this notebook serve; what was shown for it is taken away afterwards.

    Does nothing outside of a notebook, and cannot do anything where the output is captured.
    """
    if not _is_notebook():
        yield
        return
    from IPython.display import Javascript, display  # noqa: PLC0415 - a notebook has it

    scripts = script("bridge.js") + script("serve.js")
    shown = display(Javascript(scripts), display_id=True)
    try:
        yield
    finally:
        shown.update({"text/plain": ""}, raw=True)


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
