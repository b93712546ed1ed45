// The extension for JupyterLab and JupyterLite, in the form in which they load extensions (a
// container of module federation), written by hand: there is nothing to compile. `serve.js` and
// `bridge.js` stand beside this file once it is installed.
(() => {
  const { src } = document.currentScript;
  const plugin = {
    id: "atiha-web:serve",
    description: "Lends the page's localStorage to Python kernels that run in the browser.",
    autoStart: true,
    activate() {
      const script = document.createElement("script");
      script.src = new URL("serve.js", src);
      document.head.append(script);
    },
  };
  (globalThis._JUPYTERLAB ??= {})["atiha-web"] = {
    init: () => {},
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
