"""The command line as a user meets it: help, wrong flags, missing data."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from dim_tf.main import run_later_stages


def run(*arguments, **kwargs):
    command = [sys.executable, "-m", "dim_tf.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


def test_help_needs_no_tensorflow():
    code = (
        "import sys; from dim_tf import main; sys.argv = ['main', '--help']\n"
        "try: main.run()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'tensorflow', 'keras', 'numpy', 'jinja2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--estimator=jsd" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no_such_flag"], "no_such_flag"),
        (["--estimator=mine"], "jsd|infonce|dv"),
        (["--batch_size=many"], "batch_size"),
        (["--flagfile=no/such.cfg"], "no/such.cfg"),
        (["train"], "unexpected argument 'train'"),
        (["--mode=fly"], "--mode=fly"),
        (["--mode=table"], "--mode=table needs --table"),
        (["--batch_size=1"], "--batch_size=1"),
        (["--measures=knn,nope"], "--measures has no 'nope'"),
        (["--seed=1e3"], "--seed=1e3: expected a whole number"),
        (["--download=maybe"], "--download=maybe: expected true or false"),
        (["--name=a\nb"], "one line of text"),
        (["--flagfile=dim_tf/main.py"], "is no flag; expected --NAME=VALUE"),
    ],
)
def test_a_wrong_flag_ends_with_2_and_one_line(arguments, says):
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dataset=cifar10", "--nodownload", "--data_dir=nowhere"], "cifar10 is not in"),
        (["--dataset=celeb_a", "--nodownload", "--data_dir=nowhere"], "list_eval_partition.txt"),
        (["--image_size=12"], "no encoder for images of 12x12"),
        (["--locations=50"], "7x7; give at most 49"),
        (["--encoder=basic64x64"], "give --image_size=64"),
        (["--batch_size=5000"], "larger than the 1198 training images"),
        (["--run_dir=/proc/no/such"], "/proc/no/such cannot be written"),
        (["--mode=evaluate"], "run --mode=train first"),
        (
            ["--encoder_path=theirs"],
            "--encoder_path is for --mode=evaluate, finetune, embed",
        ),
        (["--mode=evaluate", "--encoder_path=theirs"], "theirs is no SavedModel"),
        (["--strategy=mirrored"], "found no GPU"),
    ],
)
def test_what_does_not_fit_ends_with_2_and_one_line(arguments, says, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert says in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1


@pytest.mark.parametrize("evaluation", [{}, {"verdict": {}}])
def test_an_earlier_verdict_is_not_repeated_where_nothing_is_measured(capsys, evaluation):
    run = SimpleNamespace(
        evaluate=lambda: evaluation, export=lambda: print("exported"), verdict=["verdict: yes"]
    )
    run_later_stages(run, ["evaluate", "export"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["exported", *(["verdict: yes"] if evaluation else [])]
