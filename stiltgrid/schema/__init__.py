"""The blocks of a config: every key, its default and its meaning, and the checks between keys.

`docs/config.md` is generated from the descriptions here (`make docs`).
"""

from stiltgrid.schema.analysis import Analysis, Power, SubmissionOptions
from stiltgrid.schema.arms import DenoisingText, Intermediate, Mixing, Robust, Target
from stiltgrid.schema.block import Block, Name
from stiltgrid.schema.config import Config, blocks
from stiltgrid.schema.models import Cost, Execution, Model, Resources
from stiltgrid.schema.retrieval import ResolvedRetrieval, Retrieval, RetrievalOverride
from stiltgrid.schema.sources import Hub, Source
from stiltgrid.schema.training import Lora, Training, TrainingOverride

__all__ = [
    "Analysis",
    "Block",
    "Config",
    "Cost",
    "DenoisingText",
    "Execution",
    "Hub",
    "Intermediate",
    "Lora",
    "Mixing",
    "Model",
    "Name",
    "Power",
    "ResolvedRetrieval",
    "Resources",
    "Retrieval",
    "RetrievalOverride",
    "Robust",
    "Source",
    "SubmissionOptions",
    "Target",
    "Training",
    "TrainingOverride",
    "blocks",
]
