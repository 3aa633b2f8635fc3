"""Written tables: metrics over seeds, the paper's values, ranking, gaps."""

import json
import re

from dim_tf.experiment import Experiment
from dim_tf.tables import formatting
from dim_tf.tables.plan import make_plan, result_settings
from dim_tf.tables.records import Record, record_path
from dim_tf.tables.summary import summarise
from dim_tf.tables.writers import write

KINDS = {"mlp_probe": {"unit": "fraction", "better": "higher", "title": "MLP probe"}}


def plan_of(folder, table="1", **changes):
    settings = {"table": table, "dataset": "cifar10", "run_dir": str(folder), **changes}
    return make_plan(Experiment.of(name="t", **settings), settings)


def finish(plan, key, seed, evaluation, failed=None):
    row = next(row for row in plan.table.rows if row.key == key)
    job = plan.job(row, seed)
    record = Record(
        row=key,
        seed=seed,
        settings=result_settings(job.experiment),
        measures=list(job.experiment.evaluation.measure_names),
        evaluation={"measures": KINDS, "protocol": {"step": 1}, **evaluation},
        failed=failed or {},
        cost={"train": 60.0, "evaluate": 5.0, "images_per_second": 400.0},
        versions={"keras": "3.1"},
        machine="2 CPU cores",
        date=f"2026-01-0{seed + 1}T00:00:00+00:00",
        command="python",
    )
    record.write(record_path(plan.folder, job.name))


def probes(conv, fc=0.5, latent=0.4):
    return {"mlp_probe": {"conv": conv, "fc": fc, "global": latent}}


def markdown_of(plan):
    write(plan)
    return (plan.folder / f"{plan.file_stem}.md").read_text(encoding="utf-8")


def cells(markdown, name):
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_values_are_means_over_seeds_beside_the_papers(tmp_path):
    plan = plan_of(tmp_path, table_seeds="0,1")
    finish(plan, "dim_l_jsd", 0, probes(0.62))
    finish(plan, "dim_l_jsd", 1, probes(0.64))
    finish(plan, "dim_l_infonce", 0, probes(0.66))
    text = markdown_of(plan)
    row = cells(text, "DIM(L) JSD")
    assert row[1:3] == ["63.0 ± 1.4", "73.25"]
    assert row[-2:] == ["0, 1", "2.0 min"]
    assert cells(text, "DIM(L) infoNCE")[1:3] == ["66.0", "75.21"]
    assert "- DIM(L) infoNCE: seed 1: not run" in text
    assert cells(text, "DIM(L) DV*")[1:3] == ["seed 0: not run", "72.66"]


def test_the_ranking_is_compared_with_the_papers(tmp_path):
    plan = plan_of(tmp_path)
    finish(plan, "dim_l_jsd", 0, probes(0.60, fc=0.60))
    finish(plan, "dim_l_infonce", 0, probes(0.65, fc=0.55))
    finish(plan, "dim_g_jsd", 0, probes(0.50, fc=0.50))
    rankings = {ranking.column.endpoint: ranking for ranking in summarise(plan).rankings}
    assert (rankings["conv"].pairs, rankings["conv"].discordant) == (3, [])
    assert rankings["conv"].ours == ["DIM(L) infoNCE", "DIM(L) JSD", "DIM(G)"]
    assert rankings["fc"].discordant == [("DIM(L) infoNCE", "DIM(L) JSD")]
    text = markdown_of(plan)
    assert "fc: 2 of 3 pairs of rows are ranked as in the paper." in text
    assert "Only in the paper: DIM(L) infoNCE above DIM(L) JSD." in text


def test_full_supervision_is_excluded_from_the_ranking(tmp_path):
    """The paper's value is the network's accuracy, ours a probe's."""
    plan = plan_of(tmp_path)
    for key, conv in (("dim_l_jsd", 0.60), ("dim_g_jsd", 0.50), ("supervised", 0.40)):
        finish(plan, key, 0, probes(conv))
    rankings = {ranking.column.endpoint: ranking for ranking in summarise(plan).rankings}
    assert rankings["conv"].ours == ["DIM(L) JSD", "DIM(G)"]
    assert "excluded from the ranking" in markdown_of(plan)


def test_gaps_say_why(tmp_path):
    plan = plan_of(tmp_path, table="3")
    kinds = {"svm": {**KINDS["mlp_probe"], "title": "SVM"}}
    measured = {"svm": {"conv": 0.6}, "measures": kinds}
    protocol = {"step": 1, "reconstruction": "left out: needs pictures"}
    finish(plan, "dim_g_jsd", 0, {**measured, "protocol": protocol}, {"mine": "it diverged"})
    row = next(row for row in summarise(plan).rows if row.definition.key == "dim_g_jsd")
    assert row.gaps == [
        "mine failed: it diverged",
        "SVM fc, SVM Y, NDM, NDM without sigmoid: this encoder has no such metric",
        "MS-SSIM: left out: needs pictures",
    ]


def test_values_that_do_not_compare_are_in_brackets_and_not_ranked(tmp_path):
    plan = plan_of(tmp_path, table="3")
    for key, value in (("dim_g_jsd", 3.0), ("dim_l_jsd", 4.0)):
        finish(plan, key, 0, {"mine": {"global": value}, "ms_ssim": {"global": 0.5}})
    text = markdown_of(plan)
    assert cells(text, "DIM(G)")[7:11] == ["0.5", "(0.49)", "3", "(49.63)"]
    assert "pairs of rows" not in text
    assert "MINE, NDM, NDM without sigmoid: not comparable with the paper's" in text


def test_rows_of_other_images_are_named(tmp_path):
    plan = plan_of(tmp_path)
    for key, seen in (("dim_l_jsd", "1"), ("vae", "2"), ("ae", "1")):
        finish(plan, key, 0, {**probes(0.5), "protocol": {"step": 1, "images": seen}})
    assert "Not all rows used the same images" in markdown_of(plan)
    assert "do not compare: VAE; AE*, DIM(L) JSD." in markdown_of(plan)
    finish(plan, "vae", 0, {**probes(0.5), "protocol": {"step": 1, "images": "1"}})
    assert "same images" not in markdown_of(plan)


def test_metrics_of_other_settings_are_not_shown(tmp_path):
    finish(plan_of(tmp_path, epochs=3), "dim_l_jsd", 0, probes(0.9))
    line = next(
        row for row in summarise(plan_of(tmp_path)).rows if row.definition.key == "dim_l_jsd"
    )
    assert line.records == []
    assert "epochs: 3 -> 20" in line.gaps[0]


def test_a_data_set_that_the_paper_lacks(tmp_path):
    plan = plan_of(tmp_path, dataset="digits")
    finish(plan, "dim_l_jsd", 0, probes(0.9))
    text = markdown_of(plan)
    assert cells(text, "DIM(L) JSD")[1:3] == ["90.0", "50.0"]  # conv and fc, none of the paper's
    assert "| conv | fc | Y | seeds | training |" in text
    assert "The paper has no values for digits in this table." in text
    assert "the paper's value is next to each" not in text
    assert "not in the paper" not in text


def test_a_row_that_the_paper_lacks_says_so(tmp_path):
    plan = plan_of(tmp_path)
    finish(plan, "simclr", 0, probes(0.7))
    text = markdown_of(plan)
    assert cells(text, "SimCLR")[1:7] == ["70.0", "not in the paper", "50.0", "", "40.0", ""]
    assert cells(text, "VICReg")[1:3] == ["not run", "not in the paper"]
    assert text.count("not in the paper") == 2
    page = (tmp_path / "table1.html").read_text(encoding="utf-8")
    assert "<td>70.0</td><td>not in the paper</td><td>50.0</td><td></td>" in page


def test_a_column_without_a_value_of_the_papers_stands_alone(tmp_path):
    plan = plan_of(tmp_path, table="2", dataset="tiny_imagenet")
    kinds = {**KINDS, "knn": {**KINDS["mlp_probe"], "title": "kNN"}}
    references = {"random_weights": {"mlp_probe": {"fc": 0.1}, "knn": {"global": 0.02}}}
    values = {"knn": {"conv": 0.3, "fc": 0.2, "global": 0.1}, "measures": kinds}
    finish(plan, "vae", 0, {**probes(0.2), **values, "references": references})
    text = markdown_of(plan)
    head = "conv | paper | fc | paper | Y | paper | kNN conv | kNN fc | kNN Y | seeds | training |"
    assert head in text
    row = ["20.0", "18.63", "50.0", "16.88", "40.0", "11.93", "30.0", "20.0", "10.0", "0"]
    assert cells(text, "VAE")[1:11] == row
    reference = ["", "", "10.0", "", "", "", "", "", "2.0", "", ""]
    assert cells(text, "random weights")[1:] == reference


def test_the_page_has_the_table_and_loads_nothing(tmp_path):
    plan = plan_of(tmp_path)
    finish(plan, "dim_l_jsd", 0, probes(0.62))
    write(plan)
    page = (tmp_path / "table1.html").read_text(encoding="utf-8")
    row = re.search(r'<th scope="row">A DIM\(L\) JSD</th>(.*?)</tr>', page)[1]
    assert "<td>62.0</td><td>73.25</td>" in row
    assert "the paper: 73.2%" in page or "the paper: 73.3%" in page
    assert ">not run (the paper: conv 72.66, fc 70.6, Y 64.71)</td>" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)


def test_no_path_of_this_machine_is_written(tmp_path):
    plan = plan_of(tmp_path, data_dir="/secret/data", epochs=2)
    finish(plan, "dim_l_jsd", 0, probes(0.62))
    text = markdown_of(plan) + (tmp_path / "table1.json").read_text(encoding="utf-8")
    assert "/secret" not in text
    assert str(tmp_path) not in text
    assert "--mode=table --table=1 --dataset=cifar10 --epochs=2" in text


def test_no_text_of_a_record_becomes_markup_on_the_page(tmp_path):
    hostile = "<script>alert(1)</script>"
    plan = plan_of(tmp_path)
    protocol = {"step": 1, hostile: hostile}
    failed = {"mlp_probe": hostile}
    finish(plan, "dim_l_jsd", 0, {**probes(0.62), "protocol": protocol}, failed)
    write(plan)
    page = (tmp_path / "table1.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3  # a gap; a name in the protocol and its text


def test_a_row_that_finishes_while_the_table_is_written_is_in_it(tmp_path, monkeypatch):
    plan = plan_of(tmp_path)
    from dim_tf.tables import table_page

    finish(plan, "dim_l_jsd", 0, probes(0.62))
    original = table_page.write_table_page

    def slow(summary):
        original(summary)
        finish(plan, "dim_l_dv", 0, probes(0.58))

    monkeypatch.setattr(table_page, "write_table_page", slow)
    write(plan)
    table = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))
    by_row = {row["row"]: row["metrics"] for row in table["rows"] if row["metrics"]}
    assert set(by_row) == {"dim_l_jsd", "dim_l_dv"}


def test_metrics_of_held_out_images_are_not_compared_with_the_papers(tmp_path):
    plan = plan_of(tmp_path, validation_fraction=0.1)
    finish(plan, "dim_l_jsd", 0, probes(0.62))
    text = markdown_of(plan)
    assert cells(text, "DIM(L) JSD")[1:3] == ["62.0", "50.0"]  # conv and fc, none of the paper's
    assert "Measured on 10 % of the training images, held out" in text
    assert "The paper has no values" not in text


def test_settings_that_differ_from_their_defaults_are_shown(tmp_path):
    plan = plan_of(tmp_path, schedule="cosine", validation_fraction=0.1, augmentation="natural")
    settings = formatting.shared_settings(plan)
    assert settings["schedule"] == "cosine"
    assert settings["validation_fraction"] == 0.1
    assert settings["augmentation"] == "natural"
    assert "estimator" not in settings  # each row's own
    assert "weight_decay" not in settings


def test_the_command_names_the_rows_that_have_metrics(tmp_path):
    """Whichever command wrote it last: each of several may have run some of the rows."""
    plan = plan_of(tmp_path, table_seeds="0,1", rows="dim_l_infonce:2,vae:1")
    assert "--rows=dim_l_infonce:2,vae:1" in markdown_of(plan)
    for key, seed in (("dim_l_infonce", 0), ("dim_l_infonce", 1), ("vae", 0), ("ae", 1)):
        finish(plan, key, seed, probes(0.6))
    for writer in (plan, plan_of(tmp_path, rows="vae")):
        text = markdown_of(writer)
        # ae has the second seed alone, which NAME:1 would not be.
        assert "--rows=vae:1,ae,dim_l_infonce" in text
        assert "--table_seeds=0,1" in text


def test_a_seed_that_another_table_measured_is_shown_only_where_it_has_metrics(tmp_path):
    finish(plan_of(tmp_path), "dim_l_jsd", 0, {**probes(0.6), "svm": {"conv": 0.5}})
    finish(plan_of(tmp_path, table_seeds="1"), "dim_l_jsd", 1, probes(0.7))
    text = markdown_of(plan_of(tmp_path, table="3", rows="dim_l_jsd"))
    assert cells(text, "DIM(L)")[1] == "50.0"
    assert "of seed 1" not in text
    assert "--table_seeds=0,1" not in text
    both = markdown_of(plan_of(tmp_path, table="3", rows="dim_l_jsd", table_seeds="0,1"))
    assert re.search(r"SVM conv of seed 1.*: not measured", both)
