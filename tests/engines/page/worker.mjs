// A worker that runs the Python it is sent, once, and answers with its last value.
import "/atiha/bridge.js";
import { loadPyodide } from "/pyodide/pyodide.mjs";

onmessage = async ({ data: code }) => {
  try {
    const pyodide = await loadPyodide({ indexURL: "/pyodide/", packages: ["atiha-web"] });
    postMessage(await pyodide.runPythonAsync(code));
  } catch (error) {
    postMessage(String(error));
  }
};
