"""A thread-faithful, synchronous Python port of a Java WebSocket service, and instruments around it.

`create_app(settings)` gives the service as a WSGI application, `Settings` says
how it runs, `Profile` which faults of the original show. `StreamClient` talks
to this service or to the Java one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livestream.app import create_app
    from livestream.client import StreamClient
    from livestream.settings import Settings
    from livestream.stream.profiles import Profile

__all__ = ["Profile", "Settings", "StreamClient", "create_app"]

#: Loaded on first use, so that an instrument doesn't load the service.
_HOMES = {
    "Profile": "livestream.stream.profiles",
    "Settings": "livestream.settings",
    "StreamClient": "livestream.client",
    "create_app": "livestream.app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'livestream' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
