"""What the report only wished for, off unless asked for: filters, another interval, and what was missed.

Source: SPEC, "What the report claims", left to do. With `--extensions` the welcome's payload ends with
`"extensions":["validators","interval_ms","since"]`, and a `subscribe` may carry these keys beside `channel`:

- `"validators":[ids]`, with `validator_metrics` alone: each payload ends with `"validators":[…]`, those of
  these ids as `GET /api/v11/live/validators/{id}` shows them, in the order asked for. An id that nobody has
  is left out.
- `"interval_ms":n`: the pace of this subscription, in milliseconds (times `--time-scale`).
- `"since":t`, a message's `timestamp`: the channel's updates later than that, as they are kept when the
  subscribe comes, follow the confirmation, the oldest first and before the subscription's own. Each envelope
  ends with `"replayed":true`. They are the channel's, at its own interval, without filters. The
  confirmation's payload ends with `"replayed":n` and `"complete":b`: false when there was more than is kept.
  Of a moment to come nothing is known. The channel that runs from the start has begun before.

A value that can't be is answered by an `error`, and nothing is subscribed. Where a channel has one thread
for a client (profile `corrected`), new filters or another interval take the place of the old ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from livestream import contract
from livestream.services.interfaces import Payload
from livestream.stream.channels import Channel
from livestream.stream.history import History, Missed

Message = Mapping[str, object]
#: A validator by its id, None when there is none.
FindValidator = Callable[[str], Payload | None]


class Refusal(ValueError):
    """A subscribe asks for what can't be; the text is the `error` that answers it."""


class Wish:
    """What a subscribe asks for beside its channel: nothing, where there are no extensions."""

    #: The `error` that answers it, when it asks for what can't be.
    refusal = ""
    #: Whether its updates are others than those of a plain subscription.
    replaces = False

    def confirmation(self) -> Payload:
        """What the confirmation says more."""
        return {}

    def replay(self) -> Sequence[str]:
        """Messages that go out before the first update."""
        return ()

    def tuned(self, channel: Channel) -> Channel:
        """The channel as this client wants it."""
        return channel


NO_WISH: Final = Wish()


class Extensions(Protocol):
    """What the endpoint asks, whether there are extensions or not."""

    def welcome(self) -> Payload:
        """What the welcome says more."""

    def wish(self, channel_name: str, message: Message) -> Wish:
        """What a subscribe asks for; the wish itself says when that can't be."""


class NoExtensions:
    """The original: every other key of a subscribe is ignored."""

    def welcome(self) -> Payload:
        """Nothing more."""
        return {}

    def wish(self, channel_name: str, message: Message) -> Wish:
        """Nothing more."""
        return NO_WISH


class RefusedWish(Wish):
    """A subscribe that asks for what can't be."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal


class TunedWish(Wish):
    """A subscribe that named an extension; `None` where it named another."""

    def __init__(
        self, validators: Callable[[], list[Payload]] | None, interval: float | None, missed: Missed | None
    ) -> None:
        """`interval` in seconds, time scale applied."""
        self.replaces = validators is not None or interval is not None
        self._validators = validators
        self._interval = interval
        self._missed = missed

    def confirmation(self) -> Payload:
        """How much follows, and whether that is all."""
        if self._missed is None:
            return {}
        return {contract.REPLAYED: len(self._missed.texts), contract.COMPLETE: self._missed.complete}

    def replay(self) -> Sequence[str]:
        """What was missed, the oldest first."""
        return self._missed.texts if self._missed is not None else ()

    def tuned(self, channel: Channel) -> Channel:
        """With its own interval and payload."""
        if self._interval is not None:
            channel = channel._replace(interval=self._interval)
        if self._validators is not None:
            channel = channel._replace(payload=_filtered(channel.payload, self._validators))
        return channel


class OfferedExtensions:
    """All three, or without `validators` where the data has none of them."""

    def __init__(self, history: History, find_validator: FindValidator | None, time_scale: float) -> None:
        self._history = history
        self._find_validator = find_validator
        self._time_scale = time_scale

    @property
    def names(self) -> list[str]:
        """What is announced."""
        filters = [contract.EXTENSION_VALIDATORS] if self._find_validator is not None else []
        return [*filters, contract.EXTENSION_INTERVAL, contract.EXTENSION_SINCE]

    def welcome(self) -> Payload:
        """Their names; the first client also starts the history, so that no thread runs before it."""
        self._history.record()
        return {contract.EXTENSIONS: self.names}

    def wish(self, channel_name: str, message: Message) -> Wish:
        """What a subscribe asks for."""
        if message.keys().isdisjoint(_KEYS):
            return NO_WISH
        try:
            return self._granted(channel_name, message)
        except Refusal as refusal:
            return RefusedWish(str(refusal))

    def _granted(self, channel_name: str, message: Message) -> Wish:
        validators = self._validators(channel_name, message)
        interval_ms = _integer(message, contract.EXTENSION_INTERVAL, _INTERVALS, contract.BAD_INTERVAL)
        since = _integer(message, contract.EXTENSION_SINCE, _MOMENTS, contract.BAD_SINCE)
        return TunedWish(
            validators,
            None if interval_ms is None else interval_ms / 1_000 * self._time_scale,
            None if since is None else self._history.after(channel_name, since),
        )

    def _validators(self, channel_name: str, message: Message) -> Callable[[], list[Payload]] | None:
        if contract.EXTENSION_VALIDATORS not in message:
            return None
        find = self._find_validator
        if find is None:
            raise Refusal(contract.NO_SINGLE_VALIDATORS)
        if channel_name != contract.VALIDATOR_METRICS.name:
            raise Refusal(contract.VALIDATORS_ELSEWHERE)
        ids = _ids(message[contract.EXTENSION_VALIDATORS])
        return lambda: [found for one in ids if (found := find(one)) is not None]


_KEYS: Final = frozenset(
    {contract.EXTENSION_VALIDATORS, contract.EXTENSION_INTERVAL, contract.EXTENSION_SINCE})
_INTERVALS: Final = range(contract.LEAST_INTERVAL_MS, contract.MOST_INTERVAL_MS + 1)
_MOMENTS: Final = range(contract.MAX_SINCE + 1)


def _integer(message: Message, key: str, allowed: range, refusal: str) -> int | None:
    """The integer under this key, None without it. Raises Refusal."""
    if key not in message:
        return None
    value = message[key]
    if type(value) is not int or value not in allowed:  # neither true nor 100.0
        raise Refusal(refusal)
    return value


def _ids(value: object) -> list[str]:
    """Each id once, in their order. Raises Refusal."""
    if not isinstance(value, list) or len(value) > contract.MAX_VALIDATOR_IDS:
        raise Refusal(contract.BAD_VALIDATORS)
    if not all(isinstance(one, str) and len(one) <= contract.MAX_VALIDATOR_ID_LENGTH for one in value):
        raise Refusal(contract.BAD_VALIDATORS)
    return list(dict.fromkeys(value))


def _filtered(
    payload: Callable[[], Payload], validators: Callable[[], list[Payload]]
) -> Callable[[], Payload]:
    return lambda: {**payload(), contract.EXTENSION_VALIDATORS: validators()}
