"""HTML as a tree: an element is built, never pasted, so whatever a user supplies can only ever be text.

The standard library's ElementTree holds the tree and its ``html`` serialiser does the escaping. There is no way to pass
markup through as a string.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None
"""What an element may hold; None holds nothing, so that optional parts need no branch."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    r"""The text with characters that hide, reorder or cannot be encoded written out, as Python would.

    >>> print(visible("piece\x00\u202e 1"))
    piece\x00\u202e 1
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _BIDI or unicodedata.category(character) in {"Cc", "Cs"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


def el(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Element:
    """An element with its children and attributes.

    Args:
        name: the tag.
        children: elements and text, in order.
        attributes: ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``; None and False leave an attribute
            out, True gives it no value, numbers are written with at most two decimals.
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        element.set(key.rstrip("_").replace("_", "-"), _attribute(value))
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif child is not None and last is None:
            element.text = (element.text or "") + visible(child)
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + visible(child)
    return element


def _attribute(value: str | float | bool) -> str:
    if value is True:
        return ""
    if isinstance(value, str):
        return visible(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def data_block(value: Any, class_: str) -> Element:
    """A value for the page's script to read: JSON that no browser executes and no text in it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return el("script", text, type="application/json", class_=class_)


def serialise(root: Element) -> str:
    """The document, doctype first."""
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"
