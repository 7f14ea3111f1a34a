"""Whatever text goes in comes out as text."""

import json
from xml.etree.ElementTree import tostring

from hypothesis import given
from hypothesis import strategies as st

from reknit.report.markup import data_block, el, serialise, visible
from report.page_reader import PageReader

texts = st.text(st.characters(codec=None), max_size=40)


@given(texts, texts)
def test_text_and_attributes_cannot_become_markup(words, attribute):
    page = serialise(el("p", words, el("b", words), words, title=attribute))
    reader = PageReader(page)
    assert reader.errors == []
    assert reader.tags == ["p", "b"]
    assert "".join(reader.texts).strip() == (visible(words) * 3).strip()
    assert reader.attributes == [("p", "title", visible(attribute))]


@given(texts)
def test_visible_can_always_be_encoded_and_is_settled(words):
    shown = visible(words)
    shown.encode("utf-8")
    assert visible(shown) == shown


def test_what_hides_or_reorders_is_written_out():
    assert visible("a\u202eb\x00\x1b\ud800é") == r"a\u202eb\x00\x1b\ud800é"
    assert visible("two\nlines\té") == "two\nlines\té"


def test_attributes():
    element = el("i", class_="c", stroke_width=1.0, x=0.125, n=3, hidden=True, gone=None, off=False)
    assert element.attrib == {"class": "c", "stroke-width": "1", "x": "0.12", "n": "3", "hidden": ""}


def test_nothing_is_no_child():
    assert tostring(el("p", None, "a", None, "b", el("i"), None, "c"), encoding="unicode") == "<p>ab<i />c</p>"


@given(st.recursive(st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_data_reads_back_and_cannot_end_its_script(value):
    reader = PageReader(serialise(el("div", data_block(value, "x"))))
    assert reader.errors == []
    ((kind, body),) = reader.scripts
    assert kind == "application/json"
    assert "<" not in body
    assert json.loads(body) == value
