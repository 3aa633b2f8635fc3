"""The paper's tables: `--mode=table` trains, measures and writes their rows."""

from collections.abc import Mapping
from typing import Any

from dim_tf.experiment import Experiment
from dim_tf.system.console import say
from dim_tf.tables import records, writers
from dim_tf.tables.plan import make_plan
from dim_tf.tables.runner import Runner, Stopped, raise_if_failed

__all__ = ["make_table"]


def make_table(experiment: Experiment, explicit_settings: Mapping[str, Any]) -> bool:
    """Runs the rows that are not finished, and writes the table after each.

    Args:
        experiment: The command line's settings.
        explicit_settings: The settings given on the command line, without the defaults.

    Returns:
        Whether a signal stopped it.

    Raises:
        InputError: Settings are wrong, or finished rows have other settings.
        RunError: A row failed; all others were run.
    """
    plan = make_plan(experiment, explicit_settings)
    plan.jobs[:] = records.without_known_references(plan)

    def write_table():
        writers.write(plan)

    try:
        Runner(plan, write_table).run()
    except Stopped as stopped:
        write_table()
        say(stopped)
        return True
    say(f"table: {plan.folder / plan.file_stem}.html")
    raise_if_failed(plan)
    return False
