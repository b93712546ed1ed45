// A plain worker with Pyodide, as anybody might write one. It runs the Python it is sent.
import { loadPyodide } from "/pyodide.mjs";

const starting = loadPyodide({ packages: ["atiha-web"] });

self.onmessage = async ({ data: { id, code, files } }) => {
  try {
    const pyodide = await starting;
    for (const [name, text] of Object.entries(files)) pyodide.FS.writeFile(name, text);
    postMessage({ id, result: await pyodide.runPythonAsync(code) });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
};
