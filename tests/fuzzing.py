"""Property-based tests in two sizes: a few cases in every run, or thousands that are recorded."""

import collections
import datetime
import json
import time
import types
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


def sizes(many, few=SMALL):
    """Parametrizes a test's `cases`: a few, at most `SMALL`, and `many` with the marker `long`."""
    return pytest.mark.parametrize("cases", [few, pytest.param(many, marks=pytest.mark.long)])


def run(target, strategy, check, cases):
    """Calls `check` with `cases` values of `strategy`, always the same; records a long run.

    Args:
        target: Name in the record.
        strategy: Hypothesis strategy.
        check: Fails where the program does; returns the outcome as a word, which is counted. An
            outcome that begins with "badly" is a failure too.
        cases: Number of values.
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
    # its file, which makes TensorFlow's packages import their lazy modules, for most of a minute;
    # and the cases would depend on the tests that ran before.
    with mock.patch.object(providers, "_get_local_constants", Constants):
        checked()
    if cases > SMALL:
        _record(target, outcomes, time.perf_counter() - began)


def is_one_line(message):
    """Whether an error message is one printable line of bounded length."""
    return message.isprintable() and 10 < len(message) < 1500


def _record(target, outcomes, seconds):
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"targets": {}}
    record["command"] = COMMAND
    record["targets"][target] = {
        "cases": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "seconds": round(seconds, 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    record["targets"] = dict(sorted(record["targets"].items()))
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


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
    tree = json.loads(json.dumps(base))
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(_entries(tree)))
        action = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename"]))
        if action == "replace":
            holder[key] = draw(json_values)
        elif action == "remove" or isinstance(holder, list):
            del holder[key]
        else:
            holder[draw(texts)] = holder.pop(key)
        if not tree:
            break
    return tree


def _entries(tree):
    """The (container, key) of every entry of the tree."""
    entries = []
    containers = [tree]
    for holder in containers:
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            entries.append((holder, key))
            if isinstance(holder[key], dict | list):
                containers.append(holder[key])
    return entries


@st.composite
def json_texts(draw, base):
    """A text: a mutated object, any JSON, deeply nested JSON, or damaged JSON."""
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
    """A file with flipped bits, or parts that are cut out, doubled, filled or another file's."""
    octets = bytearray(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, max(len(octets) - 1, 0)))
        length = draw(st.sampled_from([1, 2, 4, 16, 256]))
        action = draw(st.sampled_from(["flip", "flip", "set", "cut", "end", "double", "splice"]))
        if action == "flip" and octets:
            octets[start] ^= 1 << draw(st.integers(0, 7))
        elif action == "set":
            octets[start : start + length] = draw(st.binary(min_size=1, max_size=length))
        elif action == "cut":
            del octets[start : start + length]
        elif action == "end":
            del octets[start:]
        elif action == "double":
            octets[start:start] = octets[start : start + length]
        elif action == "splice":
            other = draw(st.sampled_from(bases))
            octets[start : start + length] = other[start : start + length]
    return bytes(octets)


def is_of_kind(value, kind):
    """Whether a setting has the type that its field says; an image size has either of two."""
    return type(value) in ((int, tuple) if kind is types.UnionType else (kind,))
