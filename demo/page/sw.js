// Keeps one version of the page, Pyodide and the wheels, so that a reload works without a server.
// It never touches /api. Files below /v/ carry their hash in the path and never change.
const VERSION = new URL(location.href).searchParams.get("v");
const CACHE = `atiha-page-${VERSION}`;
const PATIENCE_MS = 4000;

async function keep(cache, url) {
  const known = url.startsWith("/v/") ? await caches.match(url) : undefined;
  const response = known ?? (await fetch(url));
  if (!response.ok) throw new Error(`${response.status} for ${url}`);
  await cache.put(url, response);
}

async function install() {
  const { keep: urls } = await (await fetch(`/assets.json?v=${VERSION}`)).json();
  const cache = await caches.open(CACHE);
  await Promise.all(urls.map((url) => keep(cache, url)));
  await self.skipWaiting();
}

async function activate() {
  const names = (await caches.keys()).filter((name) => name.startsWith("atiha-page-") && name !== CACHE);
  await Promise.all(names.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function fromCacheFirst(request) {
  return (await caches.match(request)) ?? fetch(request);
}

async function fromNetworkFirst(request) {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    const kept = await caches.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname.startsWith("/v/")) event.respondWith(fromCacheFirst(request));
  else if (request.mode === "navigate" && url.pathname === "/") event.respondWith(fromNetworkFirst(request));
  else if (url.pathname.startsWith("/atiha/")) event.respondWith(fromNetworkFirst(request));
});
