"""The paper's tables: their rows trained, measured and written, by --mode=table."""

from collections.abc import Mapping
from typing import Any

from dim_tf.console import say
from dim_tf.experiment import Experiment
from dim_tf.tables import records, written
from dim_tf.tables.plan import make_plan
from dim_tf.tables.work import Stopped, Worker, check_all_ran

__all__ = ["make_table"]


def make_table(experiment: Experiment, given: Mapping[str, Any]) -> bool:
    """Runs the rows that are not finished, and writes the table after each.

    Args:
        experiment: the command line's settings.
        given: those of them that it gives itself, without the defaults.

    Returns:
        Whether a signal stopped it.

    Raises:
        InputError: wrong settings, or finished rows of other settings.
        RunError: a row failed; all others were run.
    """
    plan = make_plan(experiment, given)
    plan.jobs[:] = records.without_known_floors(plan)

    def write():
        written.write(plan)

    try:
        Worker(plan, write).work()
    except Stopped as stopped:
        write()
        say(stopped)
        return True
    say(f"table: {plan.folder / plan.name}.html")
    check_all_ran(plan)
    return False
