"""The REST answers, the original's LiveDataResource (SPEC, "REST").

A request is refused in this order: unknown path (404), method (405), Accept
(406), unknown validator (404). Flask would answer some of these requests by
itself (OPTIONS, redirects, default content types); all of that is off here.
"""

import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import quote, unquote_to_bytes

from flask import Blueprint, Flask, Response, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import WebsocketMismatch

from livestream import contract
from livestream.services.blockchain import BlockchainStatsService
from livestream.services.interfaces import Payload
from livestream.services.validators import LiveValidatorsService

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Turns a payload into compact JSON text.
JsonWriter: TypeAlias = Callable[[object], str]
View: TypeAlias = Callable[..., Response]

JSON_BODY_TYPE: Final = "application/json;charset=UTF-8"
JSON_HEAD_TYPE: Final = "application/json"
PAGE_TYPE: Final = "text/html; charset=utf-8"
ALLOWED: Final = "HEAD, GET, OPTIONS"

#: Media ranges that include JSON; the first one present in Accept decides (RFC 9110, section 12.5.1).
JSON_RANGES: Final = ("application/json", "application/*", "*/*", "*")

#: Where a server leaves the path as it was sent; PATH_INFO has lost which slashes were encoded.
RAW_PATH_KEYS: Final = ("RAW_URI", "REQUEST_URI")
#: A request to a proxy begins with them (RFC 9112, section 3.2.2).
_SCHEME_AND_HOST: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_END_OF_PATH: Final = re.compile("[?#]")
_ENCODED_SLASH: Final = re.compile("%2F", re.IGNORECASE)

_ROUTE_OPTIONS: Final[dict[str, Any]] = {
    # Naming OPTIONS switches off Flask's own answer to it.
    "methods": ("GET", "HEAD", "OPTIONS"),
    "strict_slashes": False,
}

_log = logging.getLogger(__name__)


def live_data_resource(
    validators: LiveValidatorsService, blockchain: BlockchainStatsService, to_json: JsonWriter
) -> Blueprint:
    """The four resources under /api/v11; `to_json` writes every body."""
    resource = json_resource("live_data_resource")
    resource.record_once(_keep_encoded_slashes)

    @json_route(resource, contract.BLOCKCHAIN_STATS_PATH)
    def get_blockchain_stats() -> Response:
        """The fixed snapshot."""
        return json_answer(to_json(blockchain.get_blockchain_stats()))

    @json_route(resource, contract.VALIDATORS_PATH)
    def get_live_validator_status() -> Response:
        """All validators and their totals."""
        return json_answer(to_json(validators.get_live_validator_status()))

    @json_route(resource, contract.VALIDATORS_HEALTH_PATH)
    def get_validators_health() -> Response:
        """Whether the validators move."""
        return json_answer(to_json(validators.health()))

    @json_route(resource, f"{contract.VALIDATORS_PATH}/<encoded_id>")
    def get_validator_by_id(encoded_id: str) -> Response:
        """One validator, or 404."""
        validator_id = last_segment(raw_path(request.environ))
        validator = validators.get_validator_by_id(validator_id)
        if validator is None:
            return json_answer(to_json(validator_not_found(validator_id)), HTTPStatus.NOT_FOUND)
        return json_answer(to_json(validator))

    return resource


def validator_not_found(validator_id: str) -> Payload:
    """The body of the 404 for an unknown validator."""
    return {
        "errorCode": "NOT_FOUND",
        "message": f"Validator not found with ID: {validator_id}",
        "requestedResource": validator_id,
    }


# What every JSON resource shares; `monitor` uses it too.

def json_resource(name: str) -> Blueprint:
    """A blueprint that answers OPTIONS and refuses whoever doesn't accept JSON, before its views run."""
    resource = Blueprint(name, __name__)
    resource.before_request(_answer_before_the_view)
    return resource


def json_route(resource: Blueprint, path: str) -> Callable[[View], View]:
    """Registers a view for GET and HEAD of `path`, with or without a trailing slash."""
    return resource.route(path, **_ROUTE_OPTIONS)


def json_answer(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """`text` as a JSON body; HEAD gets the same headers, but for the charset, and no body."""
    content_type = JSON_HEAD_TYPE if request.method == "HEAD" else JSON_BODY_TYPE
    return Response(text, status, content_type=content_type)


def empty_answer(status: HTTPStatus) -> Response:
    """No body, and therefore no content type."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def accepts_json(accept: Iterable[tuple[str, float]]) -> bool:
    """Whether the pairs of media range and quality in an Accept header let JSON through; q=0 does not."""
    qualities: dict[str, float] = {}
    for media_range, quality in accept:
        name = media_range.partition(";")[0].strip().lower()
        qualities[name] = max(quality, qualities.get(name, 0))
    for name in JSON_RANGES:
        if name in qualities:
            return qualities[name] > 0
    return False


def _answer_before_the_view() -> Response | None:
    if request.method == "OPTIONS":
        answer = empty_answer(HTTPStatus.OK)
        answer.headers["Allow"] = ALLOWED
        return answer
    if request.headers.get("Accept", "").strip() and not accepts_json(request.accept_mimetypes):
        return empty_answer(HTTPStatus.NOT_ACCEPTABLE)
    return None


# Paths as they were sent.

def raw_path(environ: "WSGIEnvironment") -> str:
    """The request's path, still percent-encoded, without query or fragment."""
    for key in RAW_PATH_KEYS:
        if environ.get(key):
            return _path_of(environ[key])
    return quote(environ["PATH_INFO"].encode("latin-1"))


def last_segment(path: str) -> str:
    """The last segment of an encoded path, decoded as UTF-8; what isn't UTF-8 becomes U+FFFD."""
    segment = path.removesuffix("/").rpartition("/")[2]
    return unquote_to_bytes(segment.encode("latin-1")).decode("utf-8", "replace")


def _path_of(target: str) -> str:
    return _END_OF_PATH.split(_SCHEME_AND_HOST.sub("", target), maxsplit=1)[0]


def _keep_encoded_slashes(state: BlueprintSetupState) -> None:
    """Flask routes by PATH_INFO, where %2F is a separator; let it stay %2F there, part of its segment."""
    app = cast(Flask, state.app)
    route = app.wsgi_app

    def wsgi_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = raw_path(environ)
        twice_encoded = _ENCODED_SLASH.sub("%252F", path)
        if twice_encoded != path:
            environ["PATH_INFO"] = unquote_to_bytes(twice_encoded.encode("latin-1")).decode("latin-1")
        return route(environ, start_response)

    # Flask's own way to put a middleware in front of an app.
    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


# Refusals of the whole app.

def install_error_pages(app: Flask) -> None:
    """Makes `app` refuse as the original does: 404 with its page, 405 and 500 with nothing at all."""
    # Flask would answer `//` inside a path with a redirect.
    app.url_map.merge_slashes = False
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(WebsocketMismatch, _not_found)
    app.register_error_handler(MethodNotAllowed, _method_not_allowed)
    app.register_error_handler(BadRequest, _bad_request)
    app.register_error_handler(Exception, _failed)


def _not_found(_error: Exception) -> Response:
    return Response(contract.NOT_FOUND_PAGE, HTTPStatus.NOT_FOUND, content_type=PAGE_TYPE)


def _method_not_allowed(error: Exception) -> Response:
    if request.path == contract.STREAM_PATH:
        # Without a handshake nothing is there, whatever the method.
        return _not_found(error)
    return empty_answer(HTTPStatus.METHOD_NOT_ALLOWED)


def _bad_request(_error: Exception) -> Response:
    return empty_answer(HTTPStatus.BAD_REQUEST)


def _failed(error: Exception) -> HTTPException | Response:
    if isinstance(error, HTTPException):
        return error
    _log.error("%s %s: %r", request.method, request.path, error)
    return empty_answer(HTTPStatus.INTERNAL_SERVER_ERROR)
