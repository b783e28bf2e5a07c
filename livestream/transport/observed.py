"""A connection that somebody watches: only for `--metrics`, so that nobody else pays for it."""

from collections.abc import Sequence
from typing import Any, Protocol

from livestream.transport.websocket import Limits, WebSocket


class SendObserver(Protocol):
    """Is told of every message, on the thread that sends it."""

    def sent(self, message: str) -> None:
        """It was written, whole."""

    def send_failed(self) -> None:
        """One could not be written: the connection was over, or is now."""


class ObservedWebSocket(WebSocket):
    """A WebSocket whose messages are counted."""

    def __init__(
        self, environ: dict[str, Any], limits: Limits, subprotocols: Sequence[str], *, observer: SendObserver
    ) -> None:
        """As the WebSocket's own."""
        self._observer = observer
        super().__init__(environ, limits, subprotocols)

    def send_text(self, text: str) -> None:
        """As the WebSocket's own, and the observer is told."""
        try:
            super().send_text(text)
        except OSError:
            self._observer.send_failed()
            raise
        self._observer.sent(text)
