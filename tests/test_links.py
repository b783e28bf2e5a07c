"""Every link within the project leads somewhere, and every anchor is a heading."""

from urllib.parse import unquote, urlsplit

import pytest

from tests.documents import ROOT, anchors, documents, passages

LINKS = [
    passage for document in documents() for passage in passages(document)
    if passage.kind == "link" and not urlsplit(passage.text).scheme
]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.place)
def test_a_link_leads_somewhere(link):
    path, _, anchor = unquote(link.text).partition("#")
    target = (link.document.parent / path) if path else link.document
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def test_the_texts_are_found_and_have_links():
    names = {str(document.relative_to(ROOT)) for document in documents()}
    assert {"README.md", "examples/README.md", "examples/java_twin/README.md"} <= names
    assert len(LINKS) > 10


def test_an_anchor_is_a_heading_as_it_is_addressed(tmp_path):
    text = tmp_path / "text.md"
    text.write_text("# The tour\n\n## 1. What a *welcome* says\n\n```text\n## none\n```\n\n### A flag\n")
    assert anchors(text) == {"the-tour", "1-what-a-welcome-says", "a-flag"}
