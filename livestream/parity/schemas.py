"""Every message of the stream: when it is sent, its JSON Schema (draft 07) and an example.

Source: SPEC, "Messages", "Life of a connection" and "As reported". The schemas need nothing else: none
refers to another. They look at values and not at text: key order is not theirs, nor 1000 against 1000.0.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from livestream import contract

#: A JSON Schema, or a message, as it stands in JSON.
Json = dict[str, Any]

#: The profile without the faults (SPEC, "As reported").
CORRECTED: Final = "corrected"
ONLY_CORRECTED: Final = f"only in profile `{CORRECTED}`"
ONLY_PORT: Final = "only from the Python port"
#: The moment of every example, in milliseconds since 1970: 23 November 2026, the day of the corpus.
EXAMPLE_TIME: Final = 1_795_423_078_888


class Message(NamedTuple):
    """One message: `name` is its `type`, `schema` describes its whole text, `example` is one that fits."""

    name: str
    title: str
    summary: str
    schema: Json
    example: Json


class _Field(NamedTuple):
    """One key of a payload: its schema, and a plausible value."""

    schema: Json
    example: Any


_JSON_TYPES: Final[Mapping[type, str]] = {int: "integer", str: "string"}


def _fixed(value: int | str, description: str) -> _Field:
    """A value that never changes."""
    schema = {"type": _JSON_TYPES[type(value)], "const": value, "description": description}
    return _Field(schema, value)


def _integer(description: str, example: int, low: int, high: int | None = None) -> _Field:
    """An integer from `low` to `high`, both included; no upper end without `high`."""
    upper = {} if high is None else {"maximum": high}
    return _Field({"type": "integer", "minimum": low, **upper, "description": description}, example)


def _drawn(description: str, example: int, values: range) -> _Field:
    """An integer that is drawn from a range."""
    return _integer(description, example, values.start, values.stop - 1)


#: Thirteen digits, so that neither seconds nor microseconds pass (2001 to 2286).
_MOMENT: Final = _integer("Milliseconds since 1970.", EXAMPLE_TIME, 10**12, 10**13 - 1)
_CONNECTION_ID: Final = _Field(
    {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        # `$` lets a line feed pass in Python, but not in JavaScript.
        "maxLength": 36,
        "description": "The connection's own UUID, version 4, random.",
    },
    "0ba4bfbd-3d5b-439e-b9c0-6665cc2132ab",
)
_CHANNEL_AS_TEXT: Final = _Field(
    {
        "type": "string",
        "description": "The `channel` that was asked for, as text: any string, since "
                       "the original confirms unknown channels too.",
    },
    contract.BLOCK_UPDATES.name,
)
_FIXED_ERRORS: Final = (
    contract.INVALID_MESSAGE_FORMAT, contract.CHANNEL_NOT_SPECIFIED,
    contract.TOO_MANY_CHANNEL_THREADS, contract.NO_THREAD_LEFT, contract.RATE_LIMIT_EXCEEDED,
)
_ERROR_SENTENCE: Final = _Field(
    {
        "type": "string",
        "anyOf": [
            {"enum": list(_FIXED_ERRORS)},
            {"pattern": f"^{contract.UNKNOWN_CHANNEL}"},
            {"pattern": f"^{contract.CHANNEL_NOT_ALLOWED}"},
        ],
        "description": "What was wrong, as one of a few fixed sentences.",
    },
    contract.CHANNEL_NOT_SPECIFIED,
)


def _server_message(name: str, title: str, summary: str, payload: Mapping[str, _Field]) -> Message:
    """A message in the server's envelope: `type`, `payload`, `timestamp`, and no other key anywhere."""
    inner = _closed_object({key: field.schema for key, field in payload.items()})
    schema = _closed_object({
        "type": {"type": "string", "const": name}, "payload": inner, "timestamp": _MOMENT.schema,
    })
    values = {key: field.example for key, field in payload.items()}
    return Message(name, title, summary, schema, {
        "type": name, "payload": values, "timestamp": _MOMENT.example,
    })


def _closed_object(properties: Json) -> Json:
    return {
        "type": "object", "required": list(properties), "properties": properties,
        "additionalProperties": False,
    }


def _update(
    channel: contract.ChannelContract, title: str, what: str, payload: Mapping[str, _Field],
) -> Message:
    """A channel's message."""
    unasked = channel is contract.INITIAL_CHANNEL
    start = "with every connection, without being asked" if unasked else f"on `{contract.SUBSCRIBE}`"
    summary = (
        f"{what} Channel `{channel.name}`, which starts {start}: sent at once, then every "
        f"{channel.interval_ms} ms (a pause after each send; a fixed rate {ONLY_CORRECTED})."
    )
    return _server_message(channel.message_type, title, summary, payload)


def _client_message(name: str, title: str, summary: str, others: Json, values: Json) -> Message:
    """A client's message; keys that the server doesn't know are legal and ignored."""
    schema = {
        "type": "object", "required": ["type"], "additionalProperties": True,
        "properties": {"type": {"type": "string", "const": name}, **others},
    }
    return Message(name, title, summary, schema, {"type": name, **values})


_UPDATES: Final = (
    _update(contract.TPS_UPDATES, "TPS update", "Transactions per second, simulated.", {
        "currentTPS": _drawn("Transactions per second now.", 805_293, contract.CURRENT_TPS),
        "peakTPS": _fixed(contract.PEAK_TPS, "Transactions per second at the peak."),
        "averageTPS": _fixed(contract.AVERAGE_TPS, "Transactions per second on average."),
        "latency": _drawn("Milliseconds.", 48, contract.LATENCY_MS),
    }),
    _update(contract.BLOCK_UPDATES, "Block update", "The newest block, always the same one.", {
        "blockHeight": _fixed(contract.BLOCK["blockHeight"], "The block's number."),
        "blockTime": _fixed(contract.BLOCK["blockTime"], "Milliseconds."),
        "transactions": _fixed(contract.BLOCK["transactions"], "Transactions in the block."),
        "producer": _fixed(contract.BLOCK["producer"], "Who made the block."),
    }),
    _update(contract.NETWORK_STATUS, "Network update", "The state of the network, always the same one.", {
        "activeNodes": _fixed(contract.NETWORK["activeNodes"], "Nodes that take part."),
        "totalNodes": _fixed(contract.NETWORK["totalNodes"], "All nodes."),
        "networkHealth": _fixed(contract.NETWORK["networkHealth"], "One word."),
        "avgLatency": _fixed(contract.NETWORK["avgLatency"], "Milliseconds."),
    }),
    _update(contract.VALIDATOR_METRICS, "Validator update", "The validators by status, simulated.", {
        "totalValidators": _integer("All validators.", 20, 0),
        "activeValidators": _integer("Validators that are ACTIVE.", 15, 0),
        "inactiveValidators": _integer("Validators that are INACTIVE.", 3, 0),
        "jailedValidators": _integer("Validators that are JAILED.", 2, 0),
    }),
)

#: What the server sends (SPEC, "Messages" and "As reported").
SERVER_MESSAGES: Final[tuple[Message, ...]] = (
    _server_message(
        contract.CONNECTION_ESTABLISHED, "Connection established", "The first message of every connection.",
        {"connectionId": _CONNECTION_ID, "timestamp": _MOMENT},
    ),
    *_UPDATES,
    _server_message(
        contract.SUBSCRIPTION_CONFIRMED, "Subscription confirmed",
        f"The answer to `{contract.SUBSCRIBE}`, before the first update that it starts. An unknown channel "
        f"is confirmed too and starts nothing, except in profile `{CORRECTED}`.",
        {"channel": _CHANNEL_AS_TEXT,
         "status": _fixed(contract.STATUS_SUBSCRIBED, "What happened.")},
    ),
    _server_message(
        contract.UNSUBSCRIPTION_CONFIRMED, "Unsubscription confirmed",
        f"The answer to `{contract.UNSUBSCRIBE}`, {ONLY_CORRECTED}: the channel sends no more.",
        {"channel": _CHANNEL_AS_TEXT,
         "status": _fixed(contract.STATUS_UNSUBSCRIBED, "What happened.")},
    ),
    _server_message(
        contract.PONG, "Pong", f"The answer to `{contract.PING}`.", {"timestamp": _MOMENT},
    ),
    _server_message(
        contract.ERROR, "Error",
        f"A message could not be followed; the connection goes on. '{contract.INVALID_MESSAGE_FORMAT}': text "
        f"that is not JSON. '{contract.CHANNEL_NOT_SPECIFIED}': `{contract.SUBSCRIBE}` without a channel. "
        f"'{contract.UNKNOWN_CHANNEL}C': {ONLY_CORRECTED}. '{contract.TOO_MANY_CHANNEL_THREADS}' and "
        f"'{contract.NO_THREAD_LEFT}': {ONLY_PORT}. '{contract.CHANNEL_NOT_ALLOWED}C' and "
        f"'{contract.RATE_LIMIT_EXCEEDED}': {ONLY_PORT}, where its options ask for it.",
        {"error": _ERROR_SENTENCE},
    ),
)

_ANY_CHANNEL: Final[Json] = {
    "channel": {
        "description": "Any JSON value. The server turns it into text; arrays and objects become empty.",
        "examples": [channel.name for channel in contract.CHANNELS],
    },
}

#: What a client may send to some effect (SPEC, "Life of a connection", 2 to 4).
CLIENT_MESSAGES: Final[tuple[Message, ...]] = (
    _client_message(
        contract.PING, "Ping", f"Answered by `{contract.PONG}`; a message, not a Ping frame.", {}, {},
    ),
    _client_message(
        contract.SUBSCRIBE, "Subscribe",
        f"Starts one more thread for the channel, also when it has one, except in profile `{CORRECTED}`. "
        f"Without `channel` it is answered by `{contract.ERROR}`.",
        _ANY_CHANNEL, {"channel": contract.BLOCK_UPDATES.name},
    ),
    _client_message(
        contract.UNSUBSCRIBE, "Unsubscribe",
        f"Stops the channel and is answered by `{contract.UNSUBSCRIPTION_CONFIRMED}`, {ONLY_CORRECTED}; "
        "else nothing is sent and nothing stops.",
        _ANY_CHANNEL, {"channel": contract.BLOCK_UPDATES.name},
    ),
)
