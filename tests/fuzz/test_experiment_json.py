"""Any experiment.json: settings of the declared types, or an InputError."""

import json

import fuzzing

from dim_tf.experiment import Experiment, all_fields
from dim_tf.settings.config_field import kind_of
from dim_tf.system.errors import InputError, one_line

BASE = json.loads(Experiment.of(name="a", gamma=0.5).to_json())


def outcome(text):
    try:
        experiment = Experiment.from_json(text)
    except InputError as error:
        return "refused" if fuzzing.is_one_line(one_line(error)) else f"badly told: {error!r}"
    fields = all_fields()
    for name, value in experiment.to_dict().items():
        assert name == "model" or fuzzing.is_of_kind(value, kind_of(fields[name]))
    assert Experiment.from_json(experiment.to_json()) == experiment
    return "accepted"


@fuzzing.sizes(10_000)
def test_any_experiment_json(cases):
    fuzzing.run("experiment.json", fuzzing.json_texts(BASE), outcome, cases)
