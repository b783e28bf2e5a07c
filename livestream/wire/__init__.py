"""A raw WebSocket client with full control of every frame, on which both instruments stand.

- `client`: connect, send anything, receive. `handshake`: URLs, the opening handshake, plain HTTP requests.
- `frames`: frames as bytes, legal or not. `events`: what the bytes of a server mean.

Source: RFC 6455.
"""
