"""Wires the rooms together; nothing else does.

`create_app` makes the Flask application, `LiveServer` the whole running
server around it.

- `application`: create_app. `options`: what each option adds to it. `parts`: what it is made of, `Parts`.
- `server`: LiveServer, and how all connections are ended.
"""

from livestream.app.application import create_app
from livestream.app.parts import Parts
from livestream.app.server import LiveServer, end_connections
from livestream.transport.machine import give_memory_back, prepare_process

__all__ = ["LiveServer", "Parts", "create_app", "end_connections", "give_memory_back", "prepare_process"]
