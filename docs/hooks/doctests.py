"""Examples in docstrings, lines that begin with >>>, become blocks of code on the site."""

import re

import griffe

# From a >>> to the next empty line: the statements and what they print.
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Called by griffe, which reads the code for mkdocstrings."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Fences the examples of an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """A docstring whose examples are fenced."""
    return _EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}\n```", docstring)
