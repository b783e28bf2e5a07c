"""Who is let in: asks origins, rates and tokens in turn, before a handshake is answered or a resource served.

Without options the door stands open, as the original's (SPEC, "Service").
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from flask import Flask, Response, g, request

from livestream.contract import BEARER_SUBPROTOCOL
from livestream.web.addresses import ClientAddresses, group
from livestream.web.authentication import OPEN_PREFIXES, Authority, Permit, bearer_token
from livestream.web.origins import Origins
from livestream.web.page import PUBLIC_ENDPOINTS
from livestream.web.rates import Excess, MessageRate, Rate, parse_rate
from livestream.web.refusals import PolicyError, refusal

log = logging.getLogger(__name__)

CONNECTIONS_OPTION: Final = "--limit-connections"
MESSAGES_OPTION: Final = "--limit-messages"


class Guest(NamedTuple):
    """What a client that was let in may do."""

    #: Whether it may have this channel.
    may_subscribe: Callable[[str], bool]
    #: Asked at each of its messages; None when the message is within the rate.
    excess: Callable[[], Excess | None]


class Door:
    """The policies of one server. Raises PolicyError for a rate that is none."""

    def __init__(
        self,
        origins: Origins,
        authority: Authority | None,
        connections: str,
        messages: str,
        addresses: ClientAddresses,
    ) -> None:
        """`connections` (per client address) and `messages` (per connection) are rates; empty: no limit."""
        self._origins = origins
        self._authority = authority
        self._connections = Rate(CONNECTIONS_OPTION, connections)
        self._messages = messages
        self._addresses = addresses
        if messages:
            parse_rate(MESSAGES_OPTION, messages)

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What a handshake may agree on: none, unless it may carry a token."""
        return (BEARER_SUBPROTOCOL,) if self._authority else ()

    @property
    def reloads(self) -> bool:
        """Whether there is a file to read again."""
        return self._authority is not None

    def reload(self) -> None:
        """Reads the tokens or the key again; when that can't be, the log says why and the old ones stay good.

        Connections that are open stay so.
        """
        if self._authority is None:
            return
        try:
            self._authority.reload()
        except PolicyError as error:
            log.error("not reloaded: %s", error)
        else:
            log.info("reloaded the tokens")

    def guard(self, app: Flask) -> None:
        """Puts the door before every resource of `app`; `refuse_opening` is the stream's own."""
        app.before_request(self._refuse_request)
        self._origins.add_cors_headers(app)

    def refuse_opening(self) -> Response | None:
        """Why this handshake is refused: 403 (origin), 429 (too often) or 401 (token); None lets it in."""
        origin = request.headers.get("Origin")
        if not self._origins.allows(origin):
            log.info("%r: refused: a foreign origin", request.path)
            return refusal(HTTPStatus.FORBIDDEN, "This origin is not allowed.")
        client = group(self._addresses.client(
            request.environ.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")))
        if not self._connections.hit(client):
            log.info("%r: refused: too many from %s (%s)", request.path, client, CONNECTIONS_OPTION)
            return refusal(HTTPStatus.TOO_MANY_REQUESTS, "Too many connections.",
                           {"Retry-After": str(self._connections.retry_after(client))})
        return self._refuse_stranger(from_subprotocol=True)

    def guest(self) -> Guest:
        """What the client of this request may do, once `refuse_opening` has let it in."""
        permit: Permit = g.get("permit", _EVERYTHING)
        return Guest(permit.may_subscribe, MessageRate(MESSAGES_OPTION, self._messages).excess
                     if self._messages else _never)

    def _refuse_request(self) -> Response | None:
        is_stream = request.url_rule is not None and request.url_rule.websocket
        is_open = request.path.startswith(OPEN_PREFIXES) or request.endpoint in PUBLIC_ENDPOINTS
        if is_stream or is_open or _is_preflight():
            return None
        return self._refuse_stranger(from_subprotocol=False)

    def _refuse_stranger(self, from_subprotocol: bool) -> Response | None:
        if self._authority is None:
            return None
        token = bearer_token(request.headers.get, from_subprotocol)
        permit = None if token is None else self._authority.permit(token)
        if permit is None:
            log.info("%r: refused: %s", request.path, "no token" if token is None else "no good token")
            return refusal(HTTPStatus.UNAUTHORIZED, "A valid bearer token is needed.",
                           {"WWW-Authenticate": "Bearer"})
        g.permit = permit
        return None


_EVERYTHING: Final = Permit()


def _never() -> None:
    return None


def _is_preflight() -> bool:
    """A browser asks so before it may send a token (Fetch, "CORS-preflight request"): headers only."""
    headers = request.headers
    return request.method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers
