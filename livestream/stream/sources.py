"""Another source of the figures than the simulated one: found by name, and kept from doing harm.

The simulated source needs no guard and has none: what the original does stays as it is. Somebody else's
raises, stalls, or returns what is no JSON object: that is the affair of its channel alone.
"""

import json
import logging
import threading
import traceback
from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

from livestream import contract
from livestream.services.interfaces import Payload
from livestream.stream.channels import Channel, Source, Unavailable
from livestream.stream.jackson import to_json
from livestream.stream.messages import Clock

log = logging.getLogger(__name__)

#: An error of a kind that is known is logged again after so long, in seconds.
LOG_PERIOD: Final = 60.0
#: A payload as it is written has so many characters at most; the simulated ones have about 100.
MAX_PAYLOAD: Final = 65_536
#: A call that has not answered for so long, in seconds, stalls; with so many of them nobody else is sent in.
STALLED: Final = 5.0
MOST_STALLED: Final = 8
#: How much of an error's own words one line holds.
MAX_WORDS: Final = 200


class SourceError(ValueError):
    """There is no such source; the message is one line that says why."""


class SourceStalls(Exception):
    """So many calls wait for the source that one more would only wait, too."""


def load_source(place: str) -> Source:
    """What the factory at `module:factory` returns when it is called without arguments.

    Raises SourceError when there is no such module, attribute or method, or
    one of them fails. The module is looked for where Python looks for all.
    """
    module_name, _, factory_name = place.partition(":")
    factory = _factory(_module(module_name), module_name, factory_name)
    try:
        source = factory()
    except (Exception, SystemExit) as error:
        raise SourceError(f"{factory_name}() raised {_words(error)}") from error
    for channel in contract.CHANNELS:
        if not _has_method(source, channel.message_type):
            found = f"what {factory_name}() returned, a {type(source).__name__},"
            raise SourceError(f"{found} has no method {channel.message_type}")
    return source  # type: ignore[no-any-return]


def _has_method(source: object, name: str) -> bool:
    try:
        return callable(getattr(source, name, None))
    except (Exception, SystemExit) as error:
        raise SourceError(f"the source's {name} raised {_words(error)}") from error


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise SourceError(f"module {name} could not be imported: {_words(error)}") from error
        raise SourceError(f"there is no module {error.name}; is its folder in PYTHONPATH?") from error
    except (Exception, SystemExit) as error:
        raise SourceError(f"module {name} could not be imported: {_words(error)}") from error


def _factory(module: Any, module_name: str, name: str) -> Any:
    try:
        factory = attrgetter(name)(module)
    except AttributeError as error:
        raise SourceError(f"module {module_name} has no attribute {name}") from error
    if not callable(factory):
        raise SourceError(f"{name} in module {module_name} is no function, but a {type(factory).__name__}")
    return factory


def _words(error: BaseException) -> str:
    """Kind and text in one line, also of an error that can't be printed."""
    return " ".join("".join(traceback.format_exception_only(error)).split())[:MAX_WORDS]


class Guard:
    """One channel's payload from a source that nobody here knows; called by many threads at once."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        # Guards all fields below.
        self._lock = threading.Lock()
        #: How often each kind of error came, and when it was last logged, by the clock's `monotonic`.
        self._errors: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        self._last_error: str | None = None
        #: When the calls under way began, by thread: a source that stalls has some that are old.
        self._under_way: dict[int, float] = {}

    def payload(self) -> Payload:
        """A payload of our own, so that the source may change its later. Raises Unavailable."""
        caller = threading.get_ident()
        try:
            self._enter(caller)
            return _json_object(self._channel.payload())
        except BaseException as error:  # sys.exit() too: it would end the thread, and nobody would hear of it
            self._count(error)
            raise Unavailable(self._channel.name) from error
        finally:
            with self._lock:
                self._under_way.pop(caller, None)

    def report(self) -> dict[str, object]:
        """`errors` so far, the kind of the `last_error`, calls `under_way`, the oldest's age `longest_ms`."""
        with self._lock:
            now = self._clock.monotonic()
            oldest = min(self._under_way.values(), default=now)
            return {
                "errors": sum(self._errors.values()),
                "last_error": self._last_error,
                "under_way": len(self._under_way),
                "longest_ms": round((now - oldest) * 1_000),
            }

    def _enter(self, caller: int) -> None:
        """Lets a call in. Raises SourceStalls: clients that come and go would leave a thread each."""
        with self._lock:
            now = self._clock.monotonic()
            if sum(now - began > STALLED for began in self._under_way.values()) >= MOST_STALLED:
                raise SourceStalls(f"{MOST_STALLED} calls have not answered for {STALLED:.0f} s")
            self._under_way[caller] = now

    def _count(self, error: BaseException) -> None:
        kind = type(error).__name__
        with self._lock:
            self._last_error = kind
            number = self._errors[kind] = self._errors.get(kind, 0) + 1
            now = self._clock.monotonic()
            if kind in self._logged and now - self._logged[kind] < LOG_PERIOD:
                return
            self._logged[kind] = now
        log.error("source: no update for channel %s, %d of this kind so far: %s",
                  self._channel.name, number, _words(error))


def _json_object(payload: object) -> Payload:
    """A copy in plain Python types, which can be sent. Raises TypeError, ValueError or RecursionError."""
    if not isinstance(payload, dict):
        raise TypeError(f"a payload is a dict, not a {type(payload).__name__}")
    copy: Payload = json.loads(json.dumps(payload, allow_nan=False))
    # Written as the envelope will write it: whatever is nested too deep fails here.
    size = len(to_json(copy))
    if size > MAX_PAYLOAD:
        raise ValueError(f"a payload of {size} characters, more than {MAX_PAYLOAD}")
    return copy


class GuardedChannels:
    """The channels of a source that nobody here knows, each behind a guard."""

    def __init__(self, channels: Mapping[str, Channel], clock: Clock) -> None:
        self._guards = {name: Guard(channel, clock) for name, channel in channels.items()}
        #: By name, as the endpoint wants them.
        self.channels = {
            name: channel._replace(payload=self._guards[name].payload) for name, channel in channels.items()
        }

    def report(self) -> dict[str, object]:
        """By channel, as `Guard.report` says."""
        return {name: guard.report() for name, guard in self._guards.items()}
