// Lets Python in a worker of this origin use the page's localStorage, and hear its events.
//
//     <script src="/atiha/serve.js"></script>
//
// is all a page needs; it must be a classic script, which knows where it comes from, and loads
// `bridge.js` from beside it. A kernel (whatever runs in the worker) says "hello" on the channel
// `atiha-web` with a name that nobody can guess, and holds the Web Lock `<name>:kernel` as long as it
// lives. All pages that heard it queue for the lock `<name>:page`; who has it serves on the channel
// `<name>`, and the browser lets the next one in as soon as it goes. A frozen page leaves the queue.
//
// Whoever can hear or say any of this is a script of the page's own origin, which could use
// localStorage itself: names and ids keep kernels and pages apart, they are no secrets. What is said
// on the channels in another form than ours is somebody else's, and left alone.
//
// What a kernel asks carries the id of the page it is meant for and the time until which it waits:
// a page that was replaced, or wakes too late, changes nothing any more.
(() => {
  const VERSION = 4;
  // A page that people see is a better source of what they do than one in the background.
  const HIDDEN_PAGES_WAIT_MS = 250;
  const CHANNEL = "atiha-web";

  const isMessage = (data) => Array.isArray(data) && typeof data[0] === "string";

  function start() {
    // The file may have been loaded twice, and each time have waited for `bridge.js`.
    if (globalThis.atihaServer?.version === VERSION) return;
    const bridge = globalThis.atihaBridge;
    const { locks } = navigator;
    const kernels = new Map();
    let hello;

    // Answers one kernel until the returned function is called.
    function serve(name) {
      const page = crypto.randomUUID();
      const channel = new BroadcastChannel(name);
      let open = true;
      const tell = (...news) => open && channel.postMessage(news);
      const listener = (what, key, value) => tell(what, key, value);
      const stopListening = bridge.listen(listener);
      const operations = {
        __proto__: null,
        read: bridge.read,
        write: bridge.writeAs(listener),
        keys: bridge.keys,
        used: bridge.used,
        persisted: bridge.persisted,
        sendLast: bridge.sendLast,
      };
      channel.onmessage = ({ data }) => {
        if (!isMessage(data)) return;
        const [to, id, deadline, operation, ...values] = data;
        if (to !== page) return;
        if (Date.now() > deadline) return tell("late", id);
        const answer = (result) => tell("answer", id, result);
        const refuse = ({ name, message }) => tell("failed", id, name, message);
        try {
          const result = operations[operation](...values);
          // Without a wait: this page's other listeners hear of a write after who made it.
          if (result instanceof Promise) result.then(answer, refuse);
          else answer(result);
        } catch (error) {
          refuse(error);
        }
      };
      tell("serving", page, bridge.online(), document.baseURI);
      return () => {
        if (!open) return;
        stopListening();
        tell("leaving", page);
        open = false;
        channel.close();
      };
    }

    async function takeTurns(name, gone) {
      const left = new Promise((leave) => gone.addEventListener("abort", leave));
      if (document.hidden) await new Promise((wake) => setTimeout(wake, HIDDEN_PAGES_WAIT_MS));
      let stop;
      const turn = () => {
        stop = serve(name);
        return left.then(stop);
      };
      do {
        stop = undefined;
        // It is refused when the page leaves, and taken away by a kernel that waited in vain.
        await locks.request(`${name}:page`, { signal: gone }, turn).catch(() => {});
        stop?.();
      } while (stop && !gone.aborted);
    }

    function attend(name) {
      if (kernels.has(name)) return;
      const leaving = new AbortController();
      const { signal } = leaving;
      kernels.set(name, leaving);
      const forget = () => {
        kernels.delete(name);
        leaving.abort();
      };
      locks.request(`${name}:kernel`, { mode: "shared", signal }, forget).catch(() => {});
      takeTurns(name, signal);
    }

    function join() {
      if (hello) return;
      hello = new BroadcastChannel(CHANNEL);
      hello.onmessage = ({ data }) => {
        const [what, version, name] = isMessage(data) ? data : [];
        if (what !== "hello" || typeof name !== "string") return;
        if (version === VERSION) attend(name);
        else hello.postMessage(["refused", VERSION, name]);
      };
      hello.postMessage(["here", VERSION]);
    }

    function leave() {
      hello?.close();
      hello = undefined;
      kernels.forEach((leaving) => leaving.abort());
      kernels.clear();
    }

    document.addEventListener("freeze", leave);
    document.addEventListener("resume", join);
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", join);
    join();
    globalThis.atihaServer = Object.freeze({ version: VERSION, leave, join });
  }

  // Web Locks exist in secure contexts only, and kernels say so themselves.
  if (!navigator.locks || globalThis.atihaServer?.version === VERSION) return;
  if (globalThis.atihaBridge?.version === VERSION) return start();
  const source = document.currentScript?.src;
  if (!source) throw new Error("load serve.js by URL as a classic script, or bridge.js before it");
  import(new URL("bridge.js", source)).then(start);
})();
