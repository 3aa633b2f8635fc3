"""The index of features: exact, approximate, its neighbours of all rows, wrong input."""

import doctest
import subprocess
import sys

import numpy as np
import pytest

from dim_tf.collection import index as index_module
from dim_tf.collection.index import Index
from dim_tf.system.errors import InputError

ROWS, SIZE = 2000, 8
KINDS = {
    "exact": {},
    "with float rows": {"exact_products": 0},
    "of bytes": {"exact_bytes": 0},
}


def clustered(num_rows=ROWS, size=SIZE, seed=0):
    """Rows around 20 centers, which are the same for every seed."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(100).standard_normal((20, size))
    noise = 0.3 * rng.standard_normal((num_rows, size))
    return (centers[rng.integers(20, size=num_rows)] + noise).astype(np.float32)


def names(count):
    return [f"{number}.jpg" for number in range(count)]


def by_sorting(queries, features, k):
    """Similarities and rows in float64, of equal ones the first."""
    rows = [x.astype(np.float64) for x in (queries, features)]
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows]
    cosines = units[0] @ units[1].T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, order, axis=1), order


@pytest.fixture(scope="module")
def features():
    return clustered()


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def index(request, features):
    return Index.build(features, names(ROWS), **request.param)


def test_the_example_of_the_docstring():
    assert doctest.testmod(index_module).attempted >= 5
    assert doctest.testmod(index_module).failed == 0


def test_an_exact_index_gives_what_sorting_gives(features):
    index = Index.build(features, names(ROWS))
    queries = clustered(30, seed=1)
    similarities, rows = index.search(queries, 7)
    expected, expected_rows = by_sorting(queries, features, 7)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert similarities.dtype == np.float32
    assert rows.dtype == np.int64
    assert index.recall == 1.0


@pytest.mark.parametrize("kind", ["with float rows", "of bytes"])
def test_an_approximate_index_has_the_recall_that_it_states(features, kind):
    index = Index.build(features, names(ROWS), **KINDS[kind])
    probes, lists = index._lists.probes, index._lists.num_lists
    assert probes < lists  # else it is no approximation
    queries = clustered(300, seed=1)
    similarities, rows = index.search(queries, 10)
    expected, _ = by_sorting(queries, features, 10)
    cosines, order = by_sorting(queries, features, ROWS)
    of_rows = np.take_along_axis(cosines, np.argsort(order, axis=1), axis=1)
    of_rows = np.take_along_axis(of_rows, rows, axis=1)
    recall = (of_rows >= expected[:, -1:] - 1e-6).mean()
    assert recall == pytest.approx(index.recall, abs=0.03)
    assert index.recall > (0.98 if kind == "with float rows" else 0.9)
    np.testing.assert_allclose(
        similarities, of_rows, atol=1e-6 if kind == "with float rows" else 0.02
    )


def test_one_list_would_not_suffice(features):
    index = Index.build(features, names(ROWS), exact_products=0)
    index._lists.probes = 1
    _, rows = index.search(features, 10)
    _, expected = by_sorting(features, features, 10)
    assert (rows == expected).mean() < 0.9


def test_a_search_of_an_approximate_index_may_be_exact(features):
    queries = clustered(20, seed=2)
    index = Index.build(features, names(ROWS), exact_products=0)
    assert index.has_float_rows
    index._lists.probes = 1
    exact = Index.build(features, names(ROWS)).search(queries, 5)
    assert (index.search(queries, 5)[1] != exact[1]).any()
    np.testing.assert_array_equal(index.search(queries, 5, exact=True), exact)
    of_bytes = Index.build(features, names(ROWS), exact_bytes=0)
    assert not of_bytes.has_float_rows
    with pytest.raises(InputError, match="larger exact_bytes"):
        of_bytes.search(queries, 5, exact=True)


def test_neighbours_are_those_of_a_search_without_the_row_itself(index, features):
    blocks = list(index.neighbours(6))
    rows = np.concatenate([block.neighbours for block in blocks])
    similarities = np.concatenate([block.similarities for block in blocks])
    assert rows.shape == similarities.shape == (ROWS, 6)
    assert not (rows == np.arange(ROWS)[:, np.newaxis]).any()
    assert (np.diff(similarities) <= 0).all()
    _, nearest = index.search(features, 7)
    own = nearest == np.arange(ROWS)[:, np.newaxis]
    assert (own.sum(axis=1) == 1).mean() > 0.99
    expected = [set(row[row != number][:6]) for number, row in enumerate(nearest)]
    same = [len(set(row) & other) / 6 for row, other in zip(rows, expected, strict=True)]
    # Of bytes: the query of a search is the feature, that of neighbours its bytes.
    assert np.mean(same) == 1 if index.has_float_rows else np.mean(same) > 0.97


def test_neighbours_come_in_blocks(features, monkeypatch):
    whole = next(Index.build(features, names(ROWS)).neighbours(3))
    monkeypatch.setattr(index_module, "_QUERIES", 300)
    blocks = list(Index.build(features, names(ROWS)).neighbours(3))
    assert [(b.rows.start, b.rows.stop) for b in blocks[-2:]] == [(1500, 1800), (1800, 2000)]
    np.testing.assert_array_equal(np.concatenate([b.neighbours for b in blocks]), whole.neighbours)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_equal_rows_are_neighbours_of_each_other(kind):
    features = clustered(1200, 6)
    features[100:140] = features[7]  # more than k + SPARE
    features[500] = 3 * features[400]
    index = Index.build(features, names(1200), **kind)
    rows = np.concatenate([block.neighbours for block in index.neighbours(5)])
    similarities = np.concatenate([block.similarities for block in index.neighbours(5)])
    equal = {7, *range(100, 140)}
    for row in equal:
        assert set(rows[row]) <= equal - {row}
    assert 500 in rows[400]
    assert 400 in rows[500]
    np.testing.assert_allclose(similarities[sorted(equal)], 1, atol=0.01)
    assert similarities.max() <= 1


def test_of_equal_rows_the_first_come_first():
    features = clustered(1200, 6)
    features[[3, 60, 700, 1100]] = features[30]
    _, rows = Index.build(features, names(1200)).search(features[[30]], 5)
    assert rows[0].tolist() == [3, 30, 60, 700, 1100]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_seed_alone_decides(features, kind):
    queries = clustered(100, seed=1)
    one, two = (Index.build(features, names(ROWS), seed=3, **kind) for _ in range(2))
    for left, right in zip(one.search(queries, 9), two.search(queries, 9), strict=True):
        np.testing.assert_array_equal(left, right)
    assert one.description == two.description


def test_another_seed_gives_other_lists(features):
    one, two = (Index.build(features, names(ROWS), seed=seed, exact_bytes=0) for seed in (0, 1))
    lists = [index._lists.arrays()["lists"] for index in (one, two)]
    assert (lists[0] != lists[1]).any()


def test_few_rows_are_compared_exactly():
    index = Index.build(clustered(40), names(40), exact_bytes=0, exact_products=0)
    assert index.description == "exact, 40 rows of 8 numbers"


def test_the_description_says_what_is_searched(features):
    text = Index.build(features, names(ROWS), exact_bytes=0).description
    assert text.startswith("approximate, 2,000 rows of 8 numbers: ")
    assert "of 51 lists are searched; recall of the 10 nearest 0.9" in text


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_more_rows_than_the_lists_hold_are_returned(kind):
    features = clustered(1000)
    index = Index.build(features, names(1000), **kind)
    similarities, rows = index.search(features[:2], 1000)
    assert (np.sort(rows) == np.arange(1000)).all()
    assert np.isfinite(similarities).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_of_any_floats_and_of_any_length(dtype):
    features = (clustered(50) * np.linspace(0.01, 100, 50)[:, np.newaxis]).astype(dtype)
    _, rows = Index.build(features, names(50)).search(features, 4)
    np.testing.assert_array_equal(rows, by_sorting(features, features, 4)[1])


def test_memory_mapped_features_are_read_in_blocks(tmp_path, features, monkeypatch):
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r", allow_pickle=False)
    whole = Index.build(features, names(ROWS), exact_bytes=0)
    monkeypatch.setattr("dim_tf.collection.unit_rows.BLOCK_BYTES", 8 * SIZE * 300)
    index = Index.build(mapped, names(ROWS), exact_bytes=0)
    assert index.description == whole.description
    np.testing.assert_array_equal(index.search(features, 5), whole.search(features, 5))


def test_a_row_of_zeros_has_the_similarity_0(index, features):
    changed = features.copy()
    changed[[4, 1990]] = 0
    index = Index.build(changed, names(ROWS), exact_products=0)
    assert index.zero_rows.tolist() == [4, 1990]
    block = next(index.neighbours(3))
    np.testing.assert_array_equal(block.similarities[4], 0)
    assert not np.isin([4, 1990], np.delete(block.neighbours, [4, 1990], axis=0)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, ids: (f, ids[1:]), "1,999 ids of 2,000 features"),
        (lambda f, ids: (f, [*ids[:-1], "5.jpg"]), "'5.jpg' is there twice"),
        (lambda f, ids: (f[0], ids), r"shape \[8\] and type float32; expected an array of floats"),
        (lambda f, ids: (f.astype(int), ids), "type int64; expected an array of floats"),
        (lambda f, ids: (f.tolist(), ids), "another type; expected an array of floats"),
        (lambda f, ids: (f[:0], []), "embed at least one image"),
        (lambda f, ids: (f[:, :0], ids), "embed at least one image"),
        (lambda f, ids: (np.where(f == f[77, 3], np.nan, f), ids), "'77.jpg' has a number that is"),
        (lambda f, ids: (np.where(f == f[1, 0], np.inf, f), ids), "'1.jpg' has a number that is"),
        (lambda f, ids: (f * np.float64(1e300), ids), "'0.jpg' has a number that is not finite"),
    ],
)
def test_features_that_are_none_are_refused(features, change, message):
    with pytest.raises(InputError, match=message):
        Index.build(*change(features, names(ROWS)))


def test_another_metric_is_refused(features):
    with pytest.raises(InputError, match="metric='l2' of an index; expected 'cosine'"):
        Index.build(features, names(ROWS), metric="l2")


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.ones((2, SIZE + 1), np.float32), 1, r"shape \[2, 9\]; expected \[Q, 8\]"),
        (np.ones(SIZE, np.float32), 1, r"shape \[8\]; expected"),
        (np.ones((2, SIZE), np.float32), 0, "k=0 neighbours; expected 1 to 2,000, the rows"),
        (np.ones((2, SIZE), np.float32), 2001, "k=2001 neighbours; expected 1 to 2,000"),
        (np.diag([1.0, 1, 0, 1, 1, 1, 1, 1]), 1, "query 2 is zero in all numbers"),
        (np.full((1, SIZE), np.nan), 1, "query 0 has a number that is not finite"),
    ],
)
def test_wrong_queries_are_refused(index, queries, k, message):
    with pytest.raises(InputError, match=message):
        index.search(queries, k)


def test_no_queries_give_no_rows(index):
    similarities, rows = index.search(np.empty((0, SIZE), np.float32), 3)
    assert similarities.shape == rows.shape == (0, 3)


def test_a_row_is_no_neighbour_of_itself():
    index = Index.build(clustered(5), names(5))
    assert next(index.neighbours(4)).neighbours.shape == (5, 4)
    with pytest.raises(InputError, match="k=5 neighbours; expected 1 to 4, the other rows"):
        index.neighbours(5)
    with pytest.raises(InputError, match="k=1 neighbours; expected 1 to 0"):
        Index.build(clustered(1), names(1)).neighbours(1)


def test_without_faiss_the_error_names_the_extra(monkeypatch, features):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"needs faiss-cpu; pip install 'dim_tf\[search\]'"):
        Index.build(features, names(ROWS))


def test_an_index_needs_no_tensorflow(tmp_path):
    program = (
        "import sys, numpy as np, dim_tf\n"
        "index = dim_tf.Index.build(np.eye(3, dtype=np.float32), ['a', 'b', 'c'])\n"
        f"index.save({str(tmp_path / 'index')!r})\n"
        f"assert len(dim_tf.Index.load({str(tmp_path / 'index')!r})) == 3\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
