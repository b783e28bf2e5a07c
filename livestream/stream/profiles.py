"""The faults of the original, one named flag each, and the three sets in which they come.

Code asks for a flag by name and never for a profile. Source: SPEC, parts "Life
of a connection", "As shipped" and "As reported".
"""

from dataclasses import Field, dataclass, field, fields, replace
from inspect import cleandoc
from typing import Any, Final, NamedTuple


class Fault(NamedTuple):
    """What a flag means: three sentences for help texts, reports and readers."""

    does: str
    promised: str
    shown_by: str


def _fault(does: str, promised: str, shown_by: str) -> Any:
    return field(default=False, metadata={"fault": Fault(does, promised, shown_by)})


@dataclass(frozen=True)
class Profile:
    """Which faults of the original are present. A flag that is True is a fault that shows.

    The sets that a server takes are ORIGINAL, SHIPPED and CORRECTED of `livestream.stream.profiles`; FAULTS
    there says of each flag also what the report promised and which corpus case shows it.
    """

    name: str

    refuses_blocking_sends: bool = _fault(
        "Endpoint methods run on I/O threads, where a blocking send is refused: not one message "
        "is sent and no channel thread starts.",
        "Four channels operational, non-blocking sending.",
        "shipped.jsonl: nothing sent",
    )
    starts_a_thread_per_subscribe: bool = _fault(
        "Every subscribe starts one more thread, also when the channel already has one.",
        "Four threads per connection.",
        "session-repeat-subscribe.jsonl",
    )
    confirms_unknown_channels: bool = _fault(
        "A subscribe to a channel that does not exist is confirmed, and starts nothing.",
        "Four channels, each with its name.",
        "messages.jsonl: sub-unknown",
    )
    ignores_unsubscribe: bool = _fault(
        "An unsubscribe is not answered and stops nothing.",
        "Clients can unsubscribe.",
        "messages.jsonl: unsub; session-mixed.jsonl",
    )
    leaves_threads_asleep: bool = _fault(
        "Closing wakes no channel thread: each ends at its next wake-up, up to 5 s later.",
        "Proper cleanup by connection tracking.",
        "not on the wire: SPEC, life of a connection, 7",
    )
    keeps_registry_entries: bool = _fault(
        "A closed connection stays in the registry for ever.",
        "Proper cleanup by connection tracking.",
        "not on the wire: SPEC, life of a connection, 7 and 9 (statistics)",
    )
    counts_errors_twice: bool = _fault(
        "An error takes one off the counter, and the close that follows takes off one more.",
        "Thread-safe counting of connections.",
        "not on the wire: SPEC, life of a connection, 8 (statistics)",
    )
    sleeps_a_fixed_delay: bool = _fault(
        "A channel sleeps its interval after each send, so work and wake-up time add up.",
        "An update every 1, 2, 3 and 5 seconds.",
        "session-tps-only.jsonl: 1,001 to 1,002 ms",
    )


def _flag_fields() -> tuple["Field[Any]", ...]:
    return tuple(entry for entry in fields(Profile) if "fault" in entry.metadata)


#: Every flag by name, with its three sentences.
FAULTS: Final[dict[str, Fault]] = {entry.name: entry.metadata["fault"] for entry in _flag_fields()}
# For pydoc: what a flag does stands once.
Profile.__doc__ = "\n".join((
    f"{cleandoc(Profile.__doc__ or '')}\n", *(f"- `{name}`: {fault.does}" for name, fault in FAULTS.items())))

#: The report's promises kept: no fault.
CORRECTED: Final = Profile("corrected")
#: As shipped: every fault, and mute (SPEC, "As shipped").
SHIPPED: Final = Profile("shipped", **dict.fromkeys(FAULTS, True))
#: As written: every fault but the muteness, which is one line of configuration.
ORIGINAL: Final = replace(SHIPPED, name="original", refuses_blocking_sends=False)

PROFILES: Final = {profile.name: profile for profile in (ORIGINAL, SHIPPED, CORRECTED)}
