"""How does one play again what was recorded of the original?

A recorded session says what was sent and received, and when. `play_session`
sends the same at the same times, and gives back a session with what came.
"""

import json
from dataclasses import replace

from livestream.app import LiveServer
from livestream.contract import UPDATE_TYPES
from livestream.parity.cases import SessionStep, load_session
from livestream.parity.playing.sessions import play_session
from livestream.parity.playing.target import Target
from livestream.settings import Settings

SECONDS = 3.9  # of the session's ten


def is_update(step: SessionStep) -> bool:
    return step.dir == "recv" and step.text is not None and json.loads(step.text)["type"] in UPDATE_TYPES


if __name__ == "__main__":
    whole = load_session("mixed")
    recorded = replace(whole, steps=tuple(step for step in whole.steps if step.at < SECONDS))
    with LiveServer(Settings(host="127.0.0.1", port=0)) as server:
        close = SessionStep(SECONDS, "send", close=1000)  # what is played lasts until then
        played = play_session(replace(recorded, steps=(*recorded.steps, close)), Target(server.url()))
    replies = (step.text for step in played.steps if step.dir == "recv" and not is_update(step))
    for step in recorded.steps:
        if step.dir == "send":
            print("sent    ", step.text)
        elif not is_update(step):
            print("recorded", step.text)
            print("came    ", next(replies, "nothing"))
    print("updates: recorded", sum(map(is_update, recorded.steps)), "came", sum(map(is_update, played.steps)))
