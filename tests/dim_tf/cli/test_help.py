"""--help: the flags that most runs need, a section, or all."""

import re
import subprocess
import sys

import pytest

from dim_tf import registry
from dim_tf.cli import help
from dim_tf.experiment import all_fields
from dim_tf.registry import SOURCES
from dim_tf.system.errors import InputError


@pytest.mark.parametrize(
    ("words", "section"),
    [
        (["--name=help"], None),
        (["--name", "help"], None),
        (["--help"], ""),
        (["-h"], ""),
        (["--seed=1", "--help=training"], "training"),
        (["--helpfull"], "full"),
        (["-?"], ""),
    ],
)
def test_which_help_is_asked_for(words, section):
    assert help.requested(words) == section


def test_the_short_help_is_two_screens_of_the_flags_that_most_runs_need():
    text = help.text("")
    flags = [line for line in text.splitlines() if line.startswith("  --")]
    assert 20 <= len(flags) <= 28
    assert len(text.splitlines()) <= 72
    for name in ("data_dir", "encoder", "image_size", "epochs", "name", "model", "precision"):
        assert any(flag.startswith(f"  --{name}=") for flag in flags), name
    assert all(name in text for name in [*SOURCES, "tfds:NAME", *registry.MODELS])


def test_the_full_help_has_every_flag_once():
    text = help.text("full")
    for name in ("mode", "model", *all_fields()):
        heads = re.findall(rf"^  --(?:{re.escape(name)}=|\[no\]{re.escape(name)}\s)", text, re.M)
        assert len(heads) == 1, name
    assert max(map(len, text.splitlines())) <= help.WIDTH


def test_a_section_has_its_flags_alone():
    text = help.text("simclr")
    assert "--simclr.temperature=0.5" in text
    assert "--vicreg" not in text
    assert "--help=" not in text
    assert all(f"--{name}=" in help.text("training") for name in ("warmup_steps", "on_nan"))
    assert help.text("vae") == "vae:\n  no settings of its own"
    with pytest.raises(InputError, match="--help=no_such; expected one of run, data, encoder"):
        help.text("no_such")


def test_help_imports_neither_tensorflow_nor_numpy():
    program = "import sys; from dim_tf.cli import help; help.text('full'); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"tensorflow", "keras", "numpy", "jinja2"} & set(modules)
