"""The page with the Java twin and the port side by side: up to date, complete, and all in one file."""

import ast
import html
import re

import pytest
import tree_sitter_java
from tree_sitter import Language, Parser, Query, QueryCursor

from tests.twin.side_by_side import JAVA_ONLY, MODULES, PAGE, PAIRS, TWINS, Pair, main, render
from tests.twin.sources import JAVA, ROOT, PairError, excerpts, java_members, python_members

LANGUAGE = Language(tree_sitter_java.language())
JAVA_FILES = sorted(JAVA.glob("*.java"))


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text()


def java_methods(path):
    """Name and source of each, in order; looked for in another way than the page's maker does."""
    query = Query(LANGUAGE, "[(method_declaration) (constructor_declaration)] @method")
    found = QueryCursor(query).captures(Parser(LANGUAGE).parse(path.read_bytes()).root_node)["method"]
    return [(one.child_by_field_name("name").text.decode(), one.text.decode())
            for one in sorted(found, key=lambda one: one.start_byte)]


def squeezed(text):
    """Without white space, which the page arranges in its own way."""
    return "".join(text.split())


def code_of(page):
    blocks = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    return squeezed(html.unescape(re.sub(r"<[^>]+>", "", " ".join(blocks))))


def test_the_page_is_what_the_sources_make_now(page):
    # The message alone: a comparison of two whole pages helps nobody.
    is_current = page == render()
    assert is_current, "examples/java_twin/side_by_side.html is out of date: run `make java-twin-page`"


def test_every_java_method_is_on_the_page_but_two_that_python_has_no_use_for(page):
    code = code_of(page)
    absent = [f"{path.stem}.{name}"
              for path in JAVA_FILES for name, source in java_methods(path) if squeezed(source) not in code]
    assert absent == ["LiveStreamWebSocket.object", "LiveValidatorsService.object"]
    assert [name for name in absent if f"<code>{name}</code>" not in page] == []


@pytest.mark.parametrize("path", JAVA_FILES, ids=[path.stem for path in JAVA_FILES])
def test_every_javadoc_comment_is_on_the_page(path, page):
    comments = re.findall(r"/\*\*.*?\*/", path.read_text(), re.DOTALL)
    code = code_of(page)
    # Every file has at least that of its class.
    assert comments
    assert [comment for comment in comments if squeezed(comment) not in code] == []


@pytest.mark.parametrize("java_class", PAIRS)
def test_the_pairs_stand_in_the_order_of_the_java_file(java_class, page):
    declared = list(java_members(JAVA / f"{java_class}.java"))
    anchors = [name for name in re.findall(r'<section class="pair" id="(.*?)"', page) if name in declared]
    assert len(anchors) == len(PAIRS[java_class])
    assert anchors == sorted(anchors, key=declared.index)


@pytest.mark.parametrize("java_class", PAIRS)
def test_every_python_name_of_the_table_is_there(java_class):
    names = [TWINS.get(java_class, "") + name if name.startswith(".") else name
             for pair in PAIRS[java_class] for name in pair.python.split()]
    assert [name for name in names if not defined(name.rstrip(":"))] == []


def defined(name):
    """Whether each part of the name is defined somewhere in its module."""
    module, *parts = name.split(".")
    text = (ROOT / MODULES[module]).read_text()
    return all(re.search(rf"^ *(?:def|class) {part}\b|^{part}(?::| =)", text, re.MULTILINE) for part in parts)


def test_the_port_has_its_public_methods_in_the_order_of_the_java_endpoint():
    module = ast.parse((ROOT / MODULES["endpoint"]).read_text())
    endpoint = next(node for node in module.body if getattr(node, "name", "") == "LiveStreamWebSocket")
    public = [node.name for node in endpoint.body
              if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    java = [re.sub("(?=[A-Z])", "_", name).lower()
            for name, _ in java_methods(JAVA / "LiveStreamWebSocket.java")]
    assert public == [name for name in java if name in public]


def test_the_page_needs_no_other_host_and_no_script(page):
    tags = re.findall(r"<[^>]+>", page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert [tag for tag in tags if re.search(r"//|^<(?:script|link|img|iframe)\b|\bon\w+=", tag)] == []
    assert re.findall(r"url\(|@import", style) == []


def test_every_link_of_the_page_leads_somewhere(page):
    ids = re.findall(r'\bid="(.*?)"', page)
    links = set(re.findall(r'\bhref="(.*?)"', page))
    inner = {link for link in links if link.startswith("#")}
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in inner} == set(ids)
    assert [link for link in links - inner if not (PAGE.parent / link).is_file()] == []


WRONG_TABLES = {
    "nothing for a Java member": (
        PAIRS["LiveDataResource"][1:],
        "in no pair and not in JAVA_ONLY: LiveDataResource, LiveDataResource.validators"),
    "no such Java member": (
        (*PAIRS["LiveDataResource"], Pair("", "noSuch", "")),
        "examples/java_twin/src/main/java/livestream/twin/LiveDataResource.java"
        " has no LiveDataResource.noSuch, which the table names"),
    "no such Python function": (
        (*PAIRS["LiveDataResource"], Pair("", "notFound", "rest.no_such")),
        "livestream/web/rest.py has no no_such, which the table names"),
    "no such module": (
        (*PAIRS["LiveDataResource"], Pair("", "notFound", "nowhere.at_all")),
        "LiveDataResource, nowhere.at_all: MODULES has no 'nowhere'"),
}


@pytest.mark.parametrize(("pairs", "problem"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_a_wrong_name_in_the_table_is_told_in_one_line(pairs, problem, monkeypatch):
    monkeypatch.setitem(PAIRS, "LiveDataResource", pairs)
    with pytest.raises(PairError, match=f"^{re.escape(problem)}$"):
        render()


@pytest.mark.parametrize(("name", "problem"), [
    ("LiveDataResource.gone", "in JAVA_ONLY, but Java declares no such name: LiveDataResource.gone"),
    ("LiveDataResource.notFound", "in JAVA_ONLY and in a pair: LiveDataResource.notFound"),
])
def test_a_wrong_name_in_the_list_is_told_in_one_line(name, problem, monkeypatch):
    monkeypatch.setitem(JAVA_ONLY, name, "")
    with pytest.raises(PairError, match=f"^{re.escape(problem)}$"):
        render()


def test_a_wrong_table_ends_the_program_and_leaves_the_page_alone(monkeypatch, page):
    monkeypatch.setitem(JAVA_ONLY, "LiveDataResource.gone", "")
    with pytest.raises(SystemExit, match="^side_by_side: in JAVA_ONLY, but"):
        main()
    assert PAGE.read_text() == page


@pytest.mark.parametrize(("source", "problem"), [
    ("class Two {\n    void one() { }\n    void one(int other) { }\n}\n", "Two.java declares Two.one twice"),
    ("class Two {\n    void one( { }\n}\n", "Two.java can't be parsed"),
])
def test_java_that_would_be_shown_wrongly_is_refused(source, problem, tmp_path):
    path = tmp_path / "Two.java"
    path.write_text(source)
    with pytest.raises(PairError, match=problem):
        java_members(path)


def test_java_members_come_with_their_comments_and_annotations(tmp_path):
    path = tmp_path / "Some.java"
    path.write_text(
        "/** All. */\nclass Some {\n    int zeroth; // Nil.\n    int first;\n    // Two,\n    /** too. */\n"
        "    int second;\n\n    @Deprecated\n    void third() { }\n}\n")
    members = java_members(path)
    assert {name: member.text for name, member in members.items()} == {
        "Some": "/** All. */\nclass Some {",
        "Some.zeroth": "    int zeroth; // Nil.",
        "Some.first": "    int first;",
        "Some.second": "    // Two,\n    /** too. */\n    int second;",
        "Some.third": "    @Deprecated\n    void third() { }",
    }
    assert [one.text for one in excerpts(list(members.values())[3:])] == [
        "// Two,\n/** too. */\nint second;\n\n@Deprecated\nvoid third() { }"]
    assert [one.text for one in excerpts(members.values())] == [path.read_text().removesuffix("\n}\n")]


def test_python_members_come_with_their_comments_and_decorators(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "#: All of them.\nALL: int = 3\nclass Some:\n    \"\"\"One.\"\"\"\n    more = 1\n\n    # Why.\n"
        "    @property\n    def one(self):\n        return 1\n")
    members = python_members(path)
    assert {name: member.text for name, member in members.items() if name not in ("Some", "Some.one:")} == {
        "ALL": "#: All of them.\nALL: int = 3",
        "Some:": "class Some:\n    \"\"\"One.\"\"\"\n    more = 1",
        "Some.more": "    more = 1",
        "Some.one": "    # Why.\n    @property\n    def one(self):\n        return 1",
    }
    assert [one.text for one in excerpts([members["ALL"], members["Some.one"]])] == [
        "#: All of them.\nALL: int = 3", "# Why.\n@property\ndef one(self):\n    return 1"]
