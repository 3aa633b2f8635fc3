"""CSV that other programs read as it was written."""

import csv
import io

from dim_tf.system.csv_text import csv_text


def test_commas_quotes_and_line_ends_come_back():
    header, lines = ["id", "label"], [["a,b.png", 'the "first"'], ["c\nd.png", "1"]]
    text = csv_text(header, lines)
    assert list(csv.reader(io.StringIO(text, newline=""))) == [header, *lines]
    assert text.endswith("1\n")
    assert "\r" not in text


def test_a_table_without_lines_keeps_its_header():
    assert csv_text(("id", "rank"), iter(())) == "id,rank\n"
