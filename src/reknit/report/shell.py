"""The document around the content: head, colours, theme, the promise to fetch nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from reknit.report.colours import css_variables
from reknit.report.markup import Child, el, serialise
from reknit.report.script import SCRIPT
from reknit.report.style import STYLE


def page(title: str, brand: str, hero: Element, sections: Sequence[Element], footer: Child = None) -> str:
    """One self-contained HTML document; the same parts give the same bytes.

    Args:
        title: for the browser's tab.
        brand: what kind of page this is, in its top line.
        hero: what is seen first.
        sections: each with an ``id`` and a heading, linked from the top in this order.
        footer: the last line.
    """
    links = [el("a", _heading(part), href=f"#{part.get('id')}") for part in sections]
    body = el(
        "body",
        el("a", "Skip to the content", href="#content", class_="skip"),
        el("header", el("span", brand, class_="brand"), _toggle(), class_="top"),
        el("main", hero, el("nav", *links, aria_label="On this page"), *sections, id="content"),
        el("footer", footer),
        el("script", SCRIPT),
    )
    return serialise(el("html", _head(title), body, lang="en"))


def _heading(part: Element) -> str:
    heading = part.find("h2")
    return "" if heading is None else heading.text or ""


def _toggle() -> Element:
    return el("button", "Dark", type="button", id="theme", hidden=True, aria_label="Switch between light and dark")


def _head(title: str) -> Element:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_policy()),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("link", rel="icon", href="data:,"),
        el("style", _themes() + STYLE),
    )


def _policy() -> str:
    """The browser itself refuses every address, and every script but the one below."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def _themes() -> str:
    light, dark = css_variables(0), css_variables(1)
    shown = ".on-dark{display:inline}.on-light{display:none}"
    by_hand = shown.replace(".on", ":root[data-theme=dark] .on")
    by_system = shown.replace(".on", ":root:not([data-theme=light]) .on")
    return (
        f":root{{color-scheme:light;{light}}}.on-dark{{display:none}}\n"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}{by_hand}\n"
        f"@media screen and (prefers-color-scheme:dark){{"
        f":root:not([data-theme=light]){{color-scheme:dark;{dark}}}{by_system}}}\n"
    )
