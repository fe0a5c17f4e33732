"""A SLURM of one controller and two nodes on this machine, without accounting, munge or root, in a temporary folder."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from getpass import getuser
from pathlib import Path

TOOLS = ("sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol", "sacct", "sacctmgr", "sshare")
DAEMONS = ("slurmctld", "slurmd")

CONFIGURATION = """
ClusterName=stiltgrid
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=5
MinJobAge=3600
KillWait=60
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=16000 Gres=gpu:toy:1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=16000 Gres=gpu:toy:1
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""
# a character device that every machine has stands for the GPU; nothing opens it
DEVICES = "NodeName=n[1-2] Name=gpu Type=toy File=/dev/null\n"


def missing() -> str:
    """Return why no cluster can be started here, or nothing."""
    lacking = [name for name in (*DAEMONS, "sbatch", "srun", "squeue") if find(name) is None]
    return f"{', '.join(lacking)} not installed (Debian: apt-get install slurm-wlm)" if lacking else ""


def find(name: str) -> str | None:
    """Return a program's path; daemons lie where a user's PATH may not look."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on now, below those that the system gives to others meanwhile."""
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(31000, 32700)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found += [] if port in found else [port]
    return found


class Cluster:
    """The cluster's daemons and the environment in which its commands work.

    Args:
        folder: an empty folder with a short path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        for name in ("state", "spool.n1", "spool.n2", "bin"):
            (folder / name).mkdir()
        text = CONFIGURATION.format(folder=folder, user=getuser(), ports=free_ports(3))
        (folder / "slurm.conf").write_text(text, encoding="utf-8")
        (folder / "gres.conf").write_text(DEVICES, encoding="utf-8")
        # Snakemake's job step drops every SLURM_* variable, SLURM_CONF too: the commands themselves must set it
        for name in filter(find, TOOLS):
            shim = folder / "bin" / name
            shim.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {find(name)} "$@"\n', encoding="utf-8")
            shim.chmod(0o755)

    def __enter__(self) -> "Cluster":
        try:
            self.start("slurmctld")
            for node in ("n1", "n2"):
                self.start("slurmd", node)
            deadline = time.monotonic() + 300
            while (states := self.ask("sinfo", "-h", "-p", "main", "-N", "-o", "%t").split()) != ["idle", "idle"]:
                assert time.monotonic() < deadline, f"{states}\n{self.logs()}"
                time.sleep(0.2)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self.processes:
            self.ask("scancel", "--user", getuser())
            deadline = time.monotonic() + 60
            while self.ask("squeue", "-h", "-o", "%i").strip() and time.monotonic() < deadline:
                time.sleep(0.5)
        for name in reversed(list(self.processes)):
            self.stop(name)
        # what a cluster with control groups ends by itself
        for pid in self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start(self, daemon: str, node: str = "") -> None:
        """Start a daemon in the foreground of a process of its own, which is ended by its id."""
        with (self.folder / f"{daemon}{node}.out").open("ab") as out:
            self.processes[node or daemon] = subprocess.Popen(
                [find(daemon), "-D", *(("-N", node) if node else ())],
                env={**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """End a daemon: `slurmctld`, `n1` or `n2`."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def left(self) -> list[int]:
        """Return the processes of jobs: those that were given the commands of this cluster, within a job."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "environ").read_bytes().split(b"\0")
                if any(word.startswith(b"SLURM_JOB_ID=") for word in words) and any(
                    word.startswith(b"PATH=") and bytes(self.folder / "bin") in word for word in words
                ):
                    found.append(int(folder.name))
        return found

    def tool(self, name: str) -> str:
        """Return a command that talks to this cluster."""
        return str(self.folder / "bin" / name)

    def ask(self, name: str, *arguments: str) -> str:
        """Return what a command printed, or nothing if it failed."""
        command = [self.tool(name), *arguments]
        with suppress(subprocess.TimeoutExpired):  # the machine may be busy with other things
            return subprocess.run(command, text=True, capture_output=True, check=False, timeout=60).stdout
        return ""

    def logs(self) -> str:
        """Return the ends of the daemons' logs."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))
