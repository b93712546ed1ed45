// Shows the Python of this page: the very files that run.
for (const shown of document.querySelectorAll("[data-source]")) {
  shown.textContent = await (await fetch(shown.dataset.source)).text();
}
