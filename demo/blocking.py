"""Ten lines that run unchanged on CPython, in a notebook's cell, in a worker and on a page."""

from atiha_web import blocking

with blocking.connect("http://127.0.0.1:8000") as client:
    ada = client.users.login(email="ada@example.org", password="correct horse battery")
    client.sync()
    films = sorted(client["ratings"])
    films.append(f"Sequel {len(films) + 1}")
    write = client.profiles.add_rating(ada.id, films[-1], 5, "Better still.")
    write.saved("server")
    print(", ".join(films))
