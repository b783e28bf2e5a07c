"""A thread-faithful, synchronous Python port of a Java WebSocket service, and instruments around it.

`create_app(settings)` gives the service as a WSGI application, `Settings` says
how it runs, `Profile` which faults of the original show. `StreamClient` talks
to this service or to the Java one. `pydoc livestream.Settings` tells of one of them.

The service:

- `stream`: the port itself; begin with `livestream.stream.endpoint`.
- `services`: where the numbers come from. `transport`: WebSocket and HTTP. `web`: REST and the live page.
- `app`: wires them together. `settings`: every setting, once.

The instruments, which know a server by its URL, and by its process number what it uses:

- `client`: the report's browser client, to script with. `wire`: a raw WebSocket client.
- `parity`: is this server the same as that one? `lab`: what do clients cost?

Both: `contract`, every fact of the wire, and `cli`, the command `livestream`.
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
    """Loads a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'livestream' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
