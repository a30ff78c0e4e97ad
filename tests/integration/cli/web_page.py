"""A form of the server's pages, filled in as a browser fills it in."""

from __future__ import annotations

import urllib.request
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit


class Form(HTMLParser):
    """The fields of the page's form that is sent with POST, in their order."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._inside = False
        self._text: list[str] | None = None
        self.fields: list[tuple[str, str]] = []
        with urllib.request.urlopen(address, timeout=60) as answer:
            self.feed(answer.read().decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("method") == "post"
        elif tag == "input" and self._inside:
            self.fields.append((given["name"], given.get("value", "")))
        elif tag == "textarea" and self._inside:
            self.fields.append((given["name"], ""))
            self._text = []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text is not None:
            text = "".join(self._text).removeprefix("\n").replace("\n", "\r\n")
            self.fields[-1] = (self.fields[-1][0], text)
            self._text = None

    def send(self, **more: str) -> str:
        """Sends the form, with a button and what is beside it; the address of the page that comes next."""
        parts = urlsplit(self._address)
        headers = {"origin": f"{parts.scheme}://{parts.netloc}", "sec-fetch-site": "same-origin"}
        body = urlencode([*self.fields, *more.items()]).encode()
        with urllib.request.urlopen(urllib.request.Request(self._address, body, headers), timeout=60) as answer:
            return str(answer.url)
