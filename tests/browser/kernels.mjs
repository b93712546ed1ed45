// The page of tests with kernels: starts workers, runs Python in them, and does to itself what the
// checks inside them ask for.
let number = 0;

class Kernel {
  #worker = new Worker("/kernel.mjs", { type: "module" });
  #waiting = new Map();

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
  }

  run(code, files = {}) {
    number += 1;
    this.#worker.postMessage({ id: number, code, files });
    return new Promise((resolve, reject) => this.#waiting.set(number, { resolve, reject }));
  }

  kill() {
    this.#worker.terminate();
  }
}

const happen = {
  online: () => connect(true),
  offline: () => connect(false),
  hidden: () => show("hidden"),
  visible: () => show("visible"),
  clear() {
    const frame = document.createElement("iframe");
    document.body.append(frame);
    frame.contentWindow.localStorage.clear();
    frame.remove();
  },
};

function connect(online) {
  Object.defineProperty(navigator, "onLine", { value: online, configurable: true });
  window.dispatchEvent(new Event(online ? "online" : "offline"));
}

function show(state) {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}

new BroadcastChannel("test").onmessage = ({ data }) => happen[data]();
globalThis.kernels = { start: () => new Kernel() };
