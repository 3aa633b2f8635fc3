"""The settings of the search: the address of --serve, and the box of a detail."""

import pytest

from dim_tf.settings.search import SearchSettings, parse_address
from dim_tf.system.errors import InputError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("192.168.1.7:80", ("192.168.1.7", 80)),
    ],
)
def test_an_address_and_its_port(text, address):
    assert parse_address(text) == address
    assert SearchSettings(serve=text).serve == text


@pytest.mark.parametrize(
    "text",
    ["8000", ":8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "a.example:80", "::1:x"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InputError, match=r"--serve=.*; expected an address of this machine"):
        SearchSettings(serve=text)


@pytest.mark.parametrize("text", ["0.0.0.0:8000", "[::]:8000"])
def test_all_networks_are_refused(text):
    with pytest.raises(InputError, match="would serve all networks of this machine"):
        SearchSettings(serve=text)


def test_the_bounds_of_k():
    for k in (0, 10_001):
        with pytest.raises(InputError, match=f"--k={k}; expected at"):
            SearchSettings(k=k)
