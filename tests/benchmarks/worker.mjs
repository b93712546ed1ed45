// A worker that runs the functions of in_page.py: [name, values] comes, [result, error] goes.
import { loadPyodide } from "/pyodide/pyodide.mjs";

async function prepare() {
  const pyodide = await loadPyodide({ indexURL: "/pyodide/", packages: ["atiha-web"] });
  await pyodide.runPythonAsync("import atiha_web");
  const source = await (await fetch("/benchmarks/in_page.py")).text();
  pyodide.FS.writeFile("in_page.py", source);
  return pyodide.pyimport("in_page");
}

// How long a message takes to a page and back, with nothing but the browser in between.
async function echo(number) {
  const channel = new BroadcastChannel("echo");
  const times = [];
  for (let n = 0; n < number; n += 1) {
    const begin = performance.now();
    await new Promise((answer) => {
      channel.onmessage = answer;
      channel.postMessage(n);
    });
    times.push(performance.now() - begin);
  }
  channel.close();
  return times;
}

const functions = prepare();

self.onmessage = async ({ data: [name, values] }) => {
  try {
    const python = await functions;
    postMessage([name === "echo" ? await echo(...values) : JSON.parse(await python[name](...values))]);
  } catch (error) {
    postMessage([undefined, String(error)]);
  }
};
