"""Origins: which options are some, and which headers match them."""

import pytest

from livestream.web.origins import Origins, normal_origin
from livestream.web.refusals import PolicyError

FOREIGN = (
    "null", "", "https://evil.com", "https://good.example.evil.com", "https://evilgood.example",
    "https://good.example@evil.com", "http://good.example", "https://good.example:8443",
    "https://good.example:443", "https://GOOD.example", "https://good.example/", "https://goodxexample",
    "https://good.example,https://good.example", " https://good.example", "https://good.example.",
    "https://good.example\n",
)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_does_not_pass(origin):
    assert not Origins(["https://good.example"]).allows(origin)


def test_its_own_origin_passes_and_so_does_who_sends_none():
    origins = Origins(["https://good.example", "http://localhost:3000"])
    assert origins.allows("https://good.example") and origins.allows("http://localhost:3000")
    assert origins.allows(None)


def test_without_the_option_every_origin_passes():
    assert all(Origins([]).allows(origin) for origin in (*FOREIGN, None))


@pytest.mark.parametrize(("option", "origin"), {
    "https://Good.Example": "https://good.example",
    "HTTPS://good.example:443": "https://good.example",
    "http://good.example:80": "http://good.example",
    "https://good.example:80": "https://good.example:80",
    "http://[::1]:3000": "http://[::1]:3000",
    "http://127.0.0.1": "http://127.0.0.1",
}.items())
def test_an_option_is_taken_as_a_browser_would_send_it(option, origin):
    assert normal_origin(option) == origin


@pytest.mark.parametrize("option", [
    "", "*", "null", "good.example", "https://", "https://good.example/", "https://good.example/path",
    "https://*.good.example", "https://user@good.example", "https://good.example?x", "https://good.example#x",
    "ftp://good.example", "https://good.example:port", "https://good.example:99999", "https://good example",
    "https://good.example:", "http://[::1", "javascript:alert(1)",
])
def test_what_is_no_origin_is_one_clear_line(option):
    with pytest.raises(PolicyError, match="^--allow-origin .* is no origin: it must be [^\n]*$"):
        Origins([option])
