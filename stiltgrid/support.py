"""What each model family can do with each kind of task."""

from stiltgrid.tasks.registry import TaskRow

FORMULATIONS: dict[str, frozenset[str]] = {
    "text2text": frozenset({"classification", "ranking", "tagging", "span", "choice", "generation"}),
    "heads": frozenset({"classification", "ranking", "tagging", "span", "choice"}),
}
WHY = {("heads", "generation"): "an encoder with heads cannot write text; use the text2text family"}


def unsupported(row: TaskRow, family: str) -> str | None:
    """Return why a family cannot run a task, or None if it can.

    Args:
        row: the task.
        family: text2text or heads.
    """
    if row.pending:
        return f"{row.name}: {row.pending}"
    if row.kind not in FORMULATIONS[family]:
        why = WHY.get((family, row.kind), f"the {family} family has no formulation for {row.kind}")
        return f"{row.name}: {why}"
    return None
