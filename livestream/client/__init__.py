"""The portal's connection manager in Python: reconnecting, handlers, and polling when there is no WebSocket.

`StreamClient` is all that most scripts need.

- `client`: StreamClient. `settings`: its delays and limits.
- `messages`: what it hears. `handlers`: who hears it.
- `life`: connect, listen, reconnect, poll. `polling`: REST in place of the stream.
- `session`: subscriptions and pings. `resuming`: going on after a break.
- `opening`: from a URL to a socket. `connection`: the WebSocket on it; `pieces`: its fragments.
- `waiting`: so that Ctrl-C ends every wait.

Source: SPEC, "The portal client".
"""

from livestream.client.client import StreamClient
from livestream.client.handlers import ALL
from livestream.client.life import State
from livestream.client.messages import Message
from livestream.client.settings import ClientSettings, Clock, StreamError

__all__ = ["ALL", "ClientSettings", "Clock", "Message", "State", "StreamClient", "StreamError"]
