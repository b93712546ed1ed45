import atiha_web

async with atiha_web.connect(guest=True) as client:
    async for films in client.watch("watchlist"):
        for key in films:
            if key not in client["ratings"]:
                vowels = sum(letter in "aeiouy" for letter in key.lower())
                await client.put("ratings", key, {"rating": 1 + vowels % 5})
