// Starts Python and paints what is known before it is there. Everything else is Python, in app/.
const BASE = new URL(".", import.meta.url);
const LISTS = [["watch_history", "Continue watching"], ["watchlist", "My list"], ["favorites", "Favorites"]];
const byId = (id) => document.getElementById(id);

async function json(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} for ${new URL(url, BASE).pathname}`);
  return response.json();
}

function stored(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

async function drawMotifs() {
  const text = await (await fetch(new URL("motifs.svg", BASE))).text();
  const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  document.body.append(document.importNode(svg, true));
}

function card(film, entry) {
  const node = byId("card").content.firstElementChild.cloneNode(true);
  const part = (name) => node.querySelector(`[data-part="${name}"]`);
  part("link").href = `#/film/${film.id}`;
  part("motif").setAttribute("href", `#motif-${film.poster.motif}`);
  for (const name of ["palette", "face", "size"]) part("poster").dataset[name] = film.poster[name];
  for (const name of ["title", "poster-title"]) part(name).textContent = film.title;
  part("poster-credit").textContent = film.directors.join(" & ");
  part("meta").textContent = `${film.year} · ${film.genre}`;
  if (entry.progress) {
    part("progress").hidden = false;
    part("progress-bar").style.setProperty("--watched", (100 * entry.progress) / entry.duration);
  }
  return node;
}

// The lists of the last visit, from the rendered views that the engine keeps in localStorage.
function paintLastKnown(films) {
  const userId = stored("atiha_session", {}).userId;
  if (!userId) return;
  const rows = [];
  for (const [collection, title] of LISTS) {
    const entries = stored(`atiha_${collection}_${userId}`, []);
    const known = entries.filter((entry) => films.has(entry.contentId) && !entry.completed);
    if (!known.length) continue;
    const row = byId("row").content.firstElementChild.cloneNode(true);
    row.querySelector("h2").textContent = title;
    row.querySelector('[data-part="more"]').remove();
    const cards = known.slice(0, 12).map((entry) => card(films.get(entry.contentId), entry));
    row.querySelector('[data-part="cards"]').append(...cards);
    rows.push(row);
  }
  if (rows.length) byId("boot-rows").replaceChildren(...rows);
  performance.mark("atiha:painted");
}

// Reads every file once, so that the browser's cache has it, and tells how many bytes came:
// `sent` of them travel for the `bytes` that a file has, since most files are compressed.
async function download(files) {
  const ending = new AbortController();
  const total = files.reduce((sum, file) => sum + file.sent, 0);
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  let received = 0;
  const count = (bytes) => {
    received += bytes;
    byId("boot-progress").value = (100 * received) / total;
    byId("boot-words").textContent = `Loading Python: ${megabytes(received)} of ${megabytes(total)} MB`;
  };
  const read = async (file) => {
    const response = await fetch(file.url, { signal: ending.signal });
    if (!response.ok) throw new Error(`${response.status} for ${file.url}`);
    const reader = response.body.getReader();
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      count((chunk.value.byteLength * file.sent) / file.bytes);
    }
  };
  try {
    await Promise.all(files.map(read));
  } catch (error) {
    ending.abort();
    throw error;
  }
}

async function startPython(assets, films) {
  const runtime = new URL(assets.pyodide, location.origin).href;
  const [{ loadPyodide }, archive] = await Promise.all([
    import(`${runtime}pyodide.mjs`),
    fetch(assets.app).then((response) => response.arrayBuffer()),
  ]);
  byId("boot-words").textContent = "Starting Python";
  const pyodide = await loadPyodide({ indexURL: runtime, packages: assets.packages });
  performance.mark("atiha:python");
  pyodide.unpackArchive(archive, "zip");
  window.pyodide = pyodide;
  const { start } = pyodide.pyimport("app.main");
  performance.mark("atiha:imported");
  await start(JSON.stringify(films), pyodide.globals);
}

async function keepForOffline(assets) {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register(`/sw.js?v=${assets.version}`);
}

function showFailure(error) {
  console.error(error);
  const boot = document.querySelector(".boot");
  if (!boot) return;
  boot.dataset.failed = "";
  byId("boot-title").textContent = "The film tore";
  const cause = navigator.onLine ? "Check that the server runs" : "You seem to be offline";
  byId("boot-words").textContent =
    `Atiha could not start (${error.message.trim().split("\n").at(-1)}). ${cause}, then try again: nothing you saved is lost.`;
  const retry = byId("boot-retry");
  retry.hidden = false;
  retry.onclick = () => location.reload();
  byId("status-headline").textContent = "Not started";
  byId("status-bar").dataset.tone = "bad";
}

async function boot() {
  const [assets, films] = await Promise.all([
    json(new URL("assets.json", BASE)), json(new URL("films.json", BASE)), drawMotifs(),
  ]);
  paintLastKnown(new Map(films.map((film) => [film.id, film])));
  await download(assets.download);
  performance.mark("atiha:downloaded");
  await startPython(assets, films);
  performance.mark("atiha:started");
  await keepForOffline(assets);
}

boot().catch(showFailure);
