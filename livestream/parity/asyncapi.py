"""The contract as an AsyncAPI 3.0.0 document, and a check of single messages against it.

The application that the document describes is the server: it receives what clients send. What the messages
look like stands in `schemas`, every other fact in `contract`. https://www.asyncapi.com/docs/reference
"""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import metadata
from typing import Any, Final, NamedTuple, NoReturn

from jsonschema import Draft7Validator, ValidationError
from jsonschema.exceptions import best_match

from livestream import contract
from livestream.parity.schemas import (
    CLIENT_MESSAGES, ONLY_CORRECTED, ONLY_PORT, SERVER_MESSAGES, Json, Message,
)

ASYNCAPI: Final = "3.0.0"
#: Every message is JSON text.
CONTENT_TYPE: Final = "application/json"
#: The names of the one server and the one channel inside the document.
SERVER: Final = "local"
CHANNEL: Final = "stream"
#: Whether the server sends or receives a message.
SEND: Final = "send"
RECEIVE: Final = "receive"
#: No sentence about a message is longer, in characters; a hostile server can send long ones.
MAX_SENTENCE: Final = 300

_DESCRIPTION: Final = f"""\
One WebSocket for live figures of a blockchain. Each connection gets a welcome and the updates of channel \
`{contract.INITIAL_CHANNEL.name}`; a client subscribes to the others. These channels are the service's own, \
not AsyncAPI's: they all share the one WebSocket.

A server runs in one of three profiles. `original` is the Java service as written, `shipped` the same with \
its own configuration, which never sends a message, and `corrected` what its report promised. What is sent \
{ONLY_CORRECTED} or {ONLY_PORT} says so in its summary.

A message of any other type, JSON that is no object, and a binary message are met with silence. There is no \
login, no subprotocol and no compression.
"""
_CHANNEL_DESCRIPTION: Final = (
    "Compact JSON text in both directions; the server's keys always come in the order of the schemas. One "
    f"frame carries at most {contract.MAX_FRAME_BYTES} bytes, more closes the connection with code "
    f"{contract.CLOSE_MESSAGE_TOO_BIG}. At most {contract.MAX_CONNECTIONS} connections."
)


class _Operation(NamedTuple):
    """What the server does with one message, and the messages that answer it."""

    action: str
    message: str
    summary: str
    replies: tuple[str, ...] = ()


_OPERATIONS: Final = (
    _Operation(SEND, contract.CONNECTION_ESTABLISHED, "Welcome a client."),
    *(_Operation(SEND, channel.message_type, f"Broadcast `{channel.name}` every {channel.interval_ms} ms.")
      for channel in contract.CHANNELS),
    _Operation(SEND, contract.ERROR, f"Refuse text that is not JSON. No thread left: {ONLY_PORT}."),
    _Operation(RECEIVE, contract.PING, "Show that the connection is alive.", (contract.PONG,)),
    _Operation(RECEIVE, contract.SUBSCRIBE, "Start a channel; an error refuses it.",
               (contract.SUBSCRIPTION_CONFIRMED, contract.ERROR)),
    _Operation(RECEIVE, contract.UNSUBSCRIBE, f"Stop a channel; done and answered {ONLY_CORRECTED}.",
               (contract.UNSUBSCRIPTION_CONFIRMED,)),
)


def document() -> dict[str, Any]:
    """The whole document, made anew: the caller may change it. Source: AsyncAPI 3.0.0.

    PackageNotFoundError when livestream is not installed, since its version is the document's.
    """
    whole: dict[str, Any] = json.loads(document_text())
    return whole


def document_text() -> str:
    """The document as JSON, indented by two, one line feed at its end. JSON is a legal form of AsyncAPI.

    PackageNotFoundError as in `document`.
    """
    messages = (*SERVER_MESSAGES, *CLIENT_MESSAGES)
    whole = {
        "asyncapi": ASYNCAPI,
        "info": _info(),
        "defaultContentType": CONTENT_TYPE,
        "servers": {SERVER: _server()},
        "channels": {CHANNEL: _channel(messages)},
        "operations": {f"{row.action}_{row.message}": _operation(row) for row in _OPERATIONS},
        "components": {
            "messages": {message.name: _message(message) for message in messages},
            "schemas": {message.name: message.schema for message in messages},
        },
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


class MessageSchemas:
    """Checks messages against the document's schemas; compiled once, may be shared by threads."""

    def __init__(self, messages: Iterable[Message] = SERVER_MESSAGES) -> None:
        self._validators: Mapping[str, Draft7Validator] = {
            message.name: Draft7Validator(message.schema) for message in messages
        }

    def invalid(self, text: str) -> str | None:
        """One sentence that says why the text is none of the messages, and where; None when it is one.

        At most MAX_SENTENCE characters and without line breaks, whatever the text. Never raises.
        """
        try:
            fault = self._fault(text)
        except RecursionError:
            fault = "The message is nested too deeply to be read"
        return fault and _sentence(fault)

    def _fault(self, text: str) -> str | None:
        try:
            message = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as error:
            return f"The message can't be read as JSON: {error}"
        if not isinstance(message, dict):
            return "The message is not a JSON object"
        if "type" not in message:
            return "The message has no `type`"
        kind = message["type"]
        if not isinstance(kind, str) or kind not in self._validators:
            return f"The type {kind!r} is none of {', '.join(self._validators)}"
        worst = best_match(self._validators[kind].iter_errors(message))
        return worst and f"{kind}{_place(worst)}: {_complaint(worst)}"


def _refuse_constant(name: str) -> NoReturn:
    """Python's reader takes NaN and Infinity, JSON has neither."""
    raise ValueError(f"{name} is no JSON value")


def _place(error: ValidationError) -> str:
    """Where in the message: `, payload.latency`, or nothing for the message as a whole."""
    path = ".".join(str(key) for key in error.absolute_path)
    return path and f", {path}"


def _complaint(error: ValidationError) -> str:
    """jsonschema's words, which leave out what was found in place of a fixed value."""
    found = f", not {error.instance!r}" if error.validator == "const" else ""
    return f"{error.message}{found}"


def _sentence(words: str) -> str:
    return f"{words}." if len(words) < MAX_SENTENCE else f"{words[:MAX_SENTENCE - 1]}…"


def _info() -> Json:
    package = metadata("livestream")
    return {
        "title": "Live stream",
        "version": package["Version"],
        "description": _DESCRIPTION,
        "license": {"name": package["License"]},
    }


def _server() -> Json:
    return {
        "host": f"localhost:{contract.PORT}",
        "protocol": "ws",
        "title": "The service on this machine",
        "description": "Every client is welcome; behind TLS the protocol is wss.",
    }


def _channel(messages: Iterable[Message]) -> Json:
    """The one WebSocket with the messages of both directions."""
    return {
        "address": contract.STREAM_PATH,
        "title": "Live stream",
        "description": _CHANNEL_DESCRIPTION,
        "servers": [_ref("servers", SERVER)],
        "messages": {message.name: _ref("components", "messages", message.name) for message in messages},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(row: _Operation) -> Json:
    reply = {"reply": _exchange(row.replies)} if row.replies else {}
    return {"action": row.action, "summary": row.summary, **_exchange((row.message,)), **reply}


def _exchange(names: Iterable[str]) -> Json:
    """The channel and those of its messages that are meant."""
    return {
        "channel": _ref("channels", CHANNEL),
        "messages": [_ref("channels", CHANNEL, "messages", name) for name in names],
    }


def _message(message: Message) -> Json:
    return {
        "name": message.name,
        "title": message.title,
        "summary": message.summary,
        "contentType": CONTENT_TYPE,
        "payload": _ref("components", "schemas", message.name),
        "examples": [{"name": message.name, "payload": message.example}],
    }


def _ref(*steps: str) -> Json:
    """A reference inside the document; no step needs escaping."""
    return {"$ref": "/".join(("#", *steps))}
