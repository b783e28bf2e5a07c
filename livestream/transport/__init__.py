"""What the original's container does: TCP, HTTP, the WebSocket protocol, and the threads that serve them.

- `http`: a thread for each TCP connection. `wsgi`: HTTP on one. `tls`, `sockets`, `linger`: its socket.
- `container`: the handshake, and a WebSocket in a Flask route. `lifecycle`: the endpoint's calls, in order.
- `websocket`: the connection that any thread may send on. `frames`, `utf8`, `compression`: what goes over it;
  `session`: its limits, and how it ends.
- `machine`: what processors, memory and system allow. `observed`, `refusals`: who is told, for the metrics.

Source: RFC 6455; RFC 9112; SPEC, "Service" and "Frames".
"""
