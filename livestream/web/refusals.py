"""What the policies of the open share: how a request is refused, and what a wrong option is called."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response


class PolicyError(ValueError):
    """An option of the open can't be followed; the message is one line that names it, and no secret."""


def refusal(status: HTTPStatus, text: str, headers: Mapping[str, str] = {}) -> Response:
    """A plain sentence as the answer."""
    return Response(f"{text}\n", status, headers, mimetype="text/plain")
