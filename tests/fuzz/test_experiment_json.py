"""Any experiment.json: settings of the declared types, or an InputError."""

import dataclasses

import fuzzing

from dim_tf.errors import InputError, one_line
from dim_tf.settings import Experiment

BASE = dataclasses.asdict(Experiment.of(name="a", gamma=0.5))


def outcome(text):
    try:
        experiment = Experiment.from_json(text)
    except InputError as error:
        return "refused" if fuzzing.is_told(one_line(error)) else f"badly told: {error!r}"
    for field in dataclasses.fields(Experiment):
        assert type(getattr(experiment, field.name)) is field.type
    assert Experiment.from_json(experiment.to_json()) == experiment
    return "accepted"


@fuzzing.sizes(10_000)
def test_any_experiment_json(cases):
    fuzzing.run("experiment.json", fuzzing.json_texts(BASE), outcome, cases)
