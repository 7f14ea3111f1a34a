"""The reader the other tests lean on must itself see red."""

import pytest

from report.page_reader import PageReader, foreign_addresses


@pytest.mark.parametrize("broken", ["<p><b></p></b>", "<div>", "</p>", "<p id=a id=b></p>"])
def test_sees_tags_that_do_not_balance(broken):
    assert PageReader(broken).errors


@pytest.mark.parametrize(
    "leak",
    [
        "<img src='https://example.org/a.png'>",
        "<img src='a.png'>",
        "<link href='//example.org/a.css'>",
        "<style>@import 'a.css';</style>",
        "<style>p{background:url(a.png)}</style>",
        "<p style='background:url(https://example.org/a.png)'></p>",
    ],
)
def test_sees_what_a_page_would_fetch(leak):
    assert foreign_addresses(leak)


def test_accepts_a_page_that_keeps_to_itself():
    page = "<html><style>p{background:url(data:,)}</style><a href='#x'>x</a><img src='data:,'><br></html>"
    assert PageReader(page).errors == []
    assert foreign_addresses(page) == []
