"""The documentation page: complete, and from this origin alone."""

import re

import httpx


async def test_the_page_names_only_files_of_this_origin_and_they_are_there(
    api: httpx.AsyncClient,
) -> None:
    page = await api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href|data-openapi)="([^"]+)"', page.text)
    assert len(named) == 5
    for address in named:
        assert address.startswith("/")
        assert (await api.get(address)).status_code == 200, address


async def test_the_page_runs_under_a_strict_content_security_policy(
    api: httpx.AsyncClient,
) -> None:
    page = (await api.get("/docs")).text
    assert re.findall(r"<script[^>]*>[^<]", page) == []
    assert " on" not in page.replace(" content", "")
    assert "style" not in page.replace('rel="stylesheet"', "")
