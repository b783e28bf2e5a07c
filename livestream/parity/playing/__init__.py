"""Asks a server: the corpus, sessions, statistics and threads; by URL (and pid), never by import.

- `target`: the server, and how to get in. `waiting`: until numbers hold still.
- `player`: any case; `conversation`: a message or a frame. `sessions`: in real time.
- `stats`: the counter after each sort of end. `threads`: how many start and end, and when.
"""
