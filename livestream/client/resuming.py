"""What a client makes of a server's extensions: options of a subscribe, and going on where it left off.

A server says in its welcome what it offers; one that offers nothing ignores the keys (SPEC, "Life of a
connection"). So they go out without waiting for the welcome, which a mute server never sends.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from livestream import contract
from livestream.client.messages import Message
from livestream.client.settings import StreamError

#: Keys of a `subscribe` beside its type and channel.
Options = Mapping[str, object]

_CHANNELS: Final = {channel.message_type: channel.name for channel in contract.CHANNELS}


def subscribe_options(validators: Iterable[str] | None, interval_ms: int | None) -> Options:
    """The keys for these wishes, none for None. StreamError when no server would take them."""
    options: dict[str, object] = {}
    if validators is not None:
        options[contract.EXTENSION_VALIDATORS] = _ids(validators)
    if interval_ms is not None:
        options[contract.EXTENSION_INTERVAL] = _interval(interval_ms)
    return options


def _ids(validators: Iterable[str]) -> list[str]:
    # A text is iterable, too: each of its letters would be an id.
    ids = [] if isinstance(validators, str) else list(validators)
    good = all(isinstance(one, str) and len(one) <= contract.MAX_VALIDATOR_ID_LENGTH for one in ids)
    if isinstance(validators, str) or not good or len(ids) > contract.MAX_VALIDATOR_IDS:
        raise StreamError(f"{contract.BAD_VALIDATORS}.")
    return ids


def _interval(interval_ms: int) -> int:
    least, most = contract.LEAST_INTERVAL_MS, contract.MOST_INTERVAL_MS
    if type(interval_ms) is not int or not least <= interval_ms <= most:  # True is an int, too
        raise StreamError(f"{contract.BAD_INTERVAL}, not {interval_ms!r}.")
    return interval_ms


class Resuming:
    """Up to which moment each channel was heard, and what the server offers."""

    def __init__(self) -> None:
        #: What the last welcome announced.
        self.extensions: tuple[str, ...] = ()
        #: The last timestamp of each channel's updates, in the server's milliseconds since 1970.
        self._heard: dict[str, int] = {}

    def on_message(self, message: Message) -> None:
        """Looks at a message of the stream: a welcome, or an update."""
        if message.type == contract.CONNECTION_ESTABLISHED:
            self.extensions = _announced(message.payload.get(contract.EXTENSIONS))
        channel = _CHANNELS.get(message.type)
        if channel is not None:
            # Not the highest one: the server's clock may have been put back.
            self._heard[channel] = min(max(0, message.timestamp), contract.MAX_SINCE)

    def since(self, channel: str) -> Options:
        """What asks for the updates that were missed; nothing when none came, or none can be had."""
        if contract.EXTENSION_SINCE not in self.extensions or channel not in self._heard:
            return {}
        return {contract.EXTENSION_SINCE: self._heard[channel]}

    def forget(self, channel: str) -> None:
        """Nobody wants to know what is missed from now on."""
        self._heard.pop(channel, None)


def _announced(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else []
    return tuple(name for name in names if isinstance(name, str))
