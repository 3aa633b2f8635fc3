"""Property-based tests in two sizes: some cases in every run, thousands with a record of them."""

import collections
import datetime
import json
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

SMALL = 60
RECORD = Path(__file__).resolve().parents[1] / "docs" / "results" / "fuzz.json"
COMMAND = "python -m pytest tests/fuzz -m long -n 0"


def sizes(many):
    """The argument `cases` of a test: a few, and in the tier `long` many."""
    return pytest.mark.parametrize("cases", [SMALL, pytest.param(many, marks=pytest.mark.long)])


def run(target, strategy, check, cases):
    """Calls `check` with the same `cases` values of `strategy` each time; records a long run.

    Args:
        target: its name in the record.
        strategy: of Hypothesis.
        check: fails where the program does; returns the outcome in a word, which is
            counted; one that begins with "badly" is a failure too.
        cases: how many.
    """
    outcomes = collections.Counter()

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def checked(case):
        outcome = check(case)
        assert not outcome.startswith("badly"), outcome
        outcomes[outcome] += 1

    began = time.perf_counter()
    # Hypothesis also tries constants of the modules that the process has loaded. It asks each for
    # its file, by which TensorFlow's packages load what they put off, for most of a minute; and the
    # cases would depend on which tests ran before.
    with mock.patch.object(providers, "_get_local_constants", Constants):
        checked()
    if cases > SMALL:
        _record(target, outcomes, time.perf_counter() - began)


def is_told(message):
    """Whether an error's message is what a terminal gets: one line of bounded length."""
    return message.isprintable() and 10 < len(message) < 1500


def _record(target, outcomes, seconds):
    found = json.loads(RECORD.read_text()) if RECORD.exists() else {"targets": {}}
    found["command"] = COMMAND
    found["targets"][target] = {
        "cases": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "seconds": round(seconds, 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    found["targets"] = dict(sorted(found["targets"].items()))
    RECORD.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


HOSTILE = (
    "",
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "../../etc/passwd",
    "/",
    ".",
    "a\nb",
    "\x00",
    "\x1b[2J",
    "\u2028",
    "\ud800",
    " a ",
    "a" * 5000,
)
texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec=None), max_size=12))
numbers = st.one_of(
    st.integers(-3, 100),
    st.integers(-(10**400), 10**400),
    st.sampled_from([2**31, 2**32, 2**63, 2**64, 0, 1]),
    st.floats(),
    st.sampled_from([1e100, 1e308, 0.5, 1e-320]),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
json_values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
deep = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)


@st.composite
def mutated(draw, base):
    """A copy of a JSON object in which some entries are replaced, removed or renamed."""
    found = json.loads(json.dumps(base))
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(_places(found)))
        action = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename"]))
        if action == "replace":
            holder[key] = draw(json_values)
        elif action == "remove" or isinstance(holder, list):
            del holder[key]
        else:
            holder[draw(texts)] = holder.pop(key)
        if not found:
            break
    return found


def _places(tree):
    """Where an entry is: (container, key), of the whole tree."""
    found = []
    containers = [tree]
    for holder in containers:
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                containers.append(holder[key])
    return found


@st.composite
def json_texts(draw, base):
    """A text: of a mutated object, of any JSON, of one nested deeply, or hardly JSON."""
    kind = draw(st.sampled_from(["mutated"] * 6 + ["any", "text", "deep", "edited", "double"]))
    if kind == "any":
        return json.dumps(draw(json_values))
    if kind == "text":
        return draw(st.text(max_size=30))
    if kind == "deep":
        return draw(st.sampled_from(["{}", '{{"name": {}}}'])).format(draw(deep))
    text = json.dumps(draw(mutated(base)))
    if kind == "edited":
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.text(max_size=3)) + text[place + draw(st.integers(0, 3)) :]
    if kind == "double":
        text = text[:-1] + ", " + text[1:]
    return text


@st.composite
def mutated_bytes(draw, bases):
    """A file in which bits are flipped, parts are cut out, doubled, filled, or another's."""
    found = bytearray(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(len(found) - 1, 0)))
        length = draw(st.sampled_from([1, 2, 4, 16, 256]))
        action = draw(st.sampled_from(["flip", "flip", "set", "cut", "end", "double", "splice"]))
        if action == "flip" and found:
            found[place] ^= 1 << draw(st.integers(0, 7))
        elif action == "set":
            found[place : place + length] = draw(st.binary(min_size=1, max_size=length))
        elif action == "cut":
            del found[place : place + length]
        elif action == "end":
            del found[place:]
        elif action == "double":
            found[place:place] = found[place : place + length]
        elif action == "splice":
            other = draw(st.sampled_from(bases))
            found[place : place + length] = other[place : place + length]
    return bytes(found)
