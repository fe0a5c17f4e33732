"""Ranks that notice at once that another one is no more, and do not wait for it.

A rank that is killed leaves the others in a collective call. gloo sees the closed connection; NCCL waits until the
group's timeout, half an hour, in code that no signal interrupts, and torchrun gives processes that it told to stop a
quarter of an hour to save. So each rank keeps a connection to the first, on which nothing is sent but a farewell: the
system closes it when a process dies, and asks every few seconds whether a silent node is still there.
"""

import os
import secrets
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from stiltgrid.artifacts import write_json
from stiltgrid.training import checkpoints

GRACE_SECONDS = 20.0
"""How long a rank that was left has to end by itself, with an error of its own that says more."""
PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A connection without traffic is asked after 10 s, then every 5 s; a node that fails to answer three times is gone."""
CONNECT_SECONDS = 60.0
FAREWELL = b"."


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
        try:
            if connection.recv(1) == FAREWELL:
                return
        except OSError:
            pass
        if self.over:
            return
        time.sleep(GRACE_SECONDS)
        self._leave(f"rank {other} ended without a word")

    def _leave(self, why: str) -> None:
        """End this process, which may be in a call that nothing else ends."""
        note = self.out / "failed.json"
        try:
            if self.rank == 0:
                checkpoints.drop_unfinished(self.out)
            if not note.exists():
                reason = f"{self.out}: {why}: killed, by the system perhaps for want of host memory; run again"
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
    peers: dict[int, socket.socket] = {}
    try:
        if server is None:
            peers[0] = socket.create_connection((os.environ["MASTER_ADDR"], port), timeout=CONNECT_SECONDS)
            peers[0].sendall(secret + rank.to_bytes(4, "big"))
        else:
            server.settimeout(CONNECT_SECONDS)
            while len(peers) < ranks - 1:
                connection, _ = server.accept()
                connection.settimeout(CONNECT_SECONDS)
                said = connection.recv(20, socket.MSG_WAITALL)
                if said[:16] == secret:  # else a stranger
                    peers[int.from_bytes(said[16:], "big")] = connection
    except OSError as error:
        lost = f"rank {rank}: no connection between ranks ({error}): one that is killed is noticed late"
        print(lost, file=sys.stderr, flush=True)
    finally:
        if server is not None:
            server.close()
    for connection in peers.values():
        connection.settimeout(None)
    return Watchdog(out, rank, peers)
