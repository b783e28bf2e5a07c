"""The REST answers through Flask's test client; whole requests on real sockets are played elsewhere."""

import logging
from random import Random
from types import SimpleNamespace

import pytest
from flask import Flask, abort
from werkzeug.test import EnvironBuilder, run_wsgi_app

from livestream import contract
from livestream.parity.cases import load_cases
from livestream.parity.judging.rules import masked
from livestream.services.blockchain import BlockchainStatsService
from livestream.services.validators import LiveValidatorsService
from livestream.stream.jackson import to_json
from livestream.web.monitor import monitor
from livestream.web.rest import install_error_pages, live_data_resource

HTTP_CASES = load_cases("http.jsonl")
NOW_NS = 1_795_422_292_531_000_001
JSON = "application/json;charset=UTF-8"
PAGE = "text/html; charset=utf-8"
ALLOW = "HEAD, GET, OPTIONS"
STATISTICS = {"active_connections": -1, "total_connections": 3}

STATS = contract.BLOCKCHAIN_STATS_PATH
VALIDATORS = contract.VALIDATORS_PATH
HEALTH = contract.VALIDATORS_HEALTH_PATH
STREAM = contract.STREAM_PATH
WEBSOCKET_STATS = contract.WEBSOCKET_STATS_PATH
FIRST = f"{VALIDATORS}/validator_000"
#: Every resource once.
RESOURCES = [STATS, VALIDATORS, FIRST, HEALTH, WEBSOCKET_STATS]


def build_app(validators, blockchain):
    app = Flask("test", static_folder=None)
    app.register_blueprint(live_data_resource(validators, blockchain, to_json))
    app.register_blueprint(monitor(lambda: STATISTICS, lambda: 2, to_json))
    install_error_pages(app)
    # As the stream's endpoint is registered: with GET alone, and for handshakes alone.
    app.add_url_rule(STREAM, view_func=lambda: "upgraded", endpoint="stream", websocket=True)
    return app


@pytest.fixture(scope="module")
def app():
    validators = LiveValidatorsService(Random(1), lambda: NOW_NS, time_scale=1_000)
    yield build_app(validators, BlockchainStatsService(lambda: NOW_NS))
    assert validators.close(10)


@pytest.fixture
def client(app):
    return app.test_client()


def refusal(answer):
    return answer.status_code, answer.headers.get("Content-Type"), answer.headers.get("Allow"), answer.text


def not_found_id(validator_id):
    return (f'{{"errorCode":"NOT_FOUND","message":"Validator not found with ID: {validator_id}",'
            f'"requestedResource":"{validator_id}"}}')


NOT_FOUND = (404, PAGE, None, contract.NOT_FOUND_PAGE)
METHOD_NOT_ALLOWED = (405, None, None, "")
NOT_ACCEPTABLE = (406, None, None, "")


# The corpus.

@pytest.mark.parametrize("case", HTTP_CASES, ids=[case.name for case in HTTP_CASES])
def test_the_corpus(client, case):
    request, observed = case.request, case.observed
    answer = client.open(request["path"], method=request["method"], headers=request["headers"])
    assert answer.status_code == observed["status"]
    assert answer.headers.get("Content-Type") == observed["content_type"]
    assert answer.headers.get("Allow") == observed["allow"]
    assert answer.headers.get("Access-Control-Allow-Origin") == observed["access_control_allow_origin"]
    root = request["path"].partition("?")[0].rstrip("/")
    assert masked(answer.text, root) == masked(observed["body"], root)


# Addresses.

@pytest.mark.parametrize("path", RESOURCES)
def test_a_trailing_slash_changes_nothing(client, path):
    plain, slashed = client.get(path), client.get(path + "/")
    assert plain.status_code == slashed.status_code == 200
    assert slashed.data == plain.data
    assert dict(slashed.headers) == dict(plain.headers)


#: Path as sent, and the id that it names.
IDS = [
    ("/a%2Fb", "a/b"),
    ("/a%2fb/", "a/b"),
    ("/%2F", "/"),
    ("/%2F%2F/", "//"),
    ("/health%2F", "health/"),
    ("/a%252Fb", "a%2Fb"),
    ("/a%3Fb?c", "a?b"),
    ("/a%23b", "a#b"),
    ("/a+b", "a+b"),
    ("/h%C3%A9", "h\u00e9"),
    ("/%FFx", "\ufffdx"),
    ("/%zz", "%zz"),
    ("/Health", "Health"),
    ("/validator_000%20", "validator_000 "),
    ("/%20x?validator_000", " x"),
]


@pytest.mark.parametrize(("path", "validator_id"), IDS)
def test_an_id_is_one_decoded_segment(client, path, validator_id):
    assert refusal(client.get(VALIDATORS + path)) == (404, JSON, None, not_found_id(validator_id))


def test_an_encoded_letter_is_that_letter(client):
    assert client.get(f"{VALIDATORS}/%76alidator_000").json["name"] == "Aurigraph Prime"


UNKNOWN_PATHS = [
    "/", "/nope", "/api/v11", "/api/v11/live", "/api/v11/live/", STREAM, f"{STREAM}/", f"{STREAM}/x", "/lab",
    f"{STATS}/x", f"{STATS}//", f"{STATS}%2F", STATS.upper(), STATS.replace("/stats", "%2Fstats"),
    STATS.replace("/stats", "//stats"),
    f"{VALIDATORS}//", f"{VALIDATORS}//x", f"{VALIDATORS}/a/b", f"{VALIDATORS}/a//", f"{VALIDATORS}/a%2Fb/c",
    f"{VALIDATORS}/validator_000/x", f"{VALIDATORS}%2F", f"{VALIDATORS}%2Fvalidator_000", f"{HEALTH}/x",
    f"{HEALTH}//",
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_an_unknown_path_is_one_page_whatever_the_method(client, path, method):
    assert refusal(client.open(path, method=method, headers={"Accept": "image/png"})) == NOT_FOUND


def test_the_page_has_no_body_for_head(client):
    assert refusal(client.head("/nope")) == (404, PAGE, None, "")


def test_a_handshake_at_a_resource_finds_nothing(client):
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert refusal(client.get(STATS, headers=handshake)) == NOT_FOUND
    assert refusal(client.post(STREAM, headers=handshake)) == NOT_FOUND
    assert client.get(STREAM, headers=handshake).text == "upgraded"


#: What three kinds of server tell of the path: how the id a/b arrives.
ENVIRONS = {
    "gunicorn, werkzeug, ours": {"RAW_URI": f"{VALIDATORS}/a%2Fb?x=1"},
    "apache": {"REQUEST_URI": f"{VALIDATORS}/a%2Fb?x=1"},
    "a request to a proxy": {"RAW_URI": f"http://host:9003{VALIDATORS}/a%2Fb?x=1"},
    "a fragment": {"RAW_URI": f"{VALIDATORS}/a%2Fb#/x"},
}


def wsgi_call(app, path, **environ):
    base = EnvironBuilder(path="/").get_environ()
    for key in ("RAW_URI", "REQUEST_URI"):
        del base[key]
    body, status, headers = run_wsgi_app(app, {**base, "PATH_INFO": path, **environ}, buffered=True)
    return status, b"".join(body).decode()


@pytest.mark.parametrize("environ", ENVIRONS.values(), ids=ENVIRONS)
def test_the_raw_path_comes_from_where_the_server_leaves_it(app, environ):
    assert wsgi_call(app, f"{VALIDATORS}/a/b", **environ) == ("404 NOT FOUND", not_found_id("a/b"))


def test_without_a_raw_path_the_decoded_one_must_do(app):
    assert wsgi_call(app, f"{VALIDATORS}/a/b") == ("404 NOT FOUND", contract.NOT_FOUND_PAGE)
    assert wsgi_call(app, f"{VALIDATORS}/h\u00c3\u00a9%41") == ("404 NOT FOUND", not_found_id("h\u00e9%41"))


@pytest.mark.parametrize("target", ["*", "http://[bad/", "http://host", "//", "%", "/\u00ff"])
def test_an_odd_request_target_finds_nothing(app, target):
    assert wsgi_call(app, "/x", RAW_URI=target) == ("404 NOT FOUND", contract.NOT_FOUND_PAGE)


# Methods.

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
@pytest.mark.parametrize("path", [*RESOURCES, f"{STATS}/", f"{VALIDATORS}/nobody", f"{VALIDATORS}/a%2Fb"])
def test_another_method_is_refused_with_nothing(client, path, method):
    answer = client.open(path, method=method, headers={"Accept": "image/png"})
    assert refusal(answer) == METHOD_NOT_ALLOWED


@pytest.mark.parametrize("path", [*RESOURCES, f"{STATS}/", f"{VALIDATORS}/nobody"])
def test_options_tells_the_methods_and_nothing_else(client, path):
    assert refusal(client.options(path)) == (200, None, ALLOW, "")
    assert refusal(client.options(path, headers={"Accept": "image/png"})) == (200, None, ALLOW, "")


@pytest.mark.parametrize("path", RESOURCES)
def test_head_is_get_without_charset_and_body(client, path):
    assert refusal(client.head(path)) == (200, "application/json", None, "")


def test_head_of_an_unknown_validator(client):
    assert refusal(client.head(f"{VALIDATORS}/nobody")) == (404, "application/json", None, "")


# Accept.

ACCEPTED = [
    "", " ", "*/*", "*", "application/*", "application/json", "APPLICATION/JSON",
    "text/html,application/json",
    "application/json;charset=utf-8", "application/json; version=1; q=0.1", "text/html, */*;q=0.1",
    "*/*, image/png;q=0", "application/json, */*;q=0", "application/*;q=0.5, */*;q=0",
    "application/json;v=1;q=0, application/json",
]
NOT_ACCEPTED = [
    "text/html", "image/*", "application/xml", "application/json;q=0", "application/json;q=0.0", "*/*;q=0",
    "application/json;q=0, */*", "application/*;q=0, */*", "application/jsonx", "application", "nonsense",
]


@pytest.mark.parametrize("accept", ACCEPTED)
def test_these_accept_json(client, accept):
    assert client.get(FIRST, headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("accept", NOT_ACCEPTED)
@pytest.mark.parametrize("path", [*RESOURCES, f"{VALIDATORS}/nobody"])
def test_these_do_not_and_are_refused_with_nothing(client, path, accept):
    assert refusal(client.get(path, headers={"Accept": accept})) == NOT_ACCEPTABLE
    assert client.head(path, headers={"Accept": accept}).status_code == 406


# The rest.

def test_the_statistics_of_the_stream(client):
    assert refusal(client.get(WEBSOCKET_STATS)) == (
        200, JSON, None, '{"active_connections":-1,"total_connections":3,"open_connections":2}')


def test_the_order_of_refusals(client):
    picky = {"Accept": "text/html"}
    nobody = f"{VALIDATORS}/nobody"
    assert refusal(client.post(f"{nobody}/x", headers=picky)) == NOT_FOUND
    assert refusal(client.post(nobody, headers=picky)) == METHOD_NOT_ALLOWED
    assert refusal(client.get(nobody, headers=picky)) == NOT_ACCEPTABLE
    assert refusal(client.get(nobody)) == (404, JSON, None, not_found_id("nobody"))


def test_an_unexpected_exception_is_one_line_in_the_log_and_an_empty_500(caplog):
    def broken():
        raise ValueError("no such\nnumbers")

    client = build_app(SimpleNamespace(health=broken), None).test_client()
    with caplog.at_level(logging.DEBUG):
        assert refusal(client.get(HEALTH)) == (500, None, None, "")
    [record] = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info is None
    assert record.getMessage() == f"GET {HEALTH}: ValueError('no such\\nnumbers')"


def test_an_http_error_of_another_room_passes():
    app = build_app(None, None)
    app.add_url_rule("/teapot", view_func=lambda: abort(418))
    assert app.test_client().get("/teapot").status_code == 418
