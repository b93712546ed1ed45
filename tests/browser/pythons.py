"""Python in a page and in its workers, as anybody might start it by hand.

Many tests share one of them, which takes long to start: so it is driven by Playwright's synchronous
API, which needs no event loop.
"""

from playwright.sync_api import Page, Route

EMPTY = "<!doctype html><title>Python</title><link rel=icon href=data:,>"
RUN = "([how, code]) => Promise.resolve(pyodide[how](code)).then(() => {})"
START = """async () => {
  const { loadPyodide } = await import("/pyodide/pyodide.mjs");
  globalThis.said = [];
  globalThis.pyodide = await loadPyodide({
    packages: ["atiha-web"],
    stdout: (line) => said.push(line),
  });
}"""
WORKER = """
import "/atiha/bridge.js";
import { loadPyodide } from "/pyodide/pyodide.mjs";
const said = [];
const starting = loadPyodide({ packages: ["atiha-web"], stdout: (line) => said.push(line) });
onmessage = async ({ data: { how, code } }) => {
  try {
    const pyodide = await starting;
    await pyodide[how](code);
    postMessage({ said: said.splice(0) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
"""
START_WORKER = """() => {
  globalThis.worker = new Worker("/python-worker.mjs", { type: "module" });
}"""
ASK_WORKER = """([how, code]) => new Promise((resolve, reject) => {
  worker.onmessage = ({ data: { said, error } }) =>
    error === undefined ? resolve(said) : reject(new Error(error));
  worker.postMessage({ how, code });
})"""


def open_empty(page: Page, url: str) -> None:
    """Show a page of an origin with nothing in it but the scripts that lend storage."""
    _serve(page, "/empty.html", EMPTY, "text/html")
    page.goto(f"{url}/empty.html")
    page.add_script_tag(url="/atiha/serve.js")
    page.wait_for_function("globalThis.atihaBridge")


def start_python(page: Page) -> None:
    """Start Python on the main thread."""
    page.evaluate(START)


def run_python(page: Page, code: str, how: str = "runPythonAsync") -> list[str]:
    """Run Python on the main thread, or raise its error; what it printed, line by line."""
    page.evaluate(
        "([how, code]) => Promise.resolve(pyodide[how](code)).then(() => {})", [how, code]
    )
    said: list[str] = page.evaluate("said.splice(0)")
    return said


def start_worker(page: Page) -> None:
    """Start Python in a worker of the page."""
    _serve(page, "/python-worker.mjs", WORKER, "text/javascript")
    page.evaluate(START_WORKER)


def run_in_worker(page: Page, code: str, how: str = "runPythonAsync") -> list[str]:
    """As ``run_python``, in the worker."""
    said: list[str] = page.evaluate(ASK_WORKER, [how, code])
    return said


def _serve(page: Page, path: str, body: str, kind: str) -> None:
    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type=kind)

    page.context.route(f"**{path}", answer)
