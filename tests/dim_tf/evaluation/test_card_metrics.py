"""The metrics of an evaluation as Markdown."""

from dim_tf.evaluation import card_metrics


def test_nothing_is_written_of_an_encoder_that_was_not_measured():
    assert card_metrics.render({}) == ""


def test_a_row_has_the_interval_and_the_value_of_each_floor():
    evaluation = {
        "measures": {"knn": {"unit": "fraction", "better": "higher", "title": "k-NN"}},
        "knn": {"fc": 0.75, "global": None},
        "uncertainty": {"knn": {"fc": {"std": None, "n": 1, "ci95": [0.7, 0.8]}}},
        "references": {
            "random_weights": {"knn": {"fc": 0.5}},
            "pixels": {"knn": {"pixels": 0.25}},
        },
        "protocol": {"test_images": 40},
    }
    table, notes = card_metrics.render(evaluation).split("\n\n")
    assert table.splitlines() == [
        "| measure | endpoint | this encoder | 95 % interval | random weights | raw pixels |",
        "|---|---|---|---|---|---|",
        "| knn | fc | 75.0 % | 70.0 to 80.0 % | 50.0 % | 25.0 % |",
        "| knn | global |  |  |  | 25.0 % |",
    ]
    assert notes.startswith("Measured on 40 test images.\nInterval: ")


def test_the_verdict_comes_first_and_named_references_have_columns():
    evaluation = {
        "measures": {"knn": {"unit": "fraction", "better": "higher", "title": "k-NN"}},
        "knn": {"global": 0.75},
        "references": {
            "a|b": {"knn": {"global": 0.5}},
            "pixels": {"knn": {"pixels": 0.25}},
        },
        "verdict": {"sentence": "Training helped: <b>", "probe": {"sentence": "Unclear"}},
    }
    first, second, table, _ = card_metrics.render(evaluation).split("\n\n")
    assert (first, second) == (r"**Training helped: \<b\>.**", "Unclear.")
    assert table.splitlines()[0] == (
        r"| measure | endpoint | this encoder | 95 % interval | raw pixels | a\|b |"
    )
    assert table.splitlines()[2] == "| knn | global | 75.0 % |  | 25.0 % | 50.0 % |"


def test_names_are_text_and_no_markdown():
    evaluation = {
        "measures": {"<i>": {"unit": "", "better": None, "title": ""}},
        "<i>": {"a|b": 1.0},
    }
    assert r"| \<i\> | a\|b | 1 |" in card_metrics.render(evaluation)
