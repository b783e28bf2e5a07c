"""Exercise 4: a registry that forgets: it keeps what is open, and the 100 connections that ended last."""

from talk import connect, receive, serve, wait_for

REMEMBERED = 100


def come_and_go(server, times):
    """So many connections, one after the other; returns the id of the last."""
    for _ in range(times):
        with connect(server) as client:
            [welcome] = receive(client, "connection_established")
    return welcome["payload"]["connectionId"]


def ended(server):
    return sum(not connection.session.is_open for connection in server.parts.registry.connections())


def test_of_the_connections_that_are_over_the_last_hundred_stay():
    with serve(time_scale=0.01) as server:
        registry = server.parts.registry
        with connect(server) as stays:
            receive(stays, "connection_established")
            come_and_go(server, REMEMBERED + 10)
            wait_for(
                lambda: ended(server) == REMEMBERED,
                "the registry does not keep exactly 100 of the 110 connections that are over")
            assert registry.total_connections == REMEMBERED + 1, "it forgot a connection that is still open"
        newest = come_and_go(server, 1)
        wait_for(
            lambda: registry.total_connections == REMEMBERED,
            "the registry does not keep exactly 100 connections when all are over")
        assert newest in {connection.connection_id for connection in registry.connections()}, (
            "it forgot the connection that ended last")
