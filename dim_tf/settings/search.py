"""Settings of --mode=search."""

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

SEARCH_BY = ("image", "patch")
_EXAMPLE = "expected an address of this machine and a port, such as 127.0.0.1:8000"


class Address(NamedTuple):
    """Where a server listens: an IP address as text, and a port; 0: any free one."""

    host: str
    port: int


@dataclass(frozen=True)
class SearchSettings(Settings):
    """What --mode=search looks for, and how it shows similar images."""

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
    by: str = config_field(
        "image",
        "What is compared: image, whole images; patch, a detail of the query with every location.",
        details="patch uses local features, shows where the detail is, and does not need "
        "faiss-cpu.",
        flag="search_by",
        choices=SEARCH_BY,
        hyperparameter=False,
    )
    box: tuple[int, ...] = config_field(
        (),
        "Detail of the query for --search_by=patch, as TOP,LEFT,HEIGHT,WIDTH in pixels; empty: the "
        "whole image.",
        flag="query_box",
        minimum=0,
        hyperparameter=False,
    )
    serve: str = config_field(
        "",
        "Address and port of a page onto which images are dropped to search for them, such as "
        "127.0.0.1:8000; empty: none.",
        hyperparameter=False,
    )

    def check(self):
        """Checks the box and the address."""
        if self.box and (len(self.box) != 4 or 0 in self.box[2:]):
            raise InputError(
                f"--query_box={','.join(map(str, self.box))}; expected TOP,LEFT,HEIGHT,WIDTH in "
                "pixels, with a height and a width of at least 1"
            )
        if self.box and self.by != "patch":
            raise InputError("--query_box is the detail of --search_by=patch; give both")
        if self.serve and self.by == "patch":
            raise InputError(
                "--serve compares whole images; leave out --search_by=patch, or give --query "
                "instead of --serve"
            )
        if self.serve:
            parse_address(self.serve)


def parse_address(text: str) -> Address:
    """The address of --serve; an IPv6 address is written in brackets.

    Raises:
        InputError: It is not an address with a port, or it stands for all networks of this machine.
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
