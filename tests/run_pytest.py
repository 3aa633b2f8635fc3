"""Runs pytest on the files given: the entry point of the Bazel test targets."""

import sys

import pytest

if __name__ == "__main__":
    status = pytest.main(["-n", "0", "-p", "no:cacheprovider", *sys.argv[1:]])
    # A file whose tests are all of a slower tier has none to run here.
    sys.exit(0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status)
