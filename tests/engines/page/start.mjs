// Runs checks.py in Pyodide with the built wheel. Any browser that opens this page shows the result:
// the title says "done" or "failed", #report what was found, or until then what is going on.
import { loadPyodide } from "/pyodide/pyodide.mjs";
import * as measures from "./measures.mjs";

const report = document.getElementById("report");

async function text(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${response.status} for ${path}`);
  return response.text();
}

try {
  const pyodide = await loadPyodide({ indexURL: "/pyodide/" });
  await pyodide.loadPackage("atiha-web");
  const boot = performance.now();
  for (const name of ["page_harness.py", "checks.py", "scenarios.py"]) {
    pyodide.FS.writeFile(name, await text(name));
  }
  pyodide.registerJsModule("measures", measures);
  const options = Object.fromEntries(new URLSearchParams(location.search));
  const found = await pyodide.pyimport("checks").run(JSON.stringify({ ...options, boot }));
  report.textContent = found;
  document.title = "done";
} catch (error) {
  report.textContent += `\n${error}\n${error.stack}`;
  document.title = "failed";
}
