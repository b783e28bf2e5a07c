"""The live page at /lab/: its files, the thread list and the profiles. The original has no such page."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirect

from livestream import contract
from livestream.web.rest import ALLOWED, JsonWriter, empty_answer, json_answer, json_resource, json_route

STATIC: Final = Path(__file__).with_name("static")
INDEX: Final = "index.html"
CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
#: Nothing from elsewhere: no script, style, font or frame. What the page may speak to is added to it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
)
#: Host and port; the policy has no way to name an IPv6 address.
_HOST: Final = r"[a-z0-9][a-z0-9.-]{0,252}(?::[0-9]{1,5})?"
OWN_HOST: Final = re.compile(_HOST)
#: The server that `?url=` names.
OTHER_SERVER: Final = re.compile(rf"(wss?)://({_HOST})(?:[/?#].*)?", re.DOTALL)
_ROUTE_OPTIONS: Final[dict[str, Any]] = {"methods": ("GET", "HEAD", "OPTIONS")}
_SHORT_ID: Final = re.compile("[0-9a-f]{8}")
#: What the page is made of is no secret; what it shows is. For whoever decides who may ask for what.
PUBLIC_ENDPOINTS: Final = frozenset(("lab.static_file", "lab.without_the_slash"))
#: More than are listed need not be asked for.
MAX_WANTED: Final = 64

Snapshot = Callable[[Collection[str]], Mapping[str, object]]


class StaticFile(NamedTuple):
    """A file as it is served."""

    body: bytes
    content_type: str
    tag: str


def lab_page(snapshot: Snapshot, profiles: Mapping[str, object], to_json: JsonWriter) -> Blueprint:
    """The page, its files, and its two JSON resources.

    `snapshot` makes the thread list (`threads.ThreadList.snapshot`);
    `profiles` says what the faults are, and which profile has which.
    """
    page = Blueprint("lab", __name__)
    page.register_blueprint(_data(snapshot, profiles, to_json))

    @page.before_request
    def answer_options() -> Response | None:
        """As the other resources answer it."""
        if request.method != "OPTIONS" or request.endpoint != "lab.static_file":
            return None
        answer = empty_answer(HTTPStatus.OK)
        answer.headers["Allow"] = ALLOWED
        return answer

    def static_file(file: StaticFile) -> Response:
        """One file, revalidated by its tag."""
        return _answer(file, content_security_policy(request.host, request.args.get("url", "")))

    # A route for each, so that no path leads anywhere else.
    for name, file in static_files(STATIC).items():
        path = contract.LAB_PATH + ("" if name == INDEX else name)
        page.add_url_rule(path, "static_file", static_file, defaults={"file": file}, **_ROUTE_OPTIONS)

    @page.route(contract.LAB_PATH.rstrip("/"), methods=("GET", "HEAD"), provide_automatic_options=False)
    def without_the_slash() -> Redirect:
        """For whoever types it."""
        return redirect(contract.LAB_PATH, HTTPStatus.PERMANENT_REDIRECT)

    return page


def static_files(root: Path) -> dict[str, StaticFile]:
    """Every file below `root` whose type is known, by its relative path."""
    files = {}
    for path in sorted(root.rglob("*")):
        if path.suffix in CONTENT_TYPES:
            body = path.read_bytes()
            tag = hashlib.sha256(body).hexdigest()[:16]
            files[path.relative_to(root).as_posix()] = StaticFile(body, CONTENT_TYPES[path.suffix], tag)
    return files


def content_security_policy(host: str, url: str) -> str:
    """The page may speak to its own server, `host`, and to the one that the query's `url` names."""
    policy = POLICY
    if OWN_HOST.fullmatch(host.lower()):
        # Not every browser takes the WebSocket of the same host for 'self'.
        policy += f" ws://{host} wss://{host}"
    other = OTHER_SERVER.fullmatch(url.strip().lower())
    if other is not None:
        scheme, other_host = other.groups()
        policy += f" {scheme}://{other_host} {scheme.replace('ws', 'http')}://{other_host}"
    return policy


def _data(snapshot: Snapshot, profiles: Mapping[str, object], to_json: JsonWriter) -> Blueprint:
    data = json_resource("lab_data")

    @json_route(data, contract.LAB_THREADS_PATH)
    def get_threads() -> Response:
        """`threads.ThreadList.snapshot`; `?first=3f2a9c1e,…` names connections that must be listed."""
        wanted = request.args.get("first", "").split(",")[:MAX_WANTED]
        return _fresh(to_json(snapshot({one for one in wanted if _SHORT_ID.fullmatch(one)})))

    @json_route(data, contract.LAB_PROFILES_PATH)
    def get_profiles() -> Response:
        """`running`, `profiles` (name, faults) and `faults` (name, does, promised, shown_by)."""
        return _fresh(to_json(profiles))

    return data


def _fresh(text: str) -> Response:
    answer = json_answer(text)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _answer(file: StaticFile, policy: str) -> Response:
    answer = Response(file.body, content_type=file.content_type)
    answer.set_etag(file.tag)
    answer.headers["Cache-Control"] = "no-cache"
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.make_conditional(request)
    return answer
