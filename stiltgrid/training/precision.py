"""Which number format a run computes in: bf16 autocast over float32 weights, or float32; never fp16 (T5 overflows)."""

import contextlib
from typing import Any

from stiltgrid.errors import StiltgridError, nearest


def resolve(precision: str) -> str:
    """Return "bf16" or "fp32" for a recipe's precision; "auto" asks the hardware.

    bf16 is chosen where there are instructions for it (on a CPU AMX tiles or AVX512-BF16): elsewhere it is emulated
    and slower than float32.

    Raises:
        StiltgridError: for anything else, fp16 included.
    """
    if precision in ("bf16", "fp32"):
        return precision
    if precision != "auto":
        raise StiltgridError(f"precision {precision!r}: {nearest(precision, ('auto', 'bf16', 'fp32'))}")
    return "bf16" if computes_bf16() else "fp32"


def computes_bf16() -> bool:
    """Tell whether this machine has instructions for bf16; without them it computes the same, but slowly."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(ask() for ask in asks if ask)


def autocast(resolved: str, device_type: str) -> Any:
    """Return the context in which a model runs."""
    if resolved == "fp32":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(device_type, dtype=torch.bfloat16)
