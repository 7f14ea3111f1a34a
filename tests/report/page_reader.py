"""Reads a page the way a strict reader would, for the tests: balanced tags, its own addresses only, its pictures."""

from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser

import numpy as np

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})


class PageReader(HTMLParser):
    """Collects what a page holds; ``errors`` names every tag that does not balance."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.errors, self.tags, self.attributes = [], [], [], []
        self.values, self.texts, self.scripts, self.ids = [], [], [], []
        self.feed(page)
        self.close()
        self.errors += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        found = dict(attrs)
        if len(found) != len(attrs):
            self.errors.append(f"<{tag}> has an attribute twice")
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "data":
            self.values.append(found["value"])
        if tag == "script":
            self.scripts.append([found.get("type"), ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.errors.append(f"</{tag}> closes <{self.open[-1] if self.open else ''}>")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += data
        elif not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        """All words, with every kind of space made plain."""
        return re.sub(r"\s+", " ", " ".join(self.texts))


def foreign_addresses(page):
    """Every address the page would fetch; data in the page itself and places on it are no addresses."""
    reader = PageReader(page)
    fetching = {"src", "href", "srcset", "action", "formaction", "poster", "data", "xlink:href", "background", "ping"}
    found = [value for _, key, value in reader.attributes if key in fetching]
    found = [value for value in found if not value.startswith(("data:", "#"))]
    styles = " ".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    styles += " ".join(value for _, key, value in reader.attributes if key == "style" and value)
    return found + re.findall(r"@import|url\((?!['\"]?data:)|https?://", styles)


def read_png(data):
    """Pixels and palette of an indexed PNG with unfiltered rows; checks every checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        at += length + 12
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    columns, rows, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, columns + 1)
    assert (raw[:, 0] == 0).all()
    return raw[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
