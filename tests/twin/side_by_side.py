"""The Java twin and the port on one page, method by method. Run by `make java-twin-page`."""

import re
import sys
from collections.abc import Iterator
from functools import cache
from os.path import relpath
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import JavaLexer, PythonLexer

from tests.twin.sources import JAVA, ROOT, Excerpt, Member, PairError, excerpts, java_members, python_members

PAGE = ROOT / "examples" / "java_twin" / "side_by_side.html"
#: Python's files, by what the table calls them.
MODULES = {
    "endpoint": "livestream/stream/endpoint.py",
    "broadcast": "livestream/stream/broadcast.py",
    "channels": "livestream/stream/channels.py",
    "messages": "livestream/stream/messages.py",
    "registry": "livestream/stream/registry.py",
    "contract": "livestream/contract.py",
    "validators": "livestream/services/validators.py",
    "blockchain": "livestream/services/blockchain.py",
    "rest": "livestream/web/rest.py",
    "monitor": "livestream/web/monitor.py",
}
#: What a Python name in the table begins with when it begins with a dot.
TWINS = {
    "LiveStreamWebSocket": "endpoint.LiveStreamWebSocket",
    "LiveValidatorsService": "validators.LiveValidatorsService",
}
#: Pygments marks every token; those that the page gives no colour are half of its length.
UNCOLOURED = re.compile(r'<span class="(?:bp|n|na|nb|ne|nn|o|p|vm|w)">([^<]*)</span>')
LEXERS: dict[str, Lexer] = {".java": JavaLexer(), ".py": PythonLexer()}


class Pair(NamedTuple):
    """What belongs together: the names of Java's members and of Python's, each list in one string."""

    title: str
    java: str
    python: str
    note: str = ""


#: By Java class, in the order of its file. A Python name that begins with a dot is of the class that
#: TWINS names; one that ends with a colon stops before the first inner definition.
PAIRS = {
    "LiveStreamWebSocket": (
        Pair("The class, and what it is given", "LiveStreamWebSocket LOG validators",
             "endpoint.log endpoint.LiveStreamWebSocket: .__init__",
             "The container finds the class by its annotation and injects the service. In Python, "
             "`livestream/app` makes the object and hands it everything. The profile's flags say which of "
             "the original's faults are on; the twin has no such flags."),
        Pair("Every connection, and how many are active", "connections activeConnections",
             "registry.Registry",
             "`ConcurrentHashMap` and `AtomicInteger` guard themselves; in Python one lock guards a dict "
             "and an int."),
        Pair("A connection opens", "onOpen",
             ".on_open ._new_connection_id ._welcome endpoint._IoThreadSession",
             "On an I/O thread the container refuses to send. The port has no such threads: a session "
             "that refuses stands in for them."),
        Pair("A message arrives", "onMessage", ".on_message ._dispatch ._guarded",
             "Java's `switch` is a dict of handlers in Python, made in `__init__`. Java's last `catch` is "
             "`_guarded`."),
        Pair("A connection closes", "onClose", ".on_close",
             "The registry entry and the sleeping threads, which the original leaves behind, are two flags "
             "in Python. Only the port lets go of the session."),
        Pair("A connection is lost", "onError", ".on_error",
             "The port always calls `on_error` before `on_close`; the container may drop the call."),
        Pair("Subscribe", "handleSubscribe",
             ".handle_subscribe ._starts_a_thread ._has_all_threads ._refuse_thread",
             "The upper limit of threads for one connection is the port's own."),
        Pair("Unsubscribe", "handleUnsubscribe", ".handle_unsubscribe",
             "Java does nothing, like the original. The profile `corrected` keeps the promise."),
        Pair("Ping", "handlePing", ".handle_ping"),
        Pair("A channel's thread starts", "startBroadcasting",
             ".start_broadcasting channels.live_channels broadcast.ThreadBroadcaster.start "
             "broadcast.ThreadBroadcaster._register broadcast.start_thread",
             "Java's `switch` is a dict of channels in Python. Both threads are daemons. The port also "
             "remembers each thread, so that it can be stopped, and tells the client when the system "
             "refuses one."),
        Pair("An error message", "sendErrorMessage", ".send_error_message",
             "Python needs no `try` here: `_guarded` is around the whole step."),
        Pair("The statistics", "getConnectionStats", ".get_connection_stats"),
        Pair("Channel tps_updates", "broadcastTPSUpdates",
             "contract.TPS_UPDATES contract.CURRENT_TPS contract.LATENCY_MS contract.PEAK_TPS "
             "contract.AVERAGE_TPS channels.SimulatedSource.tps_update",
             "Java has one method for each channel. In Python a channel is a row of a table, with a source "
             "of payloads."),
        Pair("Channel block_updates", "broadcastBlockUpdates",
             "contract.BLOCK_UPDATES contract.BLOCK channels.SimulatedSource.block_update"),
        Pair("Channel network_status", "broadcastNetworkStatus",
             "contract.NETWORK_STATUS contract.NETWORK channels.SimulatedSource.network_update"),
        Pair("Channel validator_metrics", "broadcastValidatorMetrics",
             "contract.VALIDATOR_METRICS channels.SimulatedSource.validator_update"),
        Pair("A channel thread's whole life", "broadcast",
             "broadcast.ThreadBroadcaster._run broadcast.Broadcast.run broadcast.Subscription.send_update "
             "broadcast.Subscription.delay",
             "Nothing wakes Java's sleep. Python's can be woken; whether an unsubscribe or a close does it "
             "is the profile's choice, and so is a fixed rate."),
        Pair("Sending", "send", "._send messages.envelope", "Both block until the message is written."),
        Pair("A random figure", "random", "channels.SimulatedSource._drawn",
             "Java has one generator for each thread. Python's threads share one that is handed in, so that "
             "a test can seed it."),
        Pair("The time", "now", "messages.SystemClock",
             "A class in Python, so that a test can put its own in its place."),
        Pair("An entry of the registry", "WebSocketConnection", "registry.Connection",
             "A record can't change; this dataclass can, for it also holds the session and lets go of it "
             "at the end."),
        Pair("The envelope of every message", "WebSocketMessage", "messages.envelope",
             "Jackson turns the record into JSON. Python puts the text together by hand, because that is "
             "faster."),
    ),
    "LiveValidatorsService": (
        Pair("The class, and what it keeps", "LiveValidatorsService random validators clock blockHeight",
             "validators.FIRST_BLOCK_HEIGHT validators.LiveValidatorsService: .__init__",
             "Java's `synchronized` locks the object itself; in Python the lock is a field. Java's may be "
             "taken twice by one thread and Python's may not, so only public methods take it."),
        Pair("Twenty names and the whole stake", "NAMES WHOLE_STAKE",
             "validators.NAMES validators.WHOLE_STAKE"),
        Pair("It starts", "start", "validators.UPDATE_PERIOD_S ._ensure_started ._start_thread ._run",
             "Quarkus makes the object at its first use; in Python every use asks whether it is the first. "
             "Java's executor keeps a fixed rate, Python's thread a fixed delay."),
        Pair("It stops", "stop", ".close"),
        Pair("All validators", "getLiveValidatorStatus", ".get_live_validator_status"),
        Pair("One validator", "getValidatorById", ".get_validator_by_id",
             "Where Java has an `Optional`, Python has `None`."),
        Pair("Health", "health", ".health"),
        Pair("Totals", "totals", ".totals"),
        Pair("Every five seconds", "update", ".update ._step"),
        Pair("How many of a status", "count", "._count",
             "Java counts once for each status, Python all of them in one go."),
        Pair("Rounding", "round", "validators.round_half_up"),
        Pair("One validator's data",
             "Validator Validator.id Validator.publicKey Validator.name Validator.status "
             "Validator.registeredAt Validator.uptime Validator.blocksProduced Validator.missedBlocks "
             "Validator.stake Validator.lastBlockMs",
             "validators.Validator:",
             "Java's is an inner class and reaches the service's `random`. In Python it is plain data, and "
             "the service makes and moves it."),
        Pair("A validator is made", "Validator.Validator", "validators.STATUSES ._create_validator"),
        Pair("A validator moves", "Validator.move",
             "validators.BLOCK_PROBABILITY validators.MISS_PROBABILITY validators.STAKE_CHANGE_PROBABILITY "
             "._move ._happens"),
        Pair("Voting power", "Validator.votingPower", "validators.Validator.voting_power"),
        Pair("Performance", "Validator.performance", "validators.Validator.performance"),
        Pair("A validator as JSON", "Validator.toJson",
             "validators.Validator.to_payload validators.iso_instant",
             "`Instant` prints its own ISO 8601; Python's `datetime` has no nanoseconds."),
    ),
    "LiveDataResource": (
        Pair("The resource", "LiveDataResource validators",
             "rest.live_data_resource: rest.json_resource rest.json_route rest.json_answer",
             "What annotations say in Java, Flask's blueprint and its decorators say in Python."),
        Pair("GET live/validators", "getLiveValidatorStatus",
             "rest.live_data_resource.get_live_validator_status"),
        Pair("GET live/validators/health", "getValidatorsHealth",
             "rest.live_data_resource.get_validators_health"),
        Pair("GET live/validators/{id}", "getValidatorById",
             "rest.live_data_resource.get_validator_by_id rest.last_segment",
             "Java's container decodes the id; Python takes it from the path as it was sent."),
        Pair("GET websocket/stats", "getConnectionStats", "monitor.monitor",
             "The port adds the true number."),
        Pair("The body of a 404", "notFound", "rest.validator_not_found"),
    ),
    "BlockchainResource": (
        Pair("The resource", "BlockchainResource LAST_INCIDENT_AGE_MS",
             "blockchain.LAST_INCIDENT_AGE_MS blockchain.BlockchainStatsService: "
             "blockchain.BlockchainStatsService.__init__"),
        Pair("The snapshot, and GET blockchain/stats", "SNAPSHOT getBlockchainStats",
             "rest.live_data_resource.get_blockchain_stats "
             "blockchain.BlockchainStatsService.get_blockchain_stats",
             "Java keeps the snapshot as JSON text and changes three values; Python makes a new dict each "
             "time."),
    ),
}
#: What only Java needs, and why.
JAVA_ONLY = {
    "LiveStreamWebSocket.JSON": "Jackson's reader and writer; the port has livestream/stream/jackson.py.",
    "LiveStreamWebSocket.object": "An empty JSON object; in Python that is a dict.",
    "LiveValidatorsService.object": "An empty JSON object; in Python that is a dict.",
    "BlockchainResource.JSON": "Jackson's reader; Python has the snapshot as a dict.",
}


class Shown(NamedTuple):
    """A pair as the page shows it."""

    pair: Pair
    anchor: str
    java: list[Excerpt]
    python: list[Excerpt]


class Line(NamedTuple):
    """One line of code in colours; the page folds a long one a little deeper than its indent."""

    indent: int
    html: Markup


@cache
def known(path: Path) -> dict[str, Member]:
    return java_members(path) if path.suffix == ".java" else python_members(path)


def shown(java_class: str, pair: Pair) -> Shown:
    names = [java_name(java_class, name) for name in pair.java.split()]
    path = JAVA / f"{java_class}.java"
    java = [member(path, name) for name in names]
    python = [python_member(java_class, name) for name in pair.python.split()]
    return Shown(pair, names[0], excerpts(java), excerpts(python))


def java_name(java_class: str, name: str) -> str:
    return name if name == java_class else f"{java_class}.{name}"


def python_member(java_class: str, name: str) -> Member:
    whole = TWINS.get(java_class, "") + name if name.startswith(".") else name
    module, _, qualified = whole.partition(".")
    if module not in MODULES:
        raise PairError(f"{java_class}, {name}: MODULES has no {module!r}")
    return member(ROOT / MODULES[module], qualified)


def member(path: Path, name: str) -> Member:
    found = known(path)
    if name not in found:
        raise PairError(f"{path.relative_to(ROOT)} has no {name}, which the table names")
    return found[name]


def require_all() -> None:
    """Everything that Java declares is in a pair or in JAVA_ONLY, and nothing else is."""
    declared = {name for path in JAVA.glob("*.java") for name in known(path)}
    paired = {java_name(java_class, name)
              for java_class, pairs in PAIRS.items() for pair in pairs for name in pair.java.split()}
    for wrong, problem in (
        (declared - paired - set(JAVA_ONLY), "in no pair and not in JAVA_ONLY"),
        (set(JAVA_ONLY) - declared, "in JAVA_ONLY, but Java declares no such name"),
        (set(JAVA_ONLY) & paired, "in JAVA_ONLY and in a pair"),
    ):
        if wrong:
            raise PairError(f"{problem}: {', '.join(sorted(wrong))}")


def coloured(excerpt: Excerpt) -> Iterator[Line]:
    """The code, line by line."""
    html = highlight(excerpt.text, LEXERS[excerpt.path.suffix], HtmlFormatter(nowrap=True))
    html = UNCOLOURED.sub(r"\1", html)
    for text, line in zip(excerpt.text.split("\n"), html.rstrip("\n").split("\n"), strict=True):
        yield Line(len(text) - len(text.lstrip()), Markup(line))


def address(path: Path) -> str:
    """As the page links to it."""
    return relpath(path, PAGE.parent)


def place(excerpt: Excerpt) -> str:
    """What stands above an excerpt: its file."""
    home = JAVA if excerpt.path.suffix == ".java" else ROOT
    return excerpt.path.relative_to(home).as_posix()


def render() -> str:
    """The page; raises PairError where the table and the sources disagree."""
    require_all()
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    sections = {java_class: [shown(java_class, pair) for pair in pairs]
                for java_class, pairs in PAIRS.items()}
    template = environment.get_template("side_by_side.html.j2")
    page = template.render(
        sections=sections, java_only=JAVA_ONLY, coloured=coloured, address=address, place=place)
    return page + "\n"


def main() -> None:
    try:
        PAGE.write_text(render())
    except PairError as error:
        sys.exit(f"side_by_side: {error}")
    print(f"{PAGE.relative_to(ROOT)}: {PAGE.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
