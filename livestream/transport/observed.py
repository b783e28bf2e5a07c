"""A session that somebody watches: only for `--metrics`, so that nobody else pays for it."""

from typing import Protocol


class Session(Protocol):
    """What an endpoint asks of a connection."""

    @property
    def is_open(self) -> bool:
        """False from the first Close frame in either direction, or when the connection is lost."""

    def send_text(self, text: str) -> None:
        """Sends one text message, whole. Raises OSError when the connection is over."""

    def close(self, code: int, reason: str, timeout: float) -> bool:
        """Sends a Close frame; False when it could not be sent within `timeout` seconds."""


class SendObserver(Protocol):
    """Is told of every message, on the thread that sends it."""

    def sent(self, message: str) -> None:
        """It was written, whole."""

    def send_failed(self) -> None:
        """One could not be written: the connection was over, or is now."""


class ObservedSession:
    """A session whose messages are counted."""

    def __init__(self, session: Session, observer: SendObserver) -> None:
        self._session = session
        self._observer = observer

    @property
    def is_open(self) -> bool:
        """As the session's own."""
        return self._session.is_open

    def send_text(self, text: str) -> None:
        """As the session's own, and the observer is told."""
        try:
            self._session.send_text(text)
        except OSError:
            self._observer.send_failed()
            raise
        self._observer.sent(text)

    def close(self, code: int, reason: str, timeout: float) -> bool:
        """As the session's own."""
        return self._session.close(code, reason, timeout)


def unobserved(session: Session) -> Session:
    """Nobody watches."""
    return session
