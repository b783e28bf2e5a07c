"""Which pages may speak to this server: the handshake's Origin, and CORS for REST.

Source: RFC 6454, sections 6.1 and 7; RFC 6455, sections 4.2.2 and 10.2; SPEC, "REST" (methods, credentials,
max-age). A browser sends an origin in one form only, so it is compared as it stands.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from flask import Flask
from flask_cors import CORS

from livestream import contract
from livestream.web.refusals import PolicyError

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "OPTIONS")
#: How long a browser may keep a preflight's answer, in seconds.
MAX_AGE: Final = 86_400
#: The ports that an origin leaves out.
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")


class Origins:
    """The origins that may speak to this server; without any, every one may. Raises PolicyError."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(normal_origin(origin) for origin in allowed)

    def allows(self, origin: str | None) -> bool:
        """Whether a handshake with this Origin header passes; None is no browser's."""
        return not self._allowed or origin is None or origin in self._allowed

    def add_cors_headers(self, app: Flask) -> None:
        """Lets pages of these origins read REST; without any, no header is ever sent."""
        if not self._allowed:
            return
        # Flask-CORS takes a text with brackets for a pattern, and compares without case.
        patterns = [re.compile(re.escape(origin) + r"\Z") for origin in sorted(self._allowed)]
        CORS(app, resources=rf"{contract.API}/.*", origins=patterns, methods=METHODS,
             supports_credentials=True, max_age=MAX_AGE)


def normal_origin(text: str) -> str:
    """An origin as a browser sends it: lower case, without the scheme's own port. Raises PolicyError."""
    origin = text.strip().lower()
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        raise _no_origin(text) from None
    host = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(host):
        raise _no_origin(text)
    shown = f"[{host}]" if ":" in host else host
    short = f"{parts.scheme}://{shown}"
    whole = short if port is None else f"{short}:{port}"
    if origin != whole:  # a path, a user, a query
        raise _no_origin(text)
    return short if port == _DEFAULT_PORTS[parts.scheme] else whole


def _no_origin(text: str) -> PolicyError:
    return PolicyError(
        f"--allow-origin {text!r} is no origin: it must be http(s)://HOST or http(s)://HOST:PORT")
