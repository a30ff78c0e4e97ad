"""The texts of a PDF that Chromium has written."""

from __future__ import annotations

import re
import unicodedata
import zlib

from playwright.sync_api import Page

# What is about to be printed: the texts along the first axis of each figure, and how wide it was drawn.
_NOTE = """addEventListener('beforeprint', () => {
  window.back = getComputedStyle(document.body).backgroundColor;
  window.figures = [...document.querySelectorAll('[data-figure]')].filter(e => !e.querySelector('p')).map(canvas => ({
    name: canvas.dataset.figure,
    ticks: [...canvas.querySelectorAll('.xaxislayer-above .xtick text')].map(e => e.textContent),
    width: canvas.querySelector('.main-svg')?.clientWidth,
  }));
})"""
_WIDEST_PX = 1000
_OBJECT = re.compile(rb"(\d+) 0 obj\b(.*?)\bendobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)


def check_paper(page: Page) -> list[str]:
    """Prints a page to PDF: it is white, and no figure is missing or cut off; the names of the figures."""
    page.evaluate(_NOTE)
    printed = _plain(texts_of(page.pdf()))
    assert page.evaluate("window.back") == "rgb(255, 255, 255)"
    figures = page.evaluate("window.figures")
    for figure in figures:
        ticks = figure["ticks"]  # a few of them: a timeline may go on meanwhile
        assert any(_plain("".join(ticks[at : at + 2])) in printed for at in range(len(ticks) - 1)), figure
        assert figure["width"] <= _WIDEST_PX, figure
    return [figure["name"] for figure in figures]


def _plain(text: str) -> str:
    """Without spaces and ligatures, of which paper has its own."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def texts_of(pdf: bytes) -> str:
    """All texts that are drawn, one after the other; a space stands where a new piece begins."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    letters: dict[bytes, dict[str, str]] = {}
    for fonts in re.findall(rb"/Font <<(.*?)>>", pdf, re.DOTALL):
        for name, number in re.findall(rb"/(\w+) (\d+) 0 R", fonts):
            found = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)])
            letters[name] = _letters(_content(objects[int(found[1])])) if found else {}
    pieces = []
    for body in objects.values():
        font: dict[str, str] = {}
        for name, text in re.findall(rb"/(F\d+) [\d.]+ Tf|<([0-9A-Fa-f]+)>(?= Tj|[^\]<>]*[\]<])", _content(body)):
            font = letters.get(name, {}) if name else font
            codes = [text[at : at + 4].decode().upper() for at in range(0, len(text), 4)]
            pieces.append("".join(font.get(code, "") for code in codes))
    return " ".join(filter(None, pieces))


def _content(body: bytes) -> bytes:
    found = _STREAM.search(body)
    if found is None or b"FlateDecode" not in body:
        return found[1] if found else b""
    try:
        return zlib.decompress(found[1])
    except zlib.error:
        return b""


def _letters(table: bytes) -> dict[str, str]:
    """Glyphs as hexadecimal codes, and what they stand for."""
    found = {}
    for line in re.findall(r"beginbfchar(.*?)endbfchar", table.decode("latin-1"), re.DOTALL):
        found |= {code.upper(): _letter(to) for code, to in re.findall(r"<(\w+)>\s*<(\w+)>", line)}
    for line in re.findall(r"beginbfrange(.*?)endbfrange", table.decode("latin-1"), re.DOTALL):
        for first, last, to in re.findall(r"<(\w+)>\s*<(\w+)>\s*<(\w+)>", line):
            for at in range(int(first, 16), int(last, 16) + 1):
                found[f"{at:04X}"] = chr(int(to, 16) + at - int(first, 16))
    return found


def _letter(to: str) -> str:
    return bytes.fromhex(to).decode("utf-16-be", errors="replace")
