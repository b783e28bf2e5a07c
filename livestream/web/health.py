"""Probes for whoever runs the service: does it live, and does it take connections?

The original has none of its own. The bodies are those of draft-inadarei-api-health-check, as far as they go.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, Response

from livestream import contract
from livestream.web.rest import JsonWriter

HEALTH_TYPE: Final = "application/health+json"
UP: Final = "UP"
DOWN: Final = "DOWN"
STOPPING: Final = "the server is stopping"
FULL: Final = "all connections are taken"


class Readiness:
    """Whether a new connection would be accepted. Any thread may ask."""

    def __init__(self, is_full: Callable[[], bool]) -> None:
        self._is_full = is_full
        self._stopping = False

    def stop(self) -> None:
        """From now on it is not ready."""
        self._stopping = True

    @property
    def obstacle(self) -> str:
        """Why not, or nothing."""
        if self._stopping:
            return STOPPING
        return FULL if self._is_full() else ""


def health(readiness: Readiness, to_json: JsonWriter) -> Blueprint:
    """GET /health/live and /health/ready: `status` UP with 200, or DOWN with 503 and `output`, the reason."""
    probes = Blueprint("health", __name__)
    options: dict[str, Any] = {"methods": ("GET", "HEAD"), "provide_automatic_options": False}

    def answer(obstacle: str) -> Response:
        body = {"status": DOWN, "output": obstacle} if obstacle else {"status": UP}
        status = HTTPStatus.SERVICE_UNAVAILABLE if obstacle else HTTPStatus.OK
        response = Response(to_json(body), status, content_type=HEALTH_TYPE)
        response.headers["Cache-Control"] = "no-store"
        return response

    probes.add_url_rule(contract.HEALTH_LIVE_PATH, "live", lambda: answer(""), **options)
    probes.add_url_rule(contract.HEALTH_READY_PATH, "ready", lambda: answer(readiness.obstacle), **options)
    return probes
