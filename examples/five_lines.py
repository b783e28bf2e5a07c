"""Is this server the same as that one?

The five lines of `verdict` play the original's recorded cases to a server. Where
turning round a flag of its profile would explain a difference, they name the flag.
"""

import logging
from dataclasses import replace

from livestream.app import LiveServer
from livestream.parity.judging.verdict import Report
from livestream.parity.plan import Plan
from livestream.parity.playing.target import Target
from livestream.parity.reports.headline import headline
from livestream.parity.run import Comparison
from livestream.settings import Settings
from livestream.stream.profiles import ORIGINAL


def verdict(url: str) -> str:
    plan = Plan(Target(url), only=frozenset({"messages", "frames"}))
    comparison = Comparison(plan)
    comparison.run()
    report = Report(url, plan.described(), comparison.results_in_order())
    return headline(report)


if __name__ == "__main__":
    logging.disable()  # Some cases break the protocol, and the server would warn of each.
    for profile in (ORIGINAL, replace(ORIGINAL, ignores_unsubscribe=False)):
        with LiveServer(Settings(host="127.0.0.1", port=0, profile=profile)) as server:
            print(verdict(server.url()))
