"""Metrics: statistics of each unit first, scores from their sums.

A resample of the units is scored by weighting their statistics, never by scoring texts again.
"""

from stiltgrid.metrics.accuracy import ACCURACY, POS_ACCURACY
from stiltgrid.metrics.chunks import NER_F1, POS_XGLUE, UDPOS_F1
from stiltgrid.metrics.generation import BLEU, CHRF
from stiltgrid.metrics.metric import Metric
from stiltgrid.metrics.questions import MLQA_EXACT, MLQA_F1, SQUAD_EXACT, SQUAD_F1
from stiltgrid.metrics.ranking import NDCG
from stiltgrid.metrics.retrieval import MINING_F1, RETRIEVAL_ACCURACY
from stiltgrid.metrics.unanswerable import SQUAD2_BEST_EXACT, SQUAD2_BEST_F1, SQUAD2_EXACT, SQUAD2_F1
from stiltgrid.tasks.added import Extended

_OWN: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        ACCURACY,
        NDCG,
        NER_F1,
        POS_ACCURACY,
        POS_XGLUE,
        UDPOS_F1,
        MLQA_F1,
        MLQA_EXACT,
        SQUAD_F1,
        SQUAD_EXACT,
        SQUAD2_BEST_F1,
        SQUAD2_BEST_EXACT,
        SQUAD2_F1,
        SQUAD2_EXACT,
        BLEU,
        CHRF,
        RETRIEVAL_ACCURACY,
        MINING_F1,
    )
}
METRICS: Extended[Metric] = Extended(_OWN, lambda added: added.metrics)
"""The package's metrics and those of the config's extensions, by name."""

__all__ = ["METRICS", "Metric"]
