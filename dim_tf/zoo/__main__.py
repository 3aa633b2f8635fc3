"""The command line of zoos.

    python -m dim_tf.zoo list                        the encoders of the zoo, and their cards
    python -m dim_tf.zoo path NAME                   the folder of one, for --encoder_path
    python -m dim_tf.zoo add exported/NAME/1 FOLDER  adds an export to a zoo

The zoo is $DIM_TF_ZOO, a folder or its URL. Without it, the zoo is that of the repository.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dim_tf.system import console, programs
from dim_tf.system.console import say
from dim_tf.zoo.add import add
from dim_tf.zoo.index import Zoo, locate
from dim_tf.zoo.resolve import resolve


@programs.with_status
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 if the disk is full, 2 for wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m dim_tf.zoo",
        description="Encoders by name, from $DIM_TF_ZOO, a folder or its URL.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="prints the encoders and their cards")
    path = commands.add_parser("path", help="prints the folder of an encoder, fetched if needed")
    path.add_argument("name")
    adding = commands.add_parser("add", help="packs an export into a zoo and extends its index")
    adding.add_argument("version", type=Path, help="as exported/digits/2")
    adding.add_argument("folder", type=Path, help="of the zoo")
    adding.add_argument("--name", default="", help="of the encoder; default: that of the export")
    values = parser.parse_args(arguments)
    if values.command == "list":
        zoo = Zoo.read()
        for name, entry in sorted(zoo.entries.items()):
            say(f"zoo:{name}  {locate(zoo.root, entry.card)}")
    elif values.command == "path":
        with console.quiet():  # the only line is the folder, which a shell may substitute
            folder = resolve(values.name)
        say(folder)
    else:
        entry = add(values.version, values.folder, values.name)
        say(f"added: zoo:{entry.name}, {values.folder / entry.url}, sha256 {entry.sha256}")
    return 0


if __name__ == "__main__":
    programs.run(main)
