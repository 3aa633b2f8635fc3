"""Writes a table as Markdown, JSON and a page."""

import json
from collections.abc import Sequence
from typing import Any

from dim_tf.evaluation.report.formatting import reference_title
from dim_tf.system.files import atomic_write_text
from dim_tf.tables import formatting, table_page
from dim_tf.tables.plan import Plan
from dim_tf.tables.summary import Summary, summarise


def write(plan: Plan) -> None:
    """Writes the table of all records into its folder and into that of its results.

    Each file is written whole or not at all. The table is written again if another process has
    finished a row in the meantime, because that process's newer table may have been overwritten.
    """
    written: Summary | None = None
    while (summary := summarise(plan)) != written:
        written = summary
        for folder in filter(None, (plan.folder, plan.results_folder)):
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(to_json(summary), indent=1, ensure_ascii=False)
            atomic_write_text(folder / f"{plan.file_stem}.json", text + "\n")
            atomic_write_text(folder / f"{plan.file_stem}.md", to_markdown(summary))
        table_page.write_table_page(summary)


def to_json(summary: Summary) -> dict[str, Any]:
    """The whole table; fractions in [0, 1], the paper's too."""
    keys = [f"{column.metric}/{column.endpoint}" for column in summary.columns]
    return {
        "table": summary.plan.key,
        "title": summary.plan.table.title,
        "command": formatting.table_command(summary),
        "date": formatting.newest_date(summary),
        "settings": formatting.shared_settings(summary.plan),
        "columns": {
            key: {"title": c.title, "unit": c.unit, "not comparable": c.not_comparable}
            for key, c in zip(keys, summary.columns, strict=True)
        },
        "rows": [
            {
                "row": row.definition.key,
                "name": row.definition.name,
                "settings": dict(row.definition.settings),
                "seeds": row.seeds,
                "metrics": {
                    key: {"mean": stats.mean, "std": stats.std, "values": stats.values}
                    for key, stats in zip(keys, row.stats, strict=True)
                    if stats
                },
                "paper": {
                    key: value
                    for key, value in zip(keys, row.paper, strict=True)
                    if value is not None
                },
                "gaps": row.gaps,
                "seconds": {stage: row.seconds(stage) for stage in ("train", "evaluate")},
            }
            for row in summary.rows
        ],
        "references": {
            name: {k: v for k, v in zip(keys, values, strict=True) if v is not None}
            for name, values in summary.references.items()
        },
        "rankings": [
            {
                "column": f"{ranking.column.metric}/{ranking.column.endpoint}",
                "ours": ranking.ours,
                "paper": ranking.paper,
                "pairs": ranking.pairs,
                "discordant": ranking.discordant,
            }
            for ranking in summary.rankings
        ],
        "notes": formatting.notes(summary),
        "machines": formatting.machines(summary),
        "versions": formatting.used_versions(summary),
    }


def to_markdown(summary: Summary) -> str:
    """The table for a repository's pages."""
    plan = summary.plan
    shared = formatting.shared_settings(plan)
    settings = ", ".join(f"{name} {value}" for name, value in shared.items())
    headings = formatting.headings(summary)
    lines = [
        f"# {plan.table.title}, {plan.dataset}",
        "",
        f"{settings}. {formatting.units(summary)}",
        "",
        "```",
        formatting.table_command(summary),
        "```",
        "",
        _markdown_row(["", *headings]),
        "|---" * (len(headings) + 1) + "|",
        *(_markdown_row(formatting.row_cells(summary, row)) for row in summary.rows),
        *(
            _markdown_row([reference_title(name), *formatting.reference_cells(summary, values)])
            for name, values in summary.references.items()
        ),
        "",
    ]
    for heading, items in (
        ("Ranking", [formatting.describe_ranking(ranking) for ranking in summary.rankings]),
        ("Gaps", summary.gaps),
        ("Notes", formatting.notes(summary)),
        ("Cost", [formatting.cost(summary)] if summary.records else []),
    ):
        if items:
            lines += [f"## {heading}", "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
