"""What the other rooms may know about the services without knowing the services."""

from typing import Protocol, TypeAlias

#: A JSON object under construction; its keys go out in the order of insertion.
Payload: TypeAlias = dict[str, object]


class ValidatorTotals(Protocol):
    """Where the payload of a `validator_update` comes from (SPEC, "Messages")."""

    def totals(self) -> Payload:
        """`totalValidators`, `activeValidators`, `inactiveValidators`, `jailedValidators`: integers."""
        ...
