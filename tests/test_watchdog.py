"""Ranks that watch each other: who is no rank disturbs nobody, and only an end without a farewell ends the others."""

import select
import socket
import threading

import pytest

from stiltgrid.training import watchdog
from stiltgrid.training.watchdog import Watchdog, accepted, joined

SECRET = b"0123456789abcdef"


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def left(monkeypatch):
    """Why ranks would have ended themselves."""
    reasons: list[str] = []
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(Watchdog, "_leave", lambda self, why: reasons.append(why))
    return reasons


def meeting(server, *strangers, ranks=3):
    """Strangers connect before the ranks do; return the first rank's connections and the others'."""
    port = server.getsockname()[1]
    for stranger in strangers:
        stranger(port)
    found: dict[int, socket.socket | None] = {}

    def join(rank):
        found[rank] = joined("127.0.0.1", port, SECRET, rank)

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(1, ranks)]
    for thread in threads:
        thread.start()
    peers = accepted(server, SECRET, ranks - 1)
    server.close()
    for thread in threads:
        thread.join()
    return peers, found


def watching(own, tmp_path):
    """Return a watchdog and its threads."""
    before = set(threading.enumerate())
    dog = Watchdog(tmp_path, 0, own)
    return dog, [t for t in threading.enumerate() if t not in before]


def ended(threads):
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_strangers_are_sent_away_and_every_rank_is_connected(server, monkeypatch):
    """A scan of ports: one says nothing, one breaks off, one says something else."""
    monkeypatch.setattr(watchdog, "HELLO_SECONDS", 0.1)
    kept = []

    def silent(port):
        kept.append(socket.create_connection(("127.0.0.1", port)))

    def rude(port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset

    def other(port):
        kept.append(socket.create_connection(("127.0.0.1", port)))
        kept[-1].sendall(b"GET / HTTP/1.1\r\n\r\n............")

    peers, found = meeting(server, silent, rude, other)
    assert set(peers) == {1, 2} and all(found.values())
    for connection in (*kept, *peers.values(), *found.values()):
        connection.close()


def test_a_rank_that_the_first_never_took_up_watches_nobody(server):
    """It is connected, for the system does that; then the port is closed."""
    found = []
    rank = threading.Thread(target=lambda: found.append(joined("127.0.0.1", server.getsockname()[1], SECRET, 1)))
    rank.start()
    # it has been connected, and has spoken, before the port is closed
    select.select([server], [], [], 60)
    server.close()
    rank.join(timeout=60)
    assert found == [None]


def test_a_rank_that_gave_up_waiting_is_not_taken_for_dead(server, monkeypatch, left, tmp_path):
    """The first rank was stopped for longer than the others waited; it finds the connection, and the farewell on it."""
    monkeypatch.setattr(watchdog, "CONNECT_SECONDS", 0.1)
    assert joined("127.0.0.1", server.getsockname()[1], SECRET, 1) is None
    monkeypatch.setattr(watchdog, "CONNECT_SECONDS", 60.0)
    peers = accepted(server, SECRET, 1)
    for connection in peers.values():
        connection.settimeout(None)
    _, threads = watching(peers, tmp_path)
    ended(threads)
    assert left == []


def test_an_end_with_a_farewell_is_none_and_one_without_is(left, tmp_path):
    for farewell in (True, False):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            theirs = socket.create_connection(listening.getsockname())
            mine, _ = listening.accept()
        _, threads = watching({1: mine}, tmp_path)
        other = Watchdog(tmp_path, 1, {})
        other.peers = {0: theirs}
        if farewell:
            other.stop()
        theirs.close()
        ended(threads)
        assert len(left) == (not farewell)
    assert left == ["rank 1 ended without a word: killed, by the system perhaps for want of host memory"]


def test_a_node_that_is_silent_for_a_minute_is_not_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        mine, _ = listening.accept()
    dog, threads = watching({1: mine}, tmp_path)
    asked = {name: mine.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in watchdog.PROBES}
    assert asked["TCP_KEEPINTVL"] * asked["TCP_KEEPCNT"] >= 120 and mine.getsockopt(
        socket.SOL_SOCKET, socket.SO_KEEPALIVE
    )
    dog.over = True
    theirs.close()
    ended(threads)


def test_the_groups_wait_for_longer_than_the_libraries_would(monkeypatch):
    """The first rank may be moving weights for a quarter of an hour, with all others in a collective call."""
    import torch.distributed as dist

    from stiltgrid.training import fit

    asked = {}
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(dist, "is_initialized", lambda: False)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: asked.update(ddp=timeout))
    fit.start_ranks({"strategy": "ddp"})
    assert asked["ddp"].total_seconds() >= 3600
