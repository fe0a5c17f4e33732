"""Host memory of each rank while a model is loaded, and saved, under ZeRO-3 on CPU ranks.

    python benchmarks/loading.py
    python benchmarks/loading.py --ranks 4 --gigabytes 2

A randomly initialised mT5 is written in files of at most 250 MB. Then a fresh process a rank loads it, by this
package's path (each rank reads its own ranges) and by the library's (the first rank reads all), and saves it again,
tensor by tensor. Reported for each rank is the highest resident memory beyond what the process held before; pages of a
mapped file count while they are mapped. The C library is told to give freed tensors back at once, as it does by itself
with those of mT5-XXL, which are larger than 32 MB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measure import held

PATHS = ("ranges", "library")
FILES = 250_000_000


def peak() -> int:
    """Return the highest resident bytes since `forget`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def forget() -> int:
    """Let the peak begin anew; return what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return held()


def build(folder: Path, gigabytes: float) -> dict[str, int]:
    """Write the model; return its bytes, and those of its largest tensor."""
    import torch
    from transformers import MT5Config

    from stiltgrid import sharded
    from stiltgrid.models import UntiedMT5, save_model

    torch.manual_seed(0)
    wide = {"d_model": 1024, "d_kv": 64, "d_ff": 2816, "num_heads": 16, "vocab_size": 16384}
    layers = max(1, round((gigabytes * 2.5e8 - 2 * 16384 * 1024) / 29.4e6))
    model = UntiedMT5(MT5Config(num_layers=layers, num_decoder_layers=layers, decoder_start_token_id=0, **wide))
    sharded.SHARD_BYTES = FILES
    save_model(model, folder)
    small = {**wide, "d_model": 64, "d_ff": 64, "vocab_size": 64}
    save_model(UntiedMT5(MT5Config(num_layers=1, num_decoder_layers=1, **small)), folder.with_name("small"))
    sizes = [parameter.numel() * 4 for parameter in model.parameters()]
    return {"bytes": sum(sizes), "largest": max(sizes)}


def rank(folder: Path, path: str, out: Path) -> None:
    """Load and save on this rank, under torchrun; write what it took."""
    import torch
    import torch.distributed as dist
    from transformers.integrations import HfDeepSpeedConfig

    from stiltgrid import models, sharded
    from stiltgrid.training.arguments import prepare_deepspeed

    torch.set_num_threads(1)
    prepare_deepspeed(cpu=True)
    if path == "library":
        sharded.load = lambda *_, **__: None
        models.check_head = lambda *_: None
    kept = HfDeepSpeedConfig({"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3}})
    sharded.SHARD_BYTES = FILES
    me = dist.get_rank()
    # what the libraries load on their first use is not the model's
    models.load_text2text(folder.with_name("small"))
    first = forget()
    model = models.load_text2text(folder)
    found = {"loading": peak() - first, "loaded": held() - first}
    dist.barrier()
    before = forget()
    models.save_model(model, out / "saved", write=me == 0)
    found["saving"] = peak() - before
    (out / f"{path}{me}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
    del kept


def measure(ranks: int, gigabytes: float, paths: Sequence[str] = PATHS) -> dict:
    """Return the model's size and each path's figures by rank, in bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = json.loads(_run([__file__, "--build", str(folder / "model"), "--gigabytes", str(gigabytes)]))
        found = {}
        for path in paths:
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
            _run([*torchrun, __file__, "--path", path, "--model", str(folder / "model"), "--out", name])
            found[path] = [json.loads((folder / f"{path}{k}.json").read_text()) for k in range(ranks)]
        return {**size, "ranks": ranks, "paths": found}


def _run(arguments: list[str]) -> str:
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-4000:])
    return done.stdout.splitlines()[-1] if done.stdout else ""


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ranks", type=int, default=2, help="default: 2")
    options.add_argument("--gigabytes", type=float, default=1.0, help="about the model's size in float32; default: 1")
    for hidden in ("--build", "--path", "--model", "--out"):
        options.add_argument(hidden, help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.build:
        print(json.dumps(build(Path(args.build), args.gigabytes)))
    elif args.path:
        rank(Path(args.model), args.path, Path(args.out))
    else:
        found = measure(args.ranks, args.gigabytes)
        total, mb = found["bytes"], 1e6
        print(
            f"P = {total / mb:.0f} MB, P / ranks = {total / found['ranks'] / mb:.0f} MB, largest tensor "
            f"{found['largest'] / mb:.0f} MB\n"
        )
        print("| path | rank | peak in loading, MB | of P | held after, MB | peak in saving, MB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for path, ranks in found["paths"].items():
            for number, one in enumerate(ranks):
                loading, loaded, saving = (one[key] / mb for key in ("loading", "loaded", "saving"))
                share = one["loading"] / total
                print(f"| {path} | {number} | {loading:.0f} | {share:.2f} | {loaded:.0f} | {saving:.0f} |")


if __name__ == "__main__":
    main()
