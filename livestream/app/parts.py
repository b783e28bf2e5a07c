"""What the application is made of, for whoever runs it."""

from typing import NamedTuple

from flask import Flask

from livestream.services.validators import LiveValidatorsService
from livestream.stream.broadcast import Broadcaster
from livestream.stream.endpoint import LiveStreamWebSocket
from livestream.stream.registry import Registry
from livestream.transport.refusals import Refused
from livestream.web.door import Door
from livestream.web.health import Readiness

EXTENSION = "livestream"


class Parts(NamedTuple):
    """What `create_app` built: `app.extensions["livestream"]`."""

    endpoint: LiveStreamWebSocket
    registry: Registry
    broadcaster: Broadcaster
    validators: LiveValidatorsService
    door: Door
    readiness: Readiness
    #: Is told why a connection was refused, for the metrics.
    refused: Refused


def parts_of(app: Flask) -> Parts:
    """The `Parts` of an application that `create_app` made. Raises KeyError for any other."""
    parts: Parts = app.extensions[EXTENSION]
    return parts
