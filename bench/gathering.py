"""Every table that has results, written for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import plans, report
from bench.contracts import BadInput
from bench.report.style import Style


def gather(
    names: Sequence[str], formats: Sequence[str], results: Path, out: Path, style: Style
) -> tuple[list[Path], list[str]]:
    """Write the tables of an output folder that have a result; returns the files.

    names: of tables, none for all that were run into the folder `results`, which stays as it is.
    A table that cannot be drawn does not stop the others: the second list says why. BadInput when
    a named one was not run there, and when no table has a result.
    """
    paths = {path.stem: path for path in plans.kept(results)}
    for name in names:
        if name not in paths:
            raise BadInput(
                f"'{name}' was not run into this folder",
                file=results,
                found=", ".join(paths) or "no table",
                hint=f"bench run {name} --out {results}",
            )
    written: list[Path] = []
    problems: list[str] = []
    for path in [paths[name] for name in dict.fromkeys(names)] or paths.values():
        try:
            plan = plans.load(path)
            found = plan.stored(results, problems.append)
            if any(result.status == "done" for result in found):
                written += report.write(plan.drawn(found), out, formats=formats, style=style)
        except BadInput as error:
            problems.append(str(error))
    if not written:
        raise BadInput(
            "no table has results",
            file=results,
            found=problems[0] if problems else None,
            hint="bench run computes them; see --results",
        )
    return written, problems
