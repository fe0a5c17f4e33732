"""Examples to model input and model output to predictions, one module a model family.

Both families keep one interface of plain functions:

- `check(setup)` raises if a task cannot be put to this family;
- `encode(setup, task, examples, labelled)` gives features;
- `collate(setup, features)` gives a batch of tensors;
- `log_probabilities(setup, model, task, batch)` gives, for each feature, one row of scores a unit;
- `features.decode(...)`, shared, turns these into predictions.
"""

from types import ModuleType

from stiltgrid.errors import StiltgridError, nearest

VERSION = 1  # part of the key of stored predictions: raise it when the text given to a model changes


def formulation(family: str) -> ModuleType:
    """Return the module of a model family.

    Raises:
        StiltgridError: if there is no such family.
    """
    if family == "text2text":
        from stiltgrid.formulations import text2text

        return text2text
    if family == "heads":
        from stiltgrid.formulations import heads

        return heads
    raise StiltgridError(f"model family {family!r}: {nearest(family, ('text2text', 'heads'))}")
