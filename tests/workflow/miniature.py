"""A grid small enough to run whole in a test: real Snakemake and scripts, a real tiny mT5, original layouts."""

import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHECKOUT = ["Snakefile", "rules", "workflow", "stiltgrid", "profiles", "envs", "report"]

CONFIG: dict[str, Any] = {
    "grid": "mini",
    "seeds": 1,
    "sources": {
        "xglue": {"path": "source/xglue_full_dataset"},
        "intermediate/mnli": {"path": "source/MNLI", "layout": "glue"},
        "intermediate/qqp": {"path": "source/QQP", "layout": "glue"},
    },
    "training": {
        "epochs": None,
        "max_steps": 6,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "selection": "last_step",
        "evaluations": 0,
        "dev_examples": 12,
        "precision": "fp32",
    },
    "models": {"tiny": {"source": "./model", "title": "Tiny", "resources": {"mem_mb": 1000}}},
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
    "targets": {
        "xnli": {"task": "xglue/xnli", "languages": ["en", "de"]},
        "pos": {"task": "xglue/pos", "languages": ["en", "fr"]},
    },
}


class Miniature:
    """A working folder with a checkout, sources, a model and a config.

    Args:
        folder: an empty or missing folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = deepcopy(CONFIG)
        self.goal = "all"  # the target of runs and plans that name none; "tables" spares a test figures and pages

    @classmethod
    def fresh(cls, folder: Path) -> "Miniature":
        """Make the folder's content: a copy of this checkout, the demo's sources in small, the tests' tiny mT5."""
        import tiny

        from stiltgrid.demo.world import Sizes, write_sources

        (folder / "checkout").mkdir(parents=True)
        for name in CHECKOUT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, folder / "checkout" / name)
        train = {f"{name}_train": 60 for name in ("xnli", "pawsx", "pos", "nc", "mnli", "qqp")}
        small = Sizes(**train, dev=12, test=15)
        write_sources(folder / "source", sizes=small)
        tiny.save_mt5(folder / "model")
        return cls(folder)

    def copy(self, folder: Path) -> "Miniature":
        """Return an independent copy, times and Snakemake's records kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        twin = Miniature(folder)
        twin.config, twin.goal = deepcopy(self.config), self.goal
        return twin

    def command(self, *arguments: str) -> list[str]:
        """Return the snakemake command line; the config is written first."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.folder / "checkout" / "Snakefile")),
            *("--configfile", "config.yaml", "--cores", "2", *arguments),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment of a run: one thread a process, the interpreter's own scripts first."""
        return os.environ | {
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
        }

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run snakemake for some targets, else for the goal, and return what it printed; asserts its exit status."""
        return self._snakemake(*(arguments or [self.goal]), fails=fails)

    def _snakemake(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return done.stdout

    def planned(self, *arguments: str) -> dict[str, int]:
        """Return the jobs that a dry run for some targets, else for the goal, lists, by rule."""
        text = self._snakemake("--dry-run", *(arguments or [self.goal]))
        if "Nothing to be done" in text:
            return {}
        table = text.rsplit("Job stats:", 1)[1].split("Reasons:")[0]
        jobs = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}
        return {rule: count for rule, count in jobs.items() if rule not in ("total", "all", "tables")}

    def with_tables(self, jobs: dict[str, int]) -> dict[str, int]:
        """Return jobs with what follows scores that are made again, up to the goal: each target is resampled once."""
        scored = sum(name.startswith("score_") for name in jobs)
        pages = {"figures": 1, "explorer": 1, "report_pages": 1} if self.goal == "all" else {}
        after = {"collect": 1, "runs": 1, "contrasts": 1, "build_tables": 1, **pages}
        return jobs | after | ({"bootstrap": scored} if scored else {})

    def path(self, below: str) -> Path:
        """Return a path below results/mini."""
        return self.folder / "results" / "mini" / below

    def log(self, below: str) -> str:
        """Return a job's log."""
        return self.path(f"logs/{below}.log").read_text(encoding="utf-8")
