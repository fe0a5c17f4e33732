"""The offline miniature: a toy world of four languages in the original file layouts, and tiny mT5-like models."""
