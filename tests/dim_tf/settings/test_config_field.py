"""What a setting refuses, each way once, on a few settings of this test's own."""

import dataclasses

import pytest

from dim_tf.settings.config_field import Settings, checked, config_field
from dim_tf.system.errors import InputError


@dataclasses.dataclass(frozen=True)
class Group(Settings):
    flag: bool = config_field(True, "")
    count: int = config_field(4, "", minimum=2, maximum=8)
    steps: int = config_field(0, "")
    fraction: float = config_field(0.5, "", above=0, maximum=1)
    weight: float = config_field(0.0, "")
    text: str = config_field("", "")
    choice: str = config_field("a", "", choices=("a", "b"))
    path: str = config_field("", "", is_path=True)
    units: tuple[int, ...] = config_field((4,), "", minimum=1, flag="layer_units")


FIELDS = {field.name: field for field in dataclasses.fields(Group)}


def refusal(name, value):
    """The message for a value of the setting `name`."""
    with pytest.raises(InputError) as caught:
        checked(f"--{name}", FIELDS[name], value)
    message = str(caught.value)
    assert message.isprintable()  # one line, without what a terminal obeys
    assert len(message) < 1000
    return message


def test_defaults_and_bounds_are_taken():
    for field in FIELDS.values():
        assert checked("--a", field, field.default) == field.default
    taken = {
        "count": (2, 8),
        "steps": (-1, 2**31 - 1),
        "fraction": (1e-9, 1.0),
        "weight": (-1.0, 1e30),
    }
    taken |= {"text": ("a" * 4096, "ü\u3000'"), "path": ("x" * 255, "a/~", "a/~b/c")}
    for name, values in taken.items():
        for value in values:
            assert checked("--a", FIELDS[name], value) == value


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("flag", [1, 0.0, "true", None, [], {}], "true or false"),
        ("count", [True, 4.0, "4", None, [4], {}], "a whole number"),
        ("fraction", [True, "0.5", None, [], {}], "a number"),
        ("text", [1, False, None, ["a"], {}], "text"),
    ],
)
def test_another_type_is_refused(name, values, expected):
    """Of JSON: what is of another type, and what is of none."""
    for value in values:
        assert refusal(name, value) == f"--{name}={value!r}; expected {expected}"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 1, "--count=1; expected at least 2"),
        ("count", 9, "--count=9; expected at most 8"),
        ("steps", 2**31, "--steps=2147483648; expected at most 2147483647"),
        pytest.param(
            "steps",
            1 << 60_000,  # Python writes no number of so many digits
            "--steps=a number of thousands of digits; expected at most",
            id="thousands of digits",
        ),
        ("fraction", 0.0, "--fraction=0.0; expected more than 0"),
        ("fraction", 1.5, "--fraction=1.5; expected at most 1"),
        ("weight", 1e31, "--weight=1e+31; expected at most 1e+30"),
        ("weight", float("nan"), "--weight=nan; expected a finite number"),
        ("weight", float("-inf"), "--weight=-inf; expected a finite number"),
        ("weight", 10**400, "; expected a finite number"),
        ("choice", "c", "--choice='c'; expected one of 'a', 'b'"),
        ("text", "a" * 4097, "has 4,097 characters; expected at most 4,096"),
        ("path", f"b/{'x' * 256}/c", "has a name of more than 255 bytes"),
        ("path", f"b/{'ü' * 128}", "has a name of more than 255 bytes"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(name, value, message):
    text = refusal(name, value)
    assert text.startswith(f"--{name}=")
    assert message in text


def test_text_is_one_line_of_characters():
    for character in ("\n", "\0", "\x1b", "\x85", "\ud800", "\u2028", "\u2029"):
        expected = f"has the character {character!r}; expected one line of text in UTF-8"
        for name in ("text", "path"):
            assert expected in refusal(name, f"a{character}b")


def test_a_whole_number_is_a_number():
    assert type(checked("--a", FIELDS["weight"], 2)) is float


def test_a_path_begins_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a")
    assert checked("--a", FIELDS["path"], "~/b") == "/home/a/b"
    assert checked("--a", FIELDS["text"], "~/b") == "~/b"


def test_a_path_of_a_user_without_a_home_is_refused(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert "this user has no home folder; set HOME" in refusal("path", "~/b")


def test_a_list_of_whole_numbers_is_a_tuple():
    assert checked("--a", FIELDS["units"], [1, 2]) == (1, 2)
    assert checked("--a", FIELDS["units"], ()) == ()
    for value in (3, "3", [True], [1.0], ["1"], None):
        assert "expected whole numbers with commas between" in refusal("units", value)
    assert refusal("units", (4, 0)) == "--units=0; expected at least 1"
    assert "--units has 17 numbers; expected at most 16" in refusal("units", [1] * 17)


def test_a_group_checks_its_values_and_names_its_flags():
    group = Group(count=3, units=[5])
    assert group.values()["layer_units"] == (5,)
    assert Group.default("layer_units") == (4,)
    assert "units" not in Group.flags()
    with pytest.raises(InputError, match="--layer_units=0; expected at least 1"):
        Group(units=(0,))
    with pytest.raises(InputError, match="--count=1; expected at least 2"):
        Group(count=1)
