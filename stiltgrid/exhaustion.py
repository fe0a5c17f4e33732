"""What ran out, memory or disk: told from other errors, with what to change."""

import errno
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError

FULL = (errno.ENOSPC, errno.EDQUOT)


class OutOfMemoryError(StiltgridError):
    """Memory ran out; whatever is as large will fail as well."""


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and those that led to it."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links


def out_of_memory(error: BaseException) -> tuple[str, str] | None:
    """Return where memory ran out, "device" or "host", and the system's words; None for any other error."""
    for link in _chain(error):
        text = str(link).strip()
        device = type(link).__name__ == "OutOfMemoryError" and not isinstance(link, StiltgridError)
        host = isinstance(link, MemoryError) or "DefaultCPUAllocator" in text or "std::bad_alloc" in text
        if device or host or getattr(link, "errno", None) == errno.ENOMEM:
            return "device" if device else "host", text.splitlines()[0] if text else type(link).__name__
    return None


def explain_memory(out: Path, error: Exception, execution: Mapping[str, Any]) -> None:
    """Raise the plain message, with what to change in training, if memory ran out on the device or on the host."""
    found = out_of_memory(error)
    if found is None:
        return
    where, words = found
    ways = []
    if execution.get("micro_batch_size") != 1:
        now = execution.get("micro_batch_size") or "all of the batch that is a device's"
        ways.append(f"lower micro_batch_size (now {now})")
    if not execution.get("gradient_checkpointing"):
        ways.append("set gradient_checkpointing: true")
    if execution.get("strategy") != "zero3":
        ways.append("use strategy: zero3 on several devices")
    elif not execution.get("offload") and where == "device":
        ways.append("set offload: true")
    elif execution.get("offload") and where == "host":
        ways.append("set offload: false")
    if where == "host":
        ways.append("ask for more resources.mem_mb")
    raise OutOfMemoryError(
        f"{out}: out of {where} memory ({words}); in the model's execution, {', or '.join(ways)}: none of them changes "
        "the result"
    ) from error


def explain_prediction_memory(run: str, error: Exception, batch: int | None, gpus: int, mem_mb: int) -> None:
    """Raise the plain message, with what to change in prediction, if memory ran out on the device or on the host.

    Args:
        run: what was predicted, for the message.
        error: what happened.
        batch: `execution.predict_batch_size`; None where the model itself did not fit.
        gpus: what a prediction job asks for.
        mem_mb: what it asks for.
    """
    found = out_of_memory(error)
    if found is None:
        return
    where, words = found
    ways = []
    if batch is not None and batch > 1:
        ways.append(f"lower execution.predict_batch_size (now {batch})")
    if where == "device":
        ways.append(f"raise resources.predict_gpus (now {gpus}; the layers are shared out over them)")
    else:
        ways.append(f"raise resources.predict_mem_mb (now {mem_mb})")
    raise OutOfMemoryError(
        f"{run}: out of {where} memory ({words}); in the model's row, {', or '.join(ways)}; what is predicted "
        "already stays"
    ) from error


def explain_full_disk(out: Path, error: Exception) -> None:
    """Raise the plain message if the system said that the disk, or the user's quota, is full."""
    links = _chain(error)
    text = " ".join(map(str, links))
    numbers = [e.errno for e in links if isinstance(e, OSError)]
    # safetensors raises an error of its own, with the system's number in its text; torch's writer drops the number
    numbers += [int(number) for number in re.findall(r"os error (\d+)", text)]
    if "inline_container" in text:
        numbers.append(_errno_of_writing(out))
    if any(number in FULL for number in numbers):
        free = shutil.disk_usage(out).free
        raise StiltgridError(
            f"{out}: the disk or the quota is full ({free / 1e6:.0f} MB free): {error}; make room, then run the same "
            "command again to go on from the last complete checkpoint"
        ) from error


def _errno_of_writing(out: Path) -> int | None:
    """Return the system's answer to writing a little more."""
    try:
        with tempfile.TemporaryFile(dir=out) as file:
            file.write(bytes(1 << 20))
    except OSError as error:
        return error.errno
    return None
