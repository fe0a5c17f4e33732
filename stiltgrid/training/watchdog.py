"""Ranks that notice at once that another one is no more, and do not wait for it.

A rank that is killed leaves the others in a collective call. gloo sees the closed connection; NCCL waits until the
group's timeout, an hour, in code that no signal interrupts, and torchrun gives processes that it told to stop a
quarter of an hour to save. So each rank keeps a connection to the first, on which nothing is sent but a farewell: the
system closes it when a process dies, and asks every ten seconds whether a silent node is still there.
"""

import os
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from stiltgrid.artifacts import write_json
from stiltgrid.training import checkpoints

GRACE_SECONDS = 20.0
"""How long a rank that was left has to end by itself, with an error of its own that says more."""
PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 12}
"""A silent connection is asked every 10 s: a node that fails to answer for two minutes is gone. A switch that starts
anew is away for one, and training, over another network, goes on meanwhile. (Systems answer for stopped processes.)"""
CONNECT_SECONDS = 60.0
HELLO_SECONDS = 5.0
"""What a connection may take to say who it is."""
WELCOME, FAREWELL = b"!", b"."


class Watchdog:
    """This rank's connections, each watched by a thread that waits for its end.

    Args:
        out: the run's folder, for the note.
        rank: this process's.
        peers: connections by the other's rank.
    """

    def __init__(self, out: Path, rank: int, peers: dict[int, socket.socket]) -> None:
        self.out, self.rank, self.peers, self.over = out, rank, peers, False
        for other, connection in peers.items():
            for name, value in PROBES.items():
                if hasattr(socket, name):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            threading.Thread(target=self._watch, args=(other, connection), name="watchdog", daemon=True).start()

    def _watch(self, other: int, connection: socket.socket) -> None:
        why = f"rank {other} ended without a word: killed, by the system perhaps for want of host memory"
        try:
            if connection.recv(1) == FAREWELL:
                return
        except ConnectionResetError:
            pass
        except OSError as error:
            why = f"the node of rank {other} does not answer any more ({error.strerror or error})"
        if self.over:
            return
        time.sleep(GRACE_SECONDS)
        if not self.over:
            self._leave(why)

    def _leave(self, why: str) -> None:
        """End this process, which may be in a call that nothing else ends."""
        note = self.out / "failed.json"
        try:
            if self.rank == 0:
                checkpoints.drop_unfinished(self.out)
            if not note.exists():
                reason = f"{self.out}: {why}; run again"
                when = datetime.now(UTC).isoformat(timespec="seconds")
                write_json(note, {"reason": reason, "when": when, "log": os.environ.get("STILTGRID_LOG")})
            print(f"rank {self.rank}: {why}; ending", file=sys.stderr, flush=True)
        finally:
            os._exit(1)

    def stop(self) -> None:
        """Say farewell: what follows is the end of all ranks."""
        self.over = True
        for connection in self.peers.values():
            try:
                connection.sendall(FAREWELL)
            except OSError:
                continue  # it was faster


def watch(out: Path, rank: int, ranks: int) -> Watchdog:
    """Connect all ranks to the first; every rank calls this, within the process group.

    Where a connection cannot be made the run goes on, and says so.
    """
    from stiltgrid.training.fit import share_from_first

    server = socket.create_server(("", 0), backlog=ranks) if rank == 0 else None
    port, secret = share_from_first((server.getsockname()[1], secrets.token_bytes(16)) if server else None)
    if server is not None:
        with server:
            peers = accepted(server, secret, ranks - 1)
        lacking = sorted(set(range(1, ranks)) - set(peers))
    else:
        connection = joined(os.environ["MASTER_ADDR"], port, secret, rank)
        peers = {} if connection is None else {0: connection}
        lacking = [] if peers else [0]
    if lacking:
        lost = f"rank {rank}: no connection to {', '.join(map(str, lacking))}: noticed late, should they be killed"
        print(lost, file=sys.stderr, flush=True)
    for connection in peers.values():
        connection.settimeout(None)
    return Watchdog(out, rank, peers)


def accepted(server: socket.socket, secret: bytes, expected: int) -> dict[int, socket.socket]:
    """Return the connections of other ranks, by rank.

    Whoever else finds the port, and says nothing or something else, is sent away.

    Args:
        server: listens.
        secret: what ranks say first, before their number in four bytes.
        expected: how many there are; fewer are returned where some do not come in time.
    """
    peers: dict[int, socket.socket] = {}
    deadline = time.monotonic() + CONNECT_SECONDS
    while len(peers) < expected and (left := deadline - time.monotonic()) > 0:
        server.settimeout(left)
        try:
            connection, _ = server.accept()
        except OSError:
            break
        try:
            connection.settimeout(HELLO_SECONDS)
            said = connection.recv(len(secret) + 4, socket.MSG_WAITALL)
            if said[: len(secret)] == secret and len(said) == len(secret) + 4:
                connection.sendall(WELCOME)
                peers[int.from_bytes(said[len(secret) :], "big")] = connection
                continue
        except OSError:
            pass
        connection.close()
    return peers


def joined(address: str, port: int, secret: bytes, rank: int) -> socket.socket | None:
    """Return the connection to the first rank; None if there is none, or nobody there knows of it.

    Only a welcome makes it one: what the first rank never took up is closed with its port, and nobody is dead then.
    """
    try:
        connection = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
    except OSError:
        return None
    try:
        connection.sendall(secret + rank.to_bytes(4, "big"))
        if connection.recv(1) == WELCOME:
            return connection
        connection.sendall(FAREWELL)  # should the first rank take it up after all
    except OSError:
        with suppress(OSError):
            connection.sendall(FAREWELL)
    connection.close()
    return None
