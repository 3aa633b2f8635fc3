"""Settings of the search."""

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

_EXAMPLE = "expected an address of this machine and a port, such as 127.0.0.1:8000"


class Address(NamedTuple):
    """Where a server listens: an IP address as text, and a port; 0: any free one."""

    host: str
    port: int


@dataclass(frozen=True)
class SearchSettings(Settings):
    """What --mode=search looks for, and how it shows what is similar."""

    query: str = config_field(
        "",
        "Image to search for, or a folder of images.",
        is_path=True,
        hyperparameter=False,
    )
    k: int = config_field(
        10,
        "Number of most similar images for each query.",
        minimum=1,
        maximum=10_000,
        hyperparameter=False,
    )
    serve: str = config_field(
        "",
        "Address and port of a page where images are dropped to search for, such as "
        "127.0.0.1:8000; empty: none.",
        hyperparameter=False,
    )

    def check(self):
        """Checks the address."""
        if self.serve:
            parse_address(self.serve)


def parse_address(text: str) -> Address:
    """The address of --serve; an IPv6 address stands in brackets.

    Raises:
        InputError: It is none, or the one of all networks of this machine.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if ":" in host else host
    host = "127.0.0.1" if host == "localhost" else host
    is_port = port.isascii() and port.isdecimal() and int(port) < 2**16
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not is_port:
        raise InputError(f"--serve={text!r}; {_EXAMPLE}")
    if address.is_unspecified:
        raise InputError(f"--serve={text!r} would serve all networks of this machine; {_EXAMPLE}")
    return Address(str(address), int(port))
