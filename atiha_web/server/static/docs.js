// Starts Swagger UI; a file of its own, so that /docs works under a Content-Security-Policy.
"use strict";

const here = document.currentScript.dataset;
window.addEventListener("load", () => {
  window.SwaggerUIBundle({ url: here.openapi, dom_id: "#docs", deepLinking: true });
});
