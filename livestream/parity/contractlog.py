"""Whether every message of a run keeps to the AsyncAPI document, whichever case it came in."""

import re
import threading
from typing import Final

from livestream import contract
from livestream.parity.asyncapi import MessageSchemas
from livestream.parity.cases import Case
from livestream.parity.judging.difference import Difference
from livestream.parity.judging.verdict import Result, Verdict

#: More would be the same again.
MOST_COMPLAINTS: Final = 5
EVERY_MESSAGE: Final = "every message"
_CONNECTION_ID: Final = re.compile(
    r'\{"type":"%s","payload":\{"connectionId":"([^"]*)"' % contract.CONNECTION_ESTABLISHED)


class ContractLog:
    """Looks at messages as they come; may be shared by many threads."""

    def __init__(self) -> None:
        self._schemas = MessageSchemas()
        #: Guards what follows.
        self._lock = threading.Lock()
        self._seen = 0
        self._complaints: dict[str, str] = {}
        self._connection_ids: set[str] = set()

    def watch(self, text: str) -> None:
        """One text message of the server."""
        complaint = self._schemas.invalid(text)
        connection_id = _CONNECTION_ID.match(text)
        with self._lock:
            if connection_id is not None and complaint is None:
                complaint = self._repeated(connection_id[1])
            self._seen += 1
            if complaint is not None and len(self._complaints) < MOST_COMPLAINTS:
                self._complaints.setdefault(complaint, text)

    def _repeated(self, connection_id: str) -> str | None:
        """A UUID is one connection's alone."""
        if connection_id in self._connection_ids:
            return f"{contract.CONNECTION_ESTABLISHED}, payload.connectionId: two connections have the same."
        self._connection_ids.add(connection_id)
        return None

    def result(self) -> Result | None:
        """The verdict on all messages so far; None when there was none."""
        with self._lock:
            seen, complaints = self._seen, dict(self._complaints)
        if not seen:
            return None
        observed = {"messages": seen, "invalid": list(complaints)}
        case = Case(EVERY_MESSAGE, "contract", {"invalid": []}, request={"valid by": "livestream asyncapi"})
        found = tuple(
            Difference(complaint, "a valid message", text) for complaint, text in complaints.items())
        return Result(case, Verdict.DIFFERENT if found else Verdict.SAME, observed, found)
