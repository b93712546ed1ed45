"""WebKitGTK through its own driver, on a display of its own."""

import os
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from selenium.webdriver import WebKitGTK
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

STARTED = "return document.getElementById('skeleton') === null"


class Seen(NamedTuple):
    """What a browser showed.

    Attributes:
        title: The last title of the page of the checks: "done", or else it is not.
        report: What that page says it found, or how far it got.
        demo: Whether the demo started.
    """

    title: str
    report: str
    demo: bool


def visit(executable: Path, driver: str, url: str, seconds: float) -> Seen:
    """Open the page of the checks, then the demo.

    Args:
        executable: WebKitGTK's MiniBrowser.
        driver: WebKitWebDriver.
        url: The page of the checks.
        seconds: When to give up.
    """
    with _display() as display, _browser(executable, driver, display) as browser:
        end = time.monotonic() + seconds
        browser.get(url)
        title = _until(browser, "return document.title", ("done", "failed").__contains__, end)
        report = browser.execute_script("return document.getElementById('report').textContent")
        browser.get(urljoin(url, "/"))
        demo = _until(browser, STARTED, bool, end)
    return Seen(title, report, demo)


def _until(browser: WebKitGTK, question: str, wanted: Callable[[Any], bool], end: float) -> Any:
    while not wanted(answer := browser.execute_script(question)) and time.monotonic() < end:
        time.sleep(0.1)
    return answer


@contextmanager
def _browser(executable: Path, driver: str, display: str) -> Iterator[WebKitGTK]:
    options = Options()
    options.binary_location = str(executable)
    options.add_argument("--automation")
    surroundings = {
        **os.environ,
        "DISPLAY": display,
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        # Containers have no namespaces to build a sandbox from; it sees our own pages only.
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
    }
    with warnings.catch_warnings():
        # Selenium's class for this browser still calls Selenium's base class in the old way.
        warnings.simplefilter("ignore", DeprecationWarning)
        browser = WebKitGTK(options=options, service=Service(driver, env=surroundings))
    try:
        yield browser
    finally:
        browser.quit()


@contextmanager
def _display() -> Iterator[str]:
    """An X server without a screen; yields its name, such as `:99`."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="ascii") as number:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", f"{writing}", "-screen", "0", "1280x800x24"],
            pass_fds=[writing],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        try:
            # It writes the number once it accepts connections.
            yield f":{number.readline().strip()}"
        finally:
            server.terminate()
            server.wait()
