"""The live stream's endpoint: what happens to a connection from its opening to its end.

It has the original's methods, in the original's order. Messages of one
connection arrive one at a time, in order, on that connection's handler thread.
Source: SPEC, "Life of a connection, as written", whose numbers stand beside
the methods, and the flags of `profiles`, whose sentences say what each does.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from random import Random

from livestream import contract
from livestream.stream.broadcast import Broadcaster
from livestream.stream.channels import Channel
from livestream.stream.extensions import NO_WISH, Extensions, NoExtensions, Wish
from livestream.stream.jackson import JsonError, as_text, read_tree
from livestream.stream.messages import Clock, envelope
from livestream.stream.profiles import Profile
from livestream.stream.registry import CLOSED_SESSION, Connection, Registry, Session, every_channel

log = logging.getLogger(__name__)

Message = Mapping[str, object]

#: How long an unsubscribe waits for updates that are just being sent, in seconds.
UNSUBSCRIBE_JOIN = 1.0


class BlockingSendRefused(Exception):
    """A blocking send was tried on an I/O thread (SPEC, "As shipped")."""


class _IoThreadSession:
    """A session as the shipped original sees it: everything works but sending."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    def send_text(self, text: str) -> None:
        raise BlockingSendRefused("a blocking send is refused on an I/O thread")

    def close(self, code: int, reason: str, timeout: float) -> bool:
        return self._session.close(code, reason, timeout)


class LiveStreamWebSocket:
    """The endpoint. One object serves all connections and is called by all their threads."""

    def __init__(
        self,
        profile: Profile,
        registry: Registry,
        broadcaster: Broadcaster,
        channels: Mapping[str, Channel],
        clock: Clock,
        random: Random,
        max_threads_per_connection: int = contract.MAX_THREADS_PER_CONNECTION,
        extensions: Extensions = NoExtensions(),
    ) -> None:
        """`max_threads_per_connection` 0 lifts the limit; `random` draws the connections' ids."""
        self._profile = profile
        self._registry = registry
        self._broadcaster = broadcaster
        self._channels = channels
        self._clock = clock
        self._random = random
        self._max_threads = max_threads_per_connection
        self._extensions = extensions
        self._handlers: dict[str, Callable[[Connection, Message], None]] = {
            contract.SUBSCRIBE: self.handle_subscribe,
            contract.UNSUBSCRIBE: self.handle_unsubscribe,
            contract.PING: self.handle_ping,
        }

    def on_open(self, session: Session, may_subscribe: Callable[[str], bool] = every_channel) -> Connection:
        """1. A UUID, the counter, the registry entry, the welcome, and `tps_updates` unasked.

        `may_subscribe` says which channels this client may have; the original lets each have all.
        """
        if self._profile.refuses_blocking_sends:
            session = _IoThreadSession(session)
        connection = Connection(
            self._new_connection_id(), self._clock.now_ms(), session, may_subscribe=may_subscribe)
        self._registry.add(connection)
        self._guarded(self._welcome, connection)
        return connection

    def on_message(self, connection: Connection, text: str) -> None:
        """2 to 4. One text message: subscribe, unsubscribe, ping, or silence."""
        self._guarded(self._dispatch, connection, text)

    def on_close(self, connection: Connection) -> None:
        """7. The counter goes down; what else is tidied up is a matter of the profile."""
        self._registry.count_down()
        if not self._profile.keeps_registry_entries:
            self._registry.remove(connection)
        if not self._profile.leaves_threads_asleep:
            self._broadcaster.stop(connection)
        connection.session = CLOSED_SESSION
        connection.may_subscribe = every_channel

    def on_error(self, connection: Connection, error: Exception) -> None:
        """8. One log line, and in the original one more off the counter."""
        log.warning("connection %s: %s", connection.short_id, error)
        if self._profile.counts_errors_twice:
            self._registry.count_down()

    def handle_subscribe(self, connection: Connection, message: Message) -> None:
        """2. Confirmed, then one new thread; also for a channel that has one, or that is unknown."""
        if "channel" not in message:
            self.send_error_message(connection, contract.CHANNEL_NOT_SPECIFIED)
            return
        name = as_text(message["channel"])
        if not connection.may_subscribe(name):
            self.send_error_message(connection, contract.CHANNEL_NOT_ALLOWED + name)
            return
        if name not in self._channels and not self._profile.confirms_unknown_channels:
            self.send_error_message(connection, contract.UNKNOWN_CHANNEL + name)
            return
        wish = self._extensions.wish(name, message)
        if wish.refusal:
            self.send_error_message(connection, wish.refusal)
            return
        if wish.replaces and not self._profile.starts_a_thread_per_subscribe:
            self._stop_broadcasting(connection, name)
        if self._starts_a_thread(connection, name) and self._has_all_threads(connection):
            self._refuse_thread(connection)
            return
        self._send(connection, contract.SUBSCRIPTION_CONFIRMED,
                   {"channel": name, "status": contract.STATUS_SUBSCRIBED, **wish.confirmation()})
        for text in wish.replay():
            connection.session.send_text(text)
        self.start_broadcasting(connection, name, wish)

    def handle_unsubscribe(self, connection: Connection, message: Message) -> None:
        """3. Nothing in the original; else the updates end first and the answer comes after them."""
        if self._profile.ignores_unsubscribe or "channel" not in message:
            return
        name = as_text(message["channel"])
        self._stop_broadcasting(connection, name)
        self._send(connection, contract.UNSUBSCRIPTION_CONFIRMED,
                   {"channel": name, "status": contract.STATUS_UNSUBSCRIBED})

    def handle_ping(self, connection: Connection, message: Message) -> None:
        """Answers with a pong message; a Ping frame is the transport's affair."""
        self._send(connection, contract.PONG, {"timestamp": self._clock.now_ms()})

    def start_broadcasting(self, connection: Connection, channel_name: str, wish: Wish = NO_WISH) -> None:
        """Starts the channel's thread; the client is told when the system refuses one."""
        if not self._starts_a_thread(connection, channel_name):
            return
        try:
            self._broadcaster.start(connection, wish.tuned(self._channels[channel_name]))
        except RuntimeError as error:
            log.warning("connection %s: no thread for %s: %s", connection.short_id, channel_name, error)
            self.send_error_message(connection, contract.NO_THREAD_LEFT)

    def send_error_message(self, connection: Connection, error: str) -> None:
        """Sends an `error` message; the connection goes on."""
        self._guarded(self._send, connection, contract.ERROR, {"error": error})

    def get_connection_stats(self) -> dict[str, int]:
        """9. `active_connections` (the counter) and `total_connections` (the registry's size)."""
        return {
            "active_connections": self._registry.active_connections,
            "total_connections": self._registry.total_connections,
        }

    def _new_connection_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _welcome(self, connection: Connection) -> None:
        self._send(connection, contract.CONNECTION_ESTABLISHED,
                   {"connectionId": connection.connection_id, "timestamp": self._clock.now_ms(),
                    **self._extensions.welcome()})
        if connection.may_subscribe(contract.INITIAL_CHANNEL.name):
            self.start_broadcasting(connection, contract.INITIAL_CHANNEL.name)

    def _stop_broadcasting(self, connection: Connection, channel_name: str) -> None:
        deadline = self._clock.monotonic() + UNSUBSCRIBE_JOIN
        for stopped in self._broadcaster.stop(connection, channel_name):
            stopped.join(max(0.0, deadline - self._clock.monotonic()))

    def _dispatch(self, connection: Connection, text: str) -> None:
        try:
            message = read_tree(text)
        except JsonError:
            self.send_error_message(connection, contract.INVALID_MESSAGE_FORMAT)
            return
        if not isinstance(message, dict) or "type" not in message:
            return
        handler = self._handlers.get(as_text(message["type"]))
        if handler is not None:
            handler(connection, message)

    def _starts_a_thread(self, connection: Connection, channel_name: str) -> bool:
        if channel_name not in self._channels:
            return False
        if self._profile.starts_a_thread_per_subscribe:
            return True
        return self._broadcaster.count(connection, channel_name) == 0

    def _has_all_threads(self, connection: Connection) -> bool:
        return 0 < self._max_threads <= self._broadcaster.count(connection)

    def _refuse_thread(self, connection: Connection) -> None:
        if not connection.has_all_threads:
            connection.has_all_threads = True
            log.warning("connection %s: all its %d channel threads are taken (--max-threads-per-connection)",
                        connection.short_id, self._max_threads)
        self.send_error_message(connection, contract.TOO_MANY_CHANNEL_THREADS)

    def _send(self, connection: Connection, message_type: str, payload: Mapping[str, object]) -> None:
        connection.session.send_text(envelope(message_type, payload, self._clock.now_ms()))

    def _guarded(self, step: Callable[..., None], connection: Connection, *args: object) -> None:
        """Runs one step; a send that fails or is refused is caught here, as in the original."""
        try:
            step(connection, *args)
        except OSError:
            log.debug("connection %s: lost while answering", connection.short_id)
        except BlockingSendRefused as refusal:
            log.warning("connection %s: %s", connection.short_id, refusal)
