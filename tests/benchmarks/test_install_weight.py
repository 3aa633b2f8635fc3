"""The table of what an installation weighs."""

import install_weight


def test_small_packages_share_a_row_and_requirements_are_turned_round():
    sizes = {"tensorflow": 2_000_000_000, "numpy": 60_000_000, "six": 40_000, "wrapt": 60_000}
    requirements = {"tensorflow": ["numpy", "six"], "numpy": [], "six": [], "wrapt": []}
    lines = install_weight.table(sizes, requirements, at_least=10).splitlines()
    assert lines[2:] == [
        "| tensorflow | 2,000 |  |",
        "| numpy | 60 | tensorflow |",
        "| 2 smaller ones | 0 | |",
        "| all 4 | 2,060 | |",
    ]
