"""Files that a config names for a split: one without `{lang}` is one language's, and must not be read as another's."""

from collections.abc import Iterator, Mapping
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.readers.files import one_for_all
from stiltgrid.tasks.added import in_force
from stiltgrid.tasks.registry import task


def shared_files(targets: Mapping[str, Any], sources: Mapping[str, Any]) -> list[str]:
    """Return which named files would be read as several languages', one line each.

    Args:
        targets: the config's rows by name, with `task`, `languages`, `source_language`, `eval_split`.
        sources: the config's, by suite or suite/task, with `files` and `layout_of`.
    """
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for target in targets.values():
        for split, language in _read(target):
            wanted.setdefault((target.task, split), {})[language] = None
    found = []
    for (name, split), languages in wanted.items():
        row = task(name)
        key = next((key for key in (name, row.suite) if key in sources), None)
        if key is None or len(languages) < 2 or name in in_force().rows:
            continue  # an extension's reader may take a language's rows out of one file
        try:
            faulty = one_for_all(row, sources[key].layout_of(split), split, sources[key].files)
        except StiltgridError:
            continue  # the data job reports it, with all it knows
        if faulty:
            found.append(
                f"sources.{key}.files.{split}: {sources[key].files[split]} is one file, and would be read as each of "
                f"{', '.join(languages)} of {name}; name a file by language, with {{lang}}, or keep to one language"
            )
    return found


def _read(target: Any) -> Iterator[tuple[str, str]]:
    """Yield the splits and languages that a target is trained, selected and scored on."""
    row = task(target.task)
    if row.kind != "retrieval":
        yield from (("train", target.source_language), ("dev", target.source_language))
    for language in row.languages if target.languages == "all" else target.languages:
        yield target.eval_split, language
