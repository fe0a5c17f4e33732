"""What the benchmarks share: clocks, machine facts, Markdown tables.

Figures are CPU seconds first: on a machine that other work shares, wall time says how busy the neighbours were.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

CHECKOUT = Path(__file__).resolve().parents[1]
FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


class Seconds(NamedTuple):
    """Time that a piece of work took: of all its threads on a CPU, and on the clock."""

    cpu: float
    wall: float


def timed(work: Callable[[], Any]) -> tuple[Any, Seconds]:
    """Return what `work` returns and the time it took in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def timed_command(
    command: Sequence[str],
    cwd: Path,
    env: dict[str, str],
    log: Path,
    milestone: Callable[[], bool] | None = None,
) -> tuple[Seconds, Seconds | None]:
    """Run a command to its end.

    Args:
        command: program and arguments.
        cwd: working folder.
        env: environment.
        log: receives standard output and error.
        milestone: asked every 5 ms until it is true; the time up to then is returned too.

    Returns:
        CPU and wall seconds of the process with the children it waited for, in all and up to the milestone (None if
        there is none, or it never came).

    Raises:
        SystemExit: if the command failed, with the end of its log.
    """
    with log.open("w") as handle:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=handle, stderr=subprocess.STDOUT)
        reached = None
        while milestone is not None and reached is None:
            done = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if milestone():
                reached = Seconds(cpu_of(process.pid), time.perf_counter() - started)
            elif done is not None:
                break
            time.sleep(0.005)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}\n{log.read_text()[-3000:]}")
    return Seconds(usage.ru_utime + usage.ru_stime, wall), reached


def cpu_of(process: int) -> float:
    """Return the CPU seconds of a running process so far (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held() -> int:
    """Return this process's resident bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def most_held(*, by: int = resource.RUSAGE_SELF) -> int:
    """Return the most bytes that were resident so far (Linux): of this process, or of its largest child that ended."""
    return resource.getrusage(by).ru_maxrss * 1024


def medians(runs: Iterable[Seconds]) -> Seconds:
    """Return the median CPU and the median wall seconds of several runs."""
    cpu, wall = zip(*runs, strict=True)
    return Seconds(statistics.median(cpu), statistics.median(wall))


def ratio(base: Sequence[Seconds], found: Sequence[Seconds]) -> float:
    """Return how many times as much CPU `base` takes: the median over repeats, each compared with its own neighbour."""
    return statistics.median(b.cpu / f.cpu for b, f in zip(base, found, strict=True))


def spread(values: Sequence[float]) -> str:
    """Return the lowest and the highest of some values as text."""
    return f"{min(values):.3g} to {max(values):.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine(*packages: str) -> str:
    """Return one line on the machine: CPU, cores, number formats, load, versions of packages, day."""
    name, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line.partition(":") for line in info.read_text().splitlines()]
        facts = {key.strip(): value.strip() for key, _, value in lines}
        name, flags = facts.get("model name", name), facts.get("flags", "")
    formats = [flag for flag in FLAGS if flag in flags.split()]
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{date.today()}; {name}, {os.cpu_count()} cores, {' '.join(formats) or 'no vector formats known'}; "
        f"load average {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}"
    )


def environment() -> dict[str, str]:
    """Return this process's environment with this checkout's package and one thread a process."""
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def parser(doc: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser whose `--help` shows a benchmark's docstring and examples."""
    first, _, rest = doc.partition("\n")
    epilog = f"{rest.strip()}\n\nexamples:\n{examples}"
    shape = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=first, epilog=epilog, formatter_class=shape)
