"""A copy of results, tables and trials in MLflow, for those who like to browse there.

Never the source of truth: everything is made from the files of the output folder, by a process of
its own beside the computation, which may fail without consequence. `Tracker` is all that a command
needs:

    with Tracker(out, "table3") as tracker:     # experiment `table3`
        tracker.log(result)                     # a run for each cell
        tracker.table()                         # one run with the table's files
    with Tracker(out, study.experiment) as tracker:   # experiment `tune-...`
        tracker.trial(study, trial)             # a run for the study, one in it for each trial
    tracker.warnings                            # what the user must see, complete after the block

`journal.py` knows what waits, `runs.py` makes runs of records, `store.py` writes them to MLflow,
`flush.py` is what the process does, `server.py` opens MLflow's pages.
"""

from bench.tracking.tracker import Tracker

__all__ = ["Tracker"]
