// The browser's side of the page backend. It moves text, bytes and events between Python and the
// browser and decides nothing: what can be wrong is in Python, where the simulation runs it.
//
// Load it by URL, as a classic script or as a module; it exports nothing and sets
// `globalThis.atihaBridge`. Arguments and results are plain data and thunks, so that `serve.js` can
// offer the same functions to workers. In a worker itself locks, requests and the mirror work; what
// needs a window does not. Times are in ms. Nothing here returns null, which Python would see as a
// JsNull instead of None: undefined stands for what is not there.
(() => {
  // Counted up when Python and this file must change together: a cache may hold an older file.
  const VERSION = 4;
  // Whoever is there already knows who listens.
  if (globalThis.atihaBridge?.version === VERSION) return;

  const orUndefined = (value) => value ?? undefined;

  // Asked for each time: the getter throws a SecurityError once the user blocks the site's data.
  const local = () => window.localStorage;

  const read = (...keys) => keys.map((key) => orUndefined(local().getItem(key)));

  // Whoever listens in this document: browsers tell only other documents of a change.
  const listeners = new Set();

  function tellOthers(writer, key, value) {
    // As late as the browser's own events: who hears it may not break the write.
    for (const listener of listeners) {
      if (listener === writer) continue;
      queueMicrotask(() => listeners.has(listener) && listener("storage", key, value));
    }
  }

  // The function with which `writer`, a listener, writes, so that only the others hear of it.
  //
  // write(key, value, key, value, …): one crossing for a batch, and strings cross cheaper as
  // arguments than as JSON or in an array. An undefined value removes its key. Returns nothing,
  // or what failed after how many changes.
  const writeAs = (writer) => (...pairs) => {
    let done = 0;
    try {
      const storage = local();
      const alone = listeners.size === (listeners.has(writer) ? 1 : 0);
      for (; done < pairs.length; done += 2) {
        const [key, value] = [pairs[done], pairs[done + 1]];
        const news = !alone && orUndefined(storage.getItem(key)) !== value;
        if (value === undefined) storage.removeItem(key);
        else storage.setItem(key, value);
        if (news) tellOthers(writer, key, value);
      }
    } catch ({ name, message }) {
      return { name, message, applied: done / 2 };
    }
  };

  // Object.keys is one step in every browser, but leaves out keys called like a method of Storage;
  // key(i) never does, and takes a walk from the start each time in some browsers.
  function keys(prefix) {
    const storage = local();
    let names = Object.keys(storage);
    if (names.length !== storage.length) {
      names = Array.from({ length: storage.length }, (_, index) => storage.key(index));
    }
    return names.filter((name) => name.startsWith(prefix));
  }

  // How many UTF-16 units are stored, keys included: what the quota counts.
  function used() {
    const storage = local();
    return keys("").reduce((sum, key) => sum + key.length + (storage.getItem(key)?.length ?? 0), 0);
  }

  // Takes a Web Lock away from whoever holds it, for who waits next.
  const steal = (name) => navigator.locks.request(name, { steal: true }, () => {});

  // Asks for a Web Lock. `held` tells whether it was had in time; `release()` gives it back, or
  // gives up waiting, and may be called at any moment.
  function lock(name, timeout) {
    // Web Locks exist in secure contexts only; Python goes on without.
    if (!navigator.locks) return { held: Promise.resolve(false), release: () => {} };
    const waiting = new AbortController();
    let release = () => waiting.abort();
    const held = new Promise((resolve, reject) => {
      // A timer of 0 ms could fire before the browser granted a lock that is free.
      const options = timeout > 0 ? { signal: waiting.signal } : { ifAvailable: true };
      const timer = timeout > 0 ? setTimeout(release, timeout) : undefined;
      const granted = (lock) => {
        clearTimeout(timer);
        const had = lock !== null && !waiting.signal.aborted;
        resolve(had);
        // The lock is held until this promise settles.
        return had ? new Promise((settle) => (release = settle)) : undefined;
      };
      navigator.locks.request(name, options, granted).catch((error) => {
        clearTimeout(timer);
        if (error.name === "AbortError") resolve(false);
        else reject(error);
      });
    });
    return { held, release: () => release() };
  }

  // No redirect carries what is meant for the page's own server to another one.
  const mode = (url) => (url.startsWith("/") ? "same-origin" : "cors");

  // Sends one request. `reply` settles with the whole reply or with what failed; `cancel()` ends it.
  // `base` is what a relative URL is relative to, where that is not this document.
  function request(url, method, headers, body, timeout, base = globalThis.document?.baseURI) {
    const ending = new AbortController();
    // A flag of our own: browsers raise the same classes of error for a timeout and a dead network.
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      ending.abort();
    }, timeout);
    const exchange = async () => {
      try {
        const response = await fetch(new URL(url, base), {
          method,
          headers: JSON.parse(headers),
          body,
          signal: ending.signal,
          mode: mode(url),
          credentials: "same-origin",
          cache: "no-store",
        });
        return {
          status: response.status,
          url: response.url,
          headers: Object.fromEntries(response.headers),
          body: await response.arrayBuffer(),
        };
      } catch ({ message }) {
        return { failure: late ? "timeout" : "network", message };
      } finally {
        clearTimeout(timer);
      }
    };
    return { reply: exchange(), cancel: () => ending.abort() };
  }

  // Sends one request that may outlive the page. Nobody waits for its reply.
  function sendLast(url, method, headers, body) {
    fetch(url, {
      method,
      headers: JSON.parse(headers),
      body,
      keepalive: true,
      mode: mode(url),
      credentials: "same-origin",
      cache: "no-store",
    }).catch(() => {});
  }

  // Whether the browser promises not to throw the site's data away; `ask` asks for it.
  async function persisted(ask) {
    const { storage } = navigator;
    try {
      return (await storage.persisted()) || (ask && (await storage.persist()));
    } catch {
      // No secure context, or a window whose data the browser throws away anyway.
      return false;
    }
  }

  // Opens a database that mirrors some of localStorage: texts by key. `opened` settles with
  // nothing, or with what failed; `gone(reason)` is called when the browser takes it away.
  function openMirror(name, gone) {
    const STORE = "entries";
    const failed = ({ name, message }) => ({ name, message });
    let database;
    let closed = false;
    const close = () => {
      closed = true;
      database?.close();
    };
    const take = (result) => {
      database = result;
      if (closed) return database.close();
      database.onclose = () => gone("the browser closed its database");
      database.onversionchange = () => {
        close();
        gone("the browser's database was deleted");
      };
    };
    const opened = new Promise((resolve) => {
      try {
        const opening = indexedDB.open(name, 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
        opening.onerror = () => resolve(failed(opening.error));
        opening.onsuccess = () => resolve(take(opening.result));
      } catch (error) {
        // Some browsers have no database, or refuse it, in private windows.
        resolve(failed(error));
      }
    });

    // Settles once the transaction is durable, with what `use` asked for or with what failed.
    const transaction = (mode, use) =>
      new Promise((resolve) => {
        try {
          const running = database.transaction(STORE, mode);
          const requests = use(running.objectStore(STORE));
          running.oncomplete = () => resolve({ results: requests.map(({ result }) => result) });
          running.onabort = () => resolve(failed(running.error ?? new Error("it was closed")));
        } catch (error) {
          resolve(failed(error));
        }
      });

    return {
      opened,
      close,
      read: () => transaction("readonly", (entries) => [entries.getAllKeys(), entries.getAll()]),
      // apply(key, value, …): as `write` takes them.
      apply: (...pairs) =>
        transaction("readwrite", (entries) => {
          for (let at = 0; at < pairs.length; at += 2) {
            const [key, value] = [pairs[at], pairs[at + 1]];
            if (value === undefined) entries.delete(key);
            else entries.put(value, key);
          }
          // Else the browser first tells us of each of them.
          entries.transaction.commit();
          return [];
        }),
    };
  }

  // Forwards what happens to `listener(what, key, value)`: "storage", "online", "offline",
  // "visible" or "hidden". What others in this document write is a "storage" too. Returns a function
  // that stops it.
  function listen(listener) {
    const forward = {
      storage: ({ storageArea, key, newValue }) => {
        // The same event tells of sessionStorage.
        if (storageArea === local()) listener("storage", orUndefined(key), orUndefined(newValue));
      },
      online: () => listener("online"),
      offline: () => listener("offline"),
      visibilitychange: () => listener(document.visibilityState),
      // A page that goes while it is hidden changes no visibility: this is its last moment.
      pagehide: () => listener("hidden"),
    };
    const target = (type) => (type === "visibilitychange" ? document : window);
    const types = Object.keys(forward);
    types.forEach((type) => target(type).addEventListener(type, forward[type]));
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      types.forEach((type) => target(type).removeEventListener(type, forward[type]));
    };
  }

  globalThis.atihaBridge = Object.freeze({
    version: VERSION,
    read,
    writeAs,
    keys,
    used,
    lock,
    steal,
    request,
    sendLast,
    persisted,
    openMirror,
    listen,
    online: () => navigator.onLine,
  });
})();
