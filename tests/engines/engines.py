"""The browsers beside Chromium: what they need here, and how a page is opened in them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.assets import fetch, pins
from tests.engines import webkit
from tests.engines.webkit import Seen

HERE = Path(__file__).parent
PATIENCE = 300
"""Seconds for everything in one browser, on a machine that is busy with much else."""
NODE_PACKAGES = ("package.json", "package-lock.json")

Visit = Callable[[str], Seen]


@dataclass(frozen=True)
class Engine:
    """One browser.

    Attributes:
        name: What people call it.
        packages: What brings it, on Debian.
        missing: What of it is not installed.
        visit: Opens the page of the checks at a URL, then the demo.
    """

    name: str
    packages: str
    missing: Callable[[], list[str]]
    visit: Visit

    @property
    def absence(self) -> str:
        """Why nothing can be said of it here, in a sentence; empty where it is there."""
        missing = ", ".join(self.missing())
        return missing and (
            f"{self.name} was not tested: {missing} not found (Debian: apt-get install "
            f"{self.packages})"
        )


def _missing_firefox() -> list[str]:
    return [name for name in ("firefox-esr", "node") if shutil.which(name) is None]


def _visit_firefox(url: str) -> Seen:
    command = ["node", HERE / "firefox.mjs", _node_packages(), shutil.which("firefox-esr"), url]
    ended = subprocess.run(
        [*map(str, command), f"{PATIENCE}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE + 30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return Seen(**json.loads(ended.stdout))


def _node_packages() -> Path:
    """The folder that holds what package.json pins."""
    files = [HERE / name for name in NODE_PACKAGES]
    final = fetch.CACHE / "npm" / pins.digest(*files)
    if not final.exists():
        with fetch.new_folder(final) as folder:
            for file in files:
                shutil.copy2(file, folder)
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(
                ["npm", "ci", *options], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
    return final


def _mini_browser() -> Path | None:
    places = [*Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")]
    places += Path("/usr/libexec").glob("webkit2gtk-4.*/MiniBrowser")
    return max(places, default=None)


def _missing_webkit() -> list[str]:
    missing = [name for name in ("WebKitWebDriver", "Xvfb") if shutil.which(name) is None]
    return missing if _mini_browser() else [*missing, "MiniBrowser"]


def _visit_webkit(url: str) -> Seen:
    executable, driver = _mini_browser(), shutil.which("WebKitWebDriver")
    assert executable is not None
    assert driver is not None
    return webkit.visit(executable, driver, url, PATIENCE)


ENGINES = {
    "firefox": Engine("Firefox", "firefox-esr nodejs", _missing_firefox, _visit_firefox),
    "webkit": Engine("WebKit", "webkit2gtk-driver xvfb", _missing_webkit, _visit_webkit),
}
