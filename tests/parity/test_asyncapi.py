"""The contract's document is AsyncAPI, says what the contract says, and knows every recorded message."""

import ast
import json
import sys
from functools import cache, reduce
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
from jsonschema import Draft7Validator
from referencing import Registry

from livestream import contract
from livestream.parity import asyncapi, schemas
from livestream.parity.asyncapi import MAX_SENTENCE, MessageSchemas, document, document_text
from livestream.parity.cases import corpus_files, load_cases, load_session
from livestream.parity.schemas import CLIENT_MESSAGES, SERVER_MESSAGES

SPECS = Path(sys.prefix) / "asyncapi/node_modules/@asyncapi/specs/schemas"
MESSAGES = [message.name for message in (*SERVER_MESSAGES, *CLIENT_MESSAGES)]
MISSING = object()


@cache
def asyncapi_validator():
    """AsyncAPI's own schema, which has all that it refers to: an empty registry fetches nothing."""
    schema = json.loads((SPECS / f"{asyncapi.ASYNCAPI}-without-$id.json").read_text())
    return Draft7Validator(schema, registry=Registry())


def schema_faults(described):
    for error in asyncapi_validator().iter_errors(described):
        yield f"{error.json_path}: {jsonschema.exceptions.best_match([error]).message}"


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        yield from (ref for inner in value.values() for ref in references(inner))
    elif isinstance(value, list):
        yield from (ref for inner in value for ref in references(inner))


def resolve(described, ref):
    start, *steps = ref.split("/")
    assert start == "#", f"{ref} leads outside the document"
    return reduce(lambda value, step: value[step], steps, described)


def reference_faults(described):
    for ref in references(described):
        try:
            resolve(described, ref)
        except (AttributeError, KeyError, TypeError):
            yield f"{ref} leads nowhere"


def exchanges(described):
    """Operations and their replies, each with a channel and messages."""
    for operation in described["operations"].values():
        yield operation
        yield from [operation["reply"]] if "reply" in operation else []


def operation_faults(described):
    for exchange in exchanges(described):
        prefix = f"{exchange['channel']['$ref']}/messages/"
        for message in exchange["messages"]:
            if not str(message["$ref"]).startswith(prefix):
                yield f"{message['$ref']} is not of the channel"


def faults(described):
    return [*schema_faults(described), *reference_faults(described), *operation_faults(described)]


def spoil(whole, path, value):
    """Puts a value at a path, or takes away what is there."""
    *way, last = path
    place = reduce(lambda inner, key: inner[key], way, whole)
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return whole


def payload_schema(name):
    described = document()
    return resolve(described, described["components"]["messages"][name]["payload"]["$ref"])


def example(name):
    [only] = document()["components"]["messages"][name]["examples"]
    return only["payload"]


def test_the_document_is_asyncapi():
    assert faults(document()) == []


PONG = ("components", "messages", "pong")
TPS = ("components", "schemas", "tps_update", "properties")


@pytest.mark.parametrize("path, value, words", [
    (["asyncapi"], "2.6.0", "$.asyncapi: '3.0.0' was expected"),
    (["info", "version"], MISSING, "$.info: 'version' is a required property"),
    (["servers", "local", "protocol"], MISSING, "$.servers.local: "),
    (["channels", "stream", "bindings", "ws", "method"], "FETCH", "$.channels.stream"),
    (["operations", "send_error", "action"], "shout", "$.operations.send_error: "),
    (["operations", "send_error", "channel"], {"$ref": "#/channels/none"}, "#/channels/none leads nowhere"),
    (["operations", "receive_ping", "reply", "messages", 0, "$ref"], 5, "$.operations.receive_ping: "),
    (["operations", "receive_ping", "reply", "messages", 0, "$ref"], "#/components/messages/pong",
     "#/components/messages/pong is not of the channel"),
    ([*PONG, "payload", "$ref"], "#/components/schemas/gong", "#/components/schemas/gong leads nowhere"),
    ([*PONG, "sumary"], "The answer.", "$.components.messages.pong: "),
    ([*TPS, "timestamp", "type"], "intger", "$.components.schemas.tps_update"),
])
def test_a_broken_document_is_not(path, value, words):
    found = faults(spoil(document(), path, value))
    assert [fault for fault in found if fault.startswith(words)] != []


def test_the_text_is_the_document():
    text = document_text()
    assert json.loads(text) == document()
    assert text.endswith("\n}\n")


def test_every_caller_gets_a_document_of_its_own():
    changed = document()
    changed["components"]["schemas"]["subscribe"]["properties"]["channel"].clear()
    assert document() != changed
    assert document()["components"]["schemas"]["unsubscribe"]["properties"]["channel"] != {}


@pytest.mark.parametrize("name", MESSAGES)
def test_payload_schemas_are_draft_07(name):
    schema = payload_schema(name)
    Draft7Validator.check_schema(schema)
    assert list(references(schema)) == []
    with pytest.raises(jsonschema.SchemaError):
        Draft7Validator.check_schema(schema | {"required": "type"})


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_fit_their_schema(name):
    Draft7Validator(payload_schema(name)).validate(example(name))


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_introduce_themselves(name):
    message = document()["components"]["messages"][name]
    assert message["name"] == name
    assert message["title"][0].isupper()
    assert message["summary"].endswith(".")


def message_names(exchange):
    return [ref.rpartition("/")[2] for ref in references(exchange["messages"])]


def test_every_message_has_an_operation_and_every_request_its_replies():
    operations = document()["operations"]
    named = {key: message_names(row) for key, row in operations.items()}
    replies = {
        named[key][0]: message_names(row["reply"]) for key, row in operations.items() if "reply" in row
    }
    assert replies == {
        contract.PING: [contract.PONG],
        contract.SUBSCRIBE: [contract.SUBSCRIPTION_CONFIRMED, contract.ERROR],
        contract.UNSUBSCRIBE: [contract.UNSUBSCRIPTION_CONFIRMED],
    }
    assert {name for names in (*named.values(), *replies.values()) for name in names} == set(MESSAGES)
    received = [name for key, [name] in named.items() if operations[key]["action"] == "receive"]
    assert received == [message.name for message in CLIENT_MESSAGES]


def recorded_replies():
    for file in ("messages.jsonl", "frames.jsonl"):
        for case in load_cases(file):
            yield from case.observed["replies"]


def session_texts(direction):
    for file in corpus_files():
        if file.startswith("session-"):
            yield from (step.text for step in load_session(file).steps if step.dir == direction and step.text)


def sent_texts():
    yield from session_texts("send")
    yield from (step["text"] for case in load_cases("messages.jsonl") for step in case.send if "text" in step)


def no_json(constant):
    raise ValueError(constant)


def requests():
    """What was sent to the original and is a JSON object with a client's type."""
    for text in sent_texts():
        try:
            message = json.loads(text, parse_constant=no_json)
        except (ValueError, RecursionError):
            continue
        if isinstance(message, dict) and message.get("type") in (row.name for row in CLIENT_MESSAGES):
            yield text


def test_every_recorded_reply_is_known():
    check = MessageSchemas()
    found = {text: check.invalid(text) for text in recorded_replies()}
    assert {text: fault for text, fault in found.items() if fault} == {}
    kinds = {json.loads(text)["type"] for text in found}
    assert kinds == {contract.SUBSCRIPTION_CONFIRMED, contract.PONG, contract.ERROR}


def test_every_message_of_a_recorded_session_is_known():
    check = MessageSchemas()
    found = {text: check.invalid(text) for text in session_texts("recv")}
    assert {text: fault for text, fault in found.items() if fault} == {}
    kinds = {json.loads(text)["type"] for text in found}
    assert kinds >= {contract.CONNECTION_ESTABLISHED, *contract.UPDATE_TYPES}


def test_every_recorded_request_is_known():
    check = MessageSchemas(CLIENT_MESSAGES)
    found = {text: check.invalid(text) for text in requests()}
    assert {text: fault for text, fault in found.items() if fault} == {}
    assert {json.loads(text)["type"] for text in found} == {row.name for row in CLIENT_MESSAGES}


@pytest.mark.parametrize("message", [
    {"type": "ping", "padding": [{}]}, {"type": "subscribe"}, {"type": "unsubscribe", "channel": None},
    *({"type": "subscribe", "channel": channel} for channel in ("", 1.5, False, [], {"deep": {}})),
])
def test_a_client_may_send(message):
    assert MessageSchemas(CLIENT_MESSAGES).invalid(json.dumps(message)) is None


@pytest.mark.parametrize("error", [
    contract.INVALID_MESSAGE_FORMAT, contract.CHANNEL_NOT_SPECIFIED, contract.TOO_MANY_CHANNEL_THREADS,
    contract.NO_THREAD_LEFT, contract.UNKNOWN_CHANNEL, f"{contract.UNKNOWN_CHANNEL}no\nsuch",
])
def test_errors_that_a_server_may_send(error):
    message = spoil(example("error"), ["payload", "error"], error)
    assert MessageSchemas().invalid(json.dumps(message)) is None


@pytest.mark.parametrize("path, low, high", [
    (["tps_update", "payload", "currentTPS"], 776_000, 825_999),
    (["tps_update", "payload", "latency"], 40, 59),
    (["validator_update", "payload", "jailedValidators"], 0, None),
    (["pong", "timestamp"], 10**12, 10**13 - 1),
])
def test_ranges_have_both_ends(path, low, high):
    name, *way = path
    check = MessageSchemas()

    def passes(value):
        return check.invalid(json.dumps(spoil(example(name), way, value))) is None

    assert (passes(low), passes(low - 1)) == (True, False)
    assert high is None or (passes(high), passes(high + 1)) == (True, False)


UUID_1 = "0ba4bfbd-3d5b-139e-b9c0-6665cc2132ab"
UUID_4 = "0ba4bfbd-3d5b-439e-b9c0-6665cc2132ab"


@pytest.mark.parametrize("name, path, value, words", [
    ("pong", ["timestamp"], MISSING, "pong: 'timestamp' is a required property."),
    ("pong", ["payload"], MISSING, "pong: 'payload' is a required property."),
    ("pong", ["payload", "timestamp"], MISSING, "pong, payload: 'timestamp' is a required property."),
    ("tps_update", ["payload", "latency"], MISSING, "tps_update, payload: 'latency' is a required"),
    ("pong", ["id"], 1, "pong: Additional properties are not allowed ('id' was unexpected)."),
    ("block_update", ["payload", "hash"], "", "block_update, payload: Additional properties"),
    ("pong", ["payload"], [], "pong, payload: [] is not of type 'object'."),
    ("pong", ["timestamp"], "1795423078888", "pong, timestamp: '1795423078888' is not of type 'integer'."),
    ("pong", ["timestamp"], 1795423078, "pong, timestamp: 1795423078 is less than the minimum"),
    ("pong", ["payload", "timestamp"], 1795423078888.5, "pong, payload.timestamp: 1795423078888.5 is not"),
    ("connection_established", ["payload", "connectionId"], UUID_1,
     f"connection_established, payload.connectionId: '{UUID_1}' does not match"),
    ("connection_established", ["payload", "connectionId"], f"{UUID_4}\n",
     "connection_established, payload.connectionId: "),
    ("connection_established", ["payload", "connectionId"], UUID_4.upper(),
     "connection_established, payload.connectionId: "),
    ("tps_update", ["payload", "currentTPS"], 826_000,
     "tps_update, payload.currentTPS: 826000 is greater than the maximum of 825999."),
    ("tps_update", ["payload", "peakTPS"], 800_001,
     "tps_update, payload.peakTPS: 800000 was expected, not 800001."),
    ("tps_update", ["payload", "averageTPS"], True, "tps_update, payload.averageTPS: "),
    ("network_update", ["payload", "networkHealth"], "ill",
     "network_update, payload.networkHealth: 'healthy' was expected, not 'ill'."),
    ("validator_update", ["payload", "totalValidators"], -1, "validator_update, payload.totalValidators: -1"),
    ("subscription_confirmed", ["payload", "status"], "ok",
     "subscription_confirmed, payload.status: 'subscribed' was expected, not 'ok'."),
    ("subscription_confirmed", ["payload", "channel"], 5,
     "subscription_confirmed, payload.channel: 5 is not of type 'string'."),
    ("unsubscription_confirmed", ["payload", "status"], "subscribed",
     "unsubscription_confirmed, payload.status: 'unsubscribed' was expected"),
    ("error", ["payload", "error"], "Something else", "error, payload.error: 'Something else' is not valid"),
    ("error", ["payload", "error"], "An Unknown channel: x", "error, payload.error: "),
    ("pong", ["type"], MISSING, "The message has no `type`."),
    ("pong", ["type"], "gong", "The type 'gong' is none of connection_established, tps_update,"),
    ("pong", ["type"], "ping", "The type 'ping' is none of connection_established, tps_update,"),
    ("pong", ["type"], ["pong"], "The type ['pong'] is none of connection_established, tps_update,"),
])
def test_a_spoilt_message_is_caught_at_its_place(name, path, value, words):
    message = spoil(example(name), path, value)
    assert MessageSchemas().invalid(json.dumps(message)).startswith(words)


@pytest.mark.parametrize("text, words", [
    ("", "The message can't be read as JSON: "),
    ("pong", "The message can't be read as JSON: "),
    ('{"type":"pong"} {}', "The message can't be read as JSON: Extra data"),
    ('{"type":NaN}', "The message can't be read as JSON: NaN is no JSON value."),
    ("[]", "The message is not a JSON object."),
    ("null", "The message is not a JSON object."),
    ("[" * 100_000, "The message is nested too deeply to be read."),
    ('{"type":"' + "x" * 100_000 + '"}', "The type 'xxx"),
    ('{"type":"pong","payload":"\\n\\u2028"}', r"pong: 'timestamp' is a required property."),
    ('{"type":"\\n\\u2028\\ud800"}', r"The type '\n\u2028\ud800' is none of"),
])
def test_whatever_a_server_sends_one_sentence_is_the_answer(text, words):
    sentence = MessageSchemas().invalid(text)
    assert sentence.startswith(words)
    assert len(sentence) <= MAX_SENTENCE
    assert sentence.isprintable()


def test_the_order_of_keys_is_not_its_business():
    message = dict(reversed(example("tps_update").items()))
    assert MessageSchemas().invalid(json.dumps(message)) is None


def test_the_document_says_what_the_contract_says():
    described = document()
    assert described["info"]["version"] == version("livestream")
    assert [server["host"] for server in described["servers"].values()] == [f"localhost:{contract.PORT}"]
    [channel] = described["channels"].values()
    assert channel["address"] == contract.STREAM_PATH
    assert set(channel["messages"]) == set(MESSAGES) > contract.UPDATE_TYPES


@pytest.mark.parametrize("channel", contract.CHANNELS, ids=[row.name for row in contract.CHANNELS])
def test_updates_say_their_channel_and_interval(channel):
    summary = document()["components"]["messages"][channel.message_type]["summary"]
    assert f"`{channel.name}`" in summary
    assert f" {channel.interval_ms} ms" in summary
    assert ("without being asked" in summary) == (channel is contract.INITIAL_CHANNEL)


@pytest.mark.parametrize("name, words", [
    (contract.UNSUBSCRIPTION_CONFIRMED, ["only in profile `corrected`"]),
    (contract.ERROR, [
        f"'{contract.UNKNOWN_CHANNEL}C': only in profile `corrected`",
        f"'{contract.TOO_MANY_CHANNEL_THREADS}' and '{contract.NO_THREAD_LEFT}': only from the Python port",
    ]),
])
def test_what_not_every_server_sends_says_so(name, words):
    summary = document()["components"]["messages"][name]["summary"]
    assert [word for word in words if word not in summary] == []


def contract_words():
    """The contract's strings, channels included; `error` is also the name of a key."""
    values = [value for name, value in vars(contract).items() if name.isupper()]
    strings = {value for value in values if isinstance(value, str)}
    strings |= {text for channel in contract.CHANNELS for text in channel if isinstance(text, str)}
    return strings - {contract.ERROR}


@pytest.mark.parametrize("module", [asyncapi, schemas], ids=["asyncapi", "schemas"])
def test_facts_stand_in_the_contract_alone(module):
    source = Path(module.__file__).read_text()
    constants = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    assert constants & contract_words() == set()
    assert [fact for fact in (str(contract.PORT), contract.API) if fact in source] == []
