"""stiltgrid: intermediate-task fine-tuning and zero-shot cross-lingual transfer as a Snakemake workflow."""

__version__ = "0.1.0"
