from pyscript import document, when

import atiha_web

async with atiha_web.connect(guest=True) as client:

    @when("submit", "#add")
    async def keep(event):
        await client.put("watchlist", event.target.elements.title.value, {})
        event.target.reset()

    document.querySelector("#ready").disabled = False
    async for _ in client.statuses():
        lines, marks = [], client["ratings"]
        for key, film in client["watchlist"].items():
            lines.append(document.createElement("li"))
            lines[-1].textContent = film.title or key
            lines[-1].dataset.mark = "★" * marks[key].rating if key in marks else "…"
        document.querySelector("#films").replaceChildren(*lines)
