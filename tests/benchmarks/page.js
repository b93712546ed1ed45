// Starts Pyodide when asked to, and calls the functions of in_page.py by name.
import { loadPyodide } from "/pyodide/pyodide.mjs";

let pyodide;
let worker;
const blocks = [];
let last = performance.now();

// A message to oneself runs once the thread is free: the time between two is how long it was not.
const { port1, port2 } = new MessageChannel();
let watching = false;
port1.onmessage = () => {
  const now = performance.now();
  blocks.push(now - last);
  last = now;
  if (watching) port2.postMessage(0);
};

// What browsers themselves call too long: tasks of more than 50 ms.
let long = 0;
const longTasks = new PerformanceObserver((list) => (long += list.getEntries().length));

function load(url) {
  const script = document.createElement("script");
  script.src = url;
  document.head.append(script);
  return new Promise((resolve) => (script.onload = resolve));
}

globalThis.benchmark = {
  // Milliseconds from nothing to the end of `code`.
  async start(packages, code) {
    const begin = performance.now();
    pyodide = await loadPyodide({ indexURL: "/pyodide/", packages });
    await pyodide.runPythonAsync(code);
    return performance.now() - begin;
  },

  async prepare() {
    await benchmark.start(["atiha-web"], "import atiha_web");
    const source = await (await fetch("/benchmarks/in_page.py")).text();
    pyodide.FS.writeFile("in_page.py", source);
    pyodide.runPython("import in_page");
  },

  async call(name, values) {
    return JSON.parse(await pyodide.pyimport("in_page")[name](...values));
  },

  // Runs Python in a worker, which this page serves.
  async prepareWorker() {
    worker = new Worker("/benchmarks/worker.mjs", { type: "module" });
    const echo = new BroadcastChannel("echo");
    echo.onmessage = ({ data }) => echo.postMessage(data);
    await load("/atiha/serve.js");
  },

  callWorker(name, values) {
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data: [result, error] }) =>
        error === undefined ? resolve(result) : reject(new Error(error));
      worker.postMessage([name, values]);
    });
  },

  // While `name` ran: the longest time, in milliseconds, that the thread came to nothing else, and
  // the browser's own count of long tasks. Between two messages there may be more than one task.
  async longestBlock(name, values) {
    blocks.length = long = 0;
    longTasks.observe({ type: "longtask" });
    last = performance.now();
    watching = true;
    port2.postMessage(0);
    await benchmark.call(name, values);
    await new Promise((resolve) => setTimeout(resolve, 100));
    watching = false;
    longTasks.disconnect();
    return [Math.max(...blocks), long];
  },
};
