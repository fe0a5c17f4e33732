"""Energy that a GPU has used, by its own counter (NVML); a machine without one measures nothing, and says None.

The counter (`nvmlDeviceGetTotalEnergyConsumption`, Volta and newer) is the whole board's, in millijoules from when the
driver was loaded: what other processes use on the same board at the same time is in it. Hosts are not measured.
"""

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger(__name__)


def used_devices() -> list[int]:
    """Return the GPUs on which this process holds tensors, not all that it sees: a workstation's others are idle."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [device for device in range(torch.cuda.device_count()) if torch.cuda.memory_allocated(device)]


def _handles(every: bool) -> list[Any]:
    """Return NVML's handles of this process's GPUs: the current one, or every one in use; none where NVML has none."""
    import torch

    if not torch.cuda.is_available():
        return []
    try:
        import pynvml
    except ImportError as error:
        log.info("energy is not measured: %s", error)
        return []
    try:
        pynvml.nvmlInit()
        devices = used_devices() if every else [torch.cuda.current_device()]
        # by UUID: NVML does not know CUDA_VISIBLE_DEVICES, which numbers this process's devices
        names = [str(torch.cuda.get_device_properties(device).uuid) for device in devices]
        return [
            pynvml.nvmlDeviceGetHandleByUUID(name if name.startswith(("GPU-", "MIG-")) else f"GPU-{name}")
            for name in names
        ]
    except pynvml.NVMLError as error:
        log.info("energy is not measured: %s", error)
        return []


def device_name() -> str:
    """Return the name of this process's GPU, `cpu` without one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


class Meter:
    """Joules that GPUs of this process have used since the meter was made.

    Args:
        earlier: joules of the processes that this one goes on from; None: they were not measured, so the whole is not.
        every: all GPUs that hold the process's tensors when the meter is made; else the current one, as each rank of a
            training run has its own.
    """

    def __init__(self, earlier: float | None = 0.0, *, every: bool = False) -> None:
        self.earlier = earlier
        self._devices = _handles(every)
        self._start = self._counters()

    def _counters(self) -> float | None:
        if not self._devices:
            return None
        import pynvml

        try:
            return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(device) for device in self._devices) / 1000
        except pynvml.NVMLError as error:  # a board without the counter, or a partition of one
            log.info("energy is not measured: %s", error)
            self._devices = []
            return None

    def joules(self) -> float | None:
        """Return what was used until now, earlier processes included; None if any part was not measured."""
        now = self._counters()
        if now is None or self._start is None or self.earlier is None:
            return None
        return self.earlier + now - self._start


def together(parts: Sequence[float | None]) -> float | None:
    """Return the energy of several devices; None if one was not measured.

    >>> together([1.5, 2.0]), together([1.5, None])
    (3.5, None)
    """
    return None if None in parts else float(sum(p for p in parts if p is not None))
