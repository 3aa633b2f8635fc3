"""What a setting refuses, each way once, on a few settings of this test's own."""

import dataclasses

import pytest

from dim_tf.setting import checked, setting
from dim_tf.system.errors import InputError


@dataclasses.dataclass
class Settings:
    flag: bool = setting(True, "")
    count: int = setting(4, "", minimum=2, maximum=8)
    steps: int = setting(0, "")
    share: float = setting(0.5, "", above=0, maximum=1)
    weight: float = setting(0.0, "")
    text: str = setting("", "")
    choice: str = setting("a", "", choices=("a", "b"))
    path: str = setting("", "", is_path=True)


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def refusal(name, value):
    """The message for a value of the setting `name`."""
    with pytest.raises(InputError) as caught:
        checked(FIELDS[name], value)
    message = str(caught.value)
    assert message.isprintable()  # one line, without what a terminal obeys
    assert len(message) < 1000
    return message


def test_defaults_and_bounds_are_taken():
    for field in FIELDS.values():
        assert checked(field, field.default) == field.default
    taken = {
        "count": (2, 8),
        "steps": (-1, 2**31 - 1),
        "share": (1e-9, 1.0),
        "weight": (-1.0, 1e30),
    }
    taken |= {"text": ("a" * 4096, "ü\u3000'"), "path": ("x" * 255, "a/~", "a/~b/c")}
    for name, values in taken.items():
        for value in values:
            assert checked(FIELDS[name], value) == value


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("flag", [1, 0.0, "true", None, [], {}], "true or false"),
        ("count", [True, 4.0, "4", None, [4], {}], "a whole number"),
        ("share", [True, "0.5", None, [], {}], "a number"),
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
        ("share", 0.0, "--share=0.0; expected more than 0"),
        ("share", 1.5, "--share=1.5; expected at most 1"),
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
    told = refusal(name, value)
    assert told.startswith(f"--{name}=")
    assert message in told


def test_text_is_one_line_of_characters():
    for character in ("\n", "\0", "\x1b", "\x85", "\ud800", "\u2028", "\u2029"):
        expected = f"has the character {character!r}; expected one line of text in UTF-8"
        for name in ("text", "path"):
            assert expected in refusal(name, f"a{character}b")


def test_a_whole_number_is_a_number():
    assert type(checked(FIELDS["weight"], 2)) is float


def test_a_path_begins_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a")
    assert checked(FIELDS["path"], "~/b") == "/home/a/b"
    assert checked(FIELDS["text"], "~/b") == "~/b"


def test_a_path_of_a_user_without_a_home_is_refused(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert "this user has no home folder; set HOME" in refusal("path", "~/b")
