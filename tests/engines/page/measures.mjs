// What browsers do differently, in numbers. Times are in ms, sizes of localStorage in UTF-16 units.

// The largest number below `limit` that `fits`, where all smaller ones fit too.
async function largest(limit, fits) {
  let [low, high] = [0, limit];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (await fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

// How many copies of a character localStorage takes, with the key.
export async function quota(character) {
  localStorage.clear();
  const fits = (units) => {
    try {
      localStorage.setItem("k", character.repeat(units - 1));
      return true;
    } catch {
      return false;
    }
  };
  const units = await largest(2 ** 24, fits);
  localStorage.clear();
  return units;
}

// The mean time of one setItem of 250 units.
export function setItem() {
  const [count, value] = [2000, "x".repeat(250)];
  const start = performance.now();
  for (let n = 0; n < count; n += 1) localStorage.setItem(`key-${n}`, value);
  const mean = (performance.now() - start) / count;
  localStorage.clear();
  return mean;
}

// The largest body of one request that may outlive its page, in bytes.
export const keepalive = () =>
  largest(2 ** 18, async (size) => {
    const options = { method: "POST", body: new Uint8Array(size), keepalive: true };
    try {
      return (await fetch("last?size", options)).ok;
    } catch {
      return false;
    }
  });

// Whether a request that a document sends as its last act arrives.
export async function outlives() {
  const frame = document.createElement("iframe");
  document.body.append(frame);
  const url = new URL("last?outlives", location).href;
  frame.contentWindow.fetch(url, { method: "POST", body: "last words", keepalive: true });
  frame.remove();
  return (await fetch("last?outlives")).status === 200;
}

// "granted" or "refused" by the browser itself, "asks" where it waits for the person's answer,
// "unknown" where it has no word for it.
export async function persistence() {
  if (!navigator.storage) return "unknown";
  const answer = navigator.storage.persist().then((kept) => (kept ? "granted" : "refused"));
  const patience = new Promise((resolve) => setTimeout(resolve, 1000, "asks"));
  return Promise.race([answer, patience]);
}

// Settles once the window heard `type`, or with false after 10 s.
export const happens = (type) =>
  new Promise((resolve) => {
    addEventListener(type, () => resolve(true), { once: true });
    setTimeout(resolve, 10_000, false);
  });

// The last value of some Python that runs in a worker, or the error it raised, as text.
export async function inWorker(code) {
  const worker = new Worker("worker.mjs", { type: "module" });
  const told = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => resolve(message);
    worker.postMessage(code);
  });
  worker.terminate();
  return told;
}
