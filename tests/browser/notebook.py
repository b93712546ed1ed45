"""A notebook in the demo's JupyterLite, used as a person does: with its menus and its cells."""

import re
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, expect

START_MS = 120_000
RUN_MS = 150_000


class Notebook:
    """One browser tab with JupyterLite and one notebook in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")

    @classmethod
    async def tutorial(cls, device: BrowserContext, url: str) -> "Notebook":
        """Open /lab in a new tab, as the demo's page links to it."""
        notebook = cls(await device.new_page())
        await notebook.page.goto(f"{url}/lab")
        await expect(notebook.cells.first).to_be_visible(timeout=START_MS)
        await notebook.ready()
        return notebook

    @classmethod
    async def fresh(cls, device: BrowserContext, url: str) -> "Notebook":
        """Open an empty notebook in a new tab."""
        notebook = cls(await device.new_page())
        await notebook.page.goto(f"{url}/lab/lab/index.html")
        card = notebook.page.locator('.jp-LauncherCard[data-category="Notebook"]')
        await card.click(timeout=START_MS)
        await expect(notebook.cells).to_have_count(1, timeout=START_MS)
        await notebook.ready()
        return notebook

    async def ready(self) -> None:
        """Wait for the kernel: what is run before may be lost."""
        told = self.page.locator("#jp-main-statusbar")
        await expect(told).to_contain_text("Python (Pyodide) | Idle", timeout=START_MS)

    async def run(self, code: str) -> str:
        """Run code in the last cell, which is empty; returns what it printed.

        Fails if it raises.
        """
        number = await self.cells.count()
        cell = self.cells.nth(number - 1)
        await cell.locator(".cm-content").click()
        await self.page.keyboard.insert_text(code)
        await self.page.keyboard.press("Shift+Enter")
        await self._ran(number)
        printed = await cell.locator(".jp-OutputArea-output").all_inner_texts()
        return "\n".join(printed).strip()

    async def run_all(self) -> None:
        """Run all cells and wait for the last; fails if one raises."""
        await self._choose("Run", "Run All Cells")
        await self._begun()
        await self._ran(await self.cells.count())

    async def run_above(self, number: int) -> None:
        """Run the code cells above one of them, counted from 0, and wait for the last."""
        await self.cells.nth(number).locator(".cm-content").click()
        await self._choose("Run", "Run All Above Selected Cell")
        await self._begun()
        await self._ran(number)

    async def restart(self) -> None:
        """Give the notebook a new kernel."""
        await self._choose("Kernel", "Restart Kernel…")
        await self.page.locator(".jp-Dialog .jp-mod-accept").click()
        await expect(self.page.locator(".jp-Dialog")).to_have_count(0)
        await self.ready()

    async def said(self) -> str:
        """What all cells put out, as text."""
        return "\n".join(await self.outputs.all_inner_texts())

    @property
    def outputs(self) -> Locator:
        """What the cells put out."""
        return self.page.locator(".jp-OutputArea-output")

    async def _choose(self, menu: str, item: str) -> None:
        """Choose from a menu, as soon as that may be: without a kernel its items are disabled."""
        label = re.compile(f"^{re.escape(item)}$")
        enabled = self.page.locator(".lm-Menu-item:not(.lm-mod-disabled)").filter(
            has=self.page.locator(".lm-Menu-itemLabel", has_text=label)
        )

        async def opened() -> None:
            await self.page.keyboard.press("Escape")
            await self.page.locator(".lm-MenuBar-item", has_text=menu).first.click()
            await expect(enabled).to_be_visible(timeout=1_000)

        await _until(opened)
        await enabled.click()

    async def _begun(self) -> None:
        """Wait until a run has begun: before, cells may still show that of an earlier one."""
        waiting = self.cells.locator(".jp-InputPrompt", has_text="[*]")
        await expect(waiting.first).to_be_visible()

    async def _ran(self, number: int) -> None:
        """Wait until a cell, counted from 1, has run; fail as soon as any raised."""
        done = self.cells.nth(number - 1).locator(
            ".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")
        )
        raised = self.page.locator(
            '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]'
        )
        await expect(done.or_(raised).first).to_be_visible(timeout=RUN_MS)
        assert await raised.all_inner_texts() == []


async def _until(attempt: Any, times: int = 60) -> None:
    """Try until it succeeds."""
    for _ in range(times - 1):
        try:
            await attempt()
        except AssertionError:
            continue
        return
    await attempt()
