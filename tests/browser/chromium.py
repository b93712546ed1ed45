"""Finds Chromium and says how every browser of the tests is started."""

import os
import shutil

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--no-sandbox",  # Chromium has no sandbox for root.
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # What Chromium asks for by itself would hide what the page asks for. Some of it has no switch
    # but an address, here one where nothing listens.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--apps-gallery-update-url=http://127.0.0.1:9/",
    "--autofill-server-url=http://127.0.0.1:9/",
    "--component-updater=url-source=http://127.0.0.1:9/",
    "--gaia-url=http://127.0.0.1:9/",
)
# Playwright has a list of its own, which this one replaces: what it names must be here too.
DISABLED_FEATURES = (
    # Of one tab in some hundreds Chromium samples what it allocates. It then walks the stack of
    # WebAssembly that waits for a promise as if it were the thread's, and past its end.
    "HeapProfilerReporting",
    # Requests of Chromium's own.
    "AimEnabled",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PreconnectToSearch",
    # Each window loads these two pages of Chromium's own ahead of time, longer than an empty page.
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxPopup",
    # What Playwright's interception, screenshots and closing of contexts rely on.
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
)


def executable() -> str:
    """The path of Chromium.

    Raises:
        FileNotFoundError: There is none; `tests/run` installs one where it can.
    """
    name = os.environ.get("ATIHA_CHROMIUM", "chromium")
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} was not found: run the tests with ./tests/run")
    return found


def flags(proxy: str) -> list[str]:
    """The flags of a Chromium whose requests go to the proxy, unless they stay on this machine."""
    return [
        *FLAGS,
        f"--disable-features={','.join(DISABLED_FEATURES)}",
        f"--proxy-server={proxy}",
        "--proxy-bypass-list=127.0.0.1;localhost",
    ]


def drive(proxy: str) -> Chrome:
    """Start a Chromium for pytest-pyodide, which by itself would let Selenium look for one."""
    options = Options()
    options.binary_location = executable()
    for flag in ("--headless=new", *flags(proxy)):
        options.add_argument(flag)
    return Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
