"""The document: landmarks, one script the browser lets through, a theme for each time of day."""

import base64
import hashlib
import re

import pytest

from reknit.report.markup import el
from reknit.report.parts import (
    Column,
    Fact,
    beside,
    copyable,
    facts,
    figure,
    folded,
    metered,
    section,
    table,
    tag,
    text,
)
from reknit.report.shell import page
from report.page_reader import PageReader, foreign_addresses


@pytest.fixture
def document():
    parts = section("one", "The first", text("words"), copyable("a < b", "code"), folded("more", text("inside")))
    tables = section("two", "The second", table("rows", [Column("a"), Column("b", "right")], [["1", el("b", "2")]]))
    return page("a title", "a brand", facts([Fact("fact", "1", "note")]), [parts, tables], "the end")


def test_well_formed_and_alone(document):
    assert PageReader(document).errors == []
    assert foreign_addresses(document) == []
    assert document.startswith("<!doctype html>\n<html")


def test_the_policy_names_the_script_and_nothing_else(document):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', document).group(1)
    assert policy.startswith("default-src 'none'")
    ((_, script),) = PageReader(document).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]+)", policy) == [f"'sha256-{digest}'"]


def test_landmarks_and_links(document):
    reader = PageReader(document)
    for tag_name in ("header", "main", "nav", "footer", "section", "h2", "caption"):
        assert tag_name in reader.tags
    assert len(set(reader.ids)) == len(reader.ids)
    places = [value[1:] for tag_name, key, value in reader.attributes if (tag_name, key) == ("a", "href")]
    assert places == ["content", "one", "two"]
    assert set(places) <= set(reader.ids)
    labelled = [value for _, key, value in reader.attributes if key == "aria-labelledby"]
    assert set(labelled) <= set(reader.ids)


def test_table_headers(document):
    scopes = [value for tag_name, key, value in PageReader(document).attributes if (tag_name, key) == ("th", "scope")]
    assert scopes == ["col", "col", "row"]


def test_a_ragged_table_is_refused():
    with pytest.raises(ValueError, match="zip"):
        list(table("rows", [Column("a"), Column("b")], [["1"]]))


def test_every_colour_used_is_in_both_themes(document):
    style = re.search(r"<style>(.*?)</style>", document, re.DOTALL).group(1)
    used = set(re.findall(r"var\(--([a-z-]+)\)", style))
    for name in used:
        assert len(re.findall(rf"--{name}:#", style)) == 3  # light, dark by hand, dark by the system


def test_small_parts():
    assert metered("x", None).get("style") is None
    assert metered("x", 7.0).get("style") == "--part:1.000"
    assert tag("x", "failed").get("class") == "tag tag-failed"
    assert [child.tag for child in figure(el("svg"), "look")] == ["svg", "p", "figcaption"]
    assert len(beside([text("a")], [])) == 1
