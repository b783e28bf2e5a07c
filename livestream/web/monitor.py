"""The statistics of the stream, which the original computes and serves nowhere.

Source: SPEC, "Life of a connection", 9.
"""

from collections.abc import Callable, Mapping

from flask import Blueprint, Response

from livestream import contract
from livestream.web.rest import JsonWriter, json_answer, json_resource, json_route


def monitor(
    statistics: Callable[[], Mapping[str, object]], open_connections: Callable[[], int], to_json: JsonWriter
) -> Blueprint:
    """GET /api/v11/websocket/stats: `active_connections` and `total_connections`, from `statistics`.

    Both count as the original does; `open_connections` is the true number.
    """
    resource = json_resource("monitor")

    @json_route(resource, contract.WEBSOCKET_STATS_PATH)
    def get_connection_stats() -> Response:
        """The counter, the registry's size, and what is open."""
        return json_answer(to_json({**statistics(), "open_connections": open_connections()}))

    return resource
