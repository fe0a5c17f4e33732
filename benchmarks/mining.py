"""Ratio-margin mining of two large sides by exact blocked search: time and peak memory.

Two sides of `--sentences` random unit vectors are mined in both directions with four neighbours. The products grow with
the square of the sentences, the memory with the sentences: what a search of `--target` sentences a side takes is
reckoned from the slice that is measured, and is no measurement. With `--seconds` a search of that size is begun as
well and stopped after so long: its memory is measured then, for every block takes the same.
"""

import signal
from types import FrameType

import numpy as np
from measure import held, machine, most_held, parser, table, timed

from stiltgrid.retrieve.mining import mine

EXAMPLES = """  python benchmarks/mining.py
  python benchmarks/mining.py --sentences 40000 --size 384
  python benchmarks/mining.py --target 500000 --seconds 120
"""


class OverError(Exception):
    """The time of a search is over."""


def vectors(number: int, size: int, seed: int) -> np.ndarray:
    """Return random vectors of length 1, float32, made block by block so that no float64 copy exists."""
    rng = np.random.default_rng(seed)
    found = np.empty((number, size), dtype=np.float32)
    for start in range(0, number, 4096):
        block = rng.standard_normal((min(4096, number - start), size), dtype=np.float32)
        found[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return found


def memory_of(number: int, size: int, seconds: int) -> list[str]:
    """Begin a search of two sides, stop it, and return a row of the table: its memory so far."""

    def over(_: int, __: FrameType | None) -> None:
        raise OverError

    base = held()
    x, y = (vectors(number, size, seed) for seed in (0, 1))
    stored = (x.nbytes + y.nbytes) / 1e6
    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        mine(x, y, 4)
    except OverError:
        basis = f"measured, stopped after {seconds} s"
    else:
        basis = "measured"
    signal.alarm(0)
    beside = max(most_held() - base, 0) / 1e6 - stored
    return [f"{number:,}", f"{stored:.0f}", f"{beside:.0f}", "", "", basis]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--sentences", type=int, default=20_000, help="of each side")
    options.add_argument("--size", type=int, default=1024, help="numbers of a vector; XLM-R Large has 1,024")
    options.add_argument("--target", type=int, default=500_000, help="sentences of each side to tell the costs of")
    options.add_argument("--seconds", type=int, default=0, help="begin a search of --target sentences for so long")
    args = options.parse_args()
    base = most_held()
    x, y = (vectors(args.sentences, args.size, seed) for seed in (0, 1))
    stored = (x.nbytes + y.nbytes) / 1e6
    pairs, spent = timed(lambda: mine(x, y, 4))
    beside = (most_held() - base) / 1e6 - stored
    times = (args.target / args.sentences) ** 2
    print(machine("numpy"), end="\n\n")
    print(
        table(
            ["sentences a side", "vectors MB", "beside them MB", "CPU s", "wall s", "basis"],
            [
                [
                    f"{args.sentences:,}",
                    f"{stored:.0f}",
                    f"{beside:.0f}",
                    f"{spent.cpu:.0f}",
                    f"{spent.wall:.0f}",
                    "measured",
                ],
                [
                    f"{args.target:,}",
                    f"{stored * args.target / args.sentences:.0f}",
                    f"{beside:.0f} + {0.2 * args.target / 1e3:.0f}",
                    f"{spent.cpu * times:.0f}",
                    f"{spent.wall * times:.0f}",
                    "reckoned",
                ],
                *([memory_of(args.target, args.size, args.seconds)] if args.seconds else []),
            ],
        )
    )
    print(f"\n{len(pairs):,} pairs. Blocks take the same memory however many sentences there are.")


if __name__ == "__main__":
    main()
