"""The colour of a gain: blue above zero, orange below, as strong as the gain is large, on one scale a table."""

from collections.abc import Iterable

BLUE, ORANGE = (0x43, 0x93, 0xC3), (0xE0, 0x8A, 0x3C)
STRONGEST = 0.65
"""Share of the colour at the end of the scale; the rest is white, so that black figures stay legible in print."""


def limit(gains: Iterable[float]) -> float:
    """Return the end of the symmetric scale: the largest gain or loss; 0 if there is none."""
    return max(map(abs, gains), default=0.0)


def shade(gain: float, end: float) -> str:
    """Return the colour of a gain, six hex digits; empty for one that is as good as white.

    Args:
        gain: in points.
        end: of the scale, from `limit`.

    >>> shade(2.0, 2.0), shade(-1.0, 2.0), shade(0.0, 2.0)
    ('85B9D8', 'F5D9C0', '')
    """
    share = STRONGEST * min(abs(gain) / end, 1.0) if end else 0.0
    tint = BLUE if gain > 0 else ORANGE
    mixed = "".join(f"{round(255 + share * (part - 255)):02X}" for part in tint)
    return "" if mixed == "FFFFFF" else mixed
