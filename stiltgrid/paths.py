"""Names of a grid's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stiltgrid.grid import Arm, Cell, DataFile, Run


class Paths:
    """Names of every artifact of a grid, relative to the working folder (DESIGN section 3)."""

    def __init__(self, grid: str) -> None:
        self.root = f"results/{grid}"

    def pretrained(self, model: str) -> str:
        """Phase (i): the manifest of a pretrained model."""
        return f"{self.root}/models/{model}/manifest.json"

    def data(self, file: DataFile) -> str:
        """Examples; the sidecar with the fingerprint has `.json` in place of `.parquet`."""
        return f"{self.root}/data/{file.task}/{file.split}.{file.language}.parquet"

    def text(self, language: str) -> str:
        """Index of a language's plain text for denoising; the sidecar with the fingerprint has `.json`."""
        return f"{self.root}/text/{language}.npy"

    def neighbours(self, target: str) -> str:
        """Neighbours of words, for a target's synonym augmentation; the sidecar with the fingerprint has `.json`."""
        return f"{self.root}/neighbours/{target}.tsv"

    def arm(self, arm: Arm) -> str:
        """Phase (ii): the manifest of an intermediate checkpoint."""
        return f"{self.root}/checkpoints/{arm.model}/{arm.intermediate}/seed{arm.seed}/manifest.json"

    def checkpoint(self, run: Run) -> str:
        """Phase (iii): the manifest of a target checkpoint."""
        return f"{self.root}/checkpoints/{run.model}/{run.intermediate}/{run.target}/seed{run.seed}/manifest.json"

    def _of_run(self, stage: str, run: Run) -> str:
        return f"{self.root}/{stage}/{run.model}/{run.intermediate}/{run.target}/seed{run.seed}"

    def prediction(self, cell: Cell) -> str:
        """One language's predictions."""
        return f"{self._of_run('predictions', cell.run)}/{cell.language}.parquet"

    def score(self, cell: Cell) -> str:
        """One language's scores; per-example statistics lie beside it as `.stats.parquet`."""
        return f"{self._of_run('scores', cell.run)}/{cell.language}.json"

    @property
    def store(self) -> str:
        """The content-addressed store of predictions."""
        return f"{self.root}/store"

    @property
    def scores(self) -> str:
        """Every cell's scores, tidy: the only source of the tables."""
        return f"{self.root}/analysis/scores.parquet"

    def bootstrap(self, target: str) -> str:
        """Every run of a target scored on resamples of its test examples."""
        return f"{self.root}/analysis/bootstrap/{target}.npz"

    @property
    def contrasts(self) -> str:
        """Every declared comparison, estimated."""
        return f"{self.root}/analysis/contrasts.parquet"

    @property
    def headline(self) -> str:
        """The answer to the grid's question."""
        return f"{self.root}/analysis/headline.json"

    @property
    def runs(self) -> str:
        """What every training run cost."""
        return f"{self.root}/analysis/runs.parquet"

    @property
    def training(self) -> str:
        """Losses and dev scores by step."""
        return f"{self.root}/analysis/training.parquet"

    @property
    def figures(self) -> str:
        """The folder of figures."""
        return f"{self.root}/figures"

    @property
    def tables(self) -> str:
        """The folder of tables."""
        return f"{self.root}/tables"

    @property
    def report(self) -> str:
        """The folder of pages for readers and reviewers."""
        return f"{self.root}/report"

    @property
    def explorer(self) -> str:
        """Every cell on one page."""
        return f"{self.report}/explorer.html"
