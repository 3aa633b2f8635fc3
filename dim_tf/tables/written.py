"""A table as Markdown, JSON and a page, each written whole or not at all."""

import json
from collections.abc import Sequence
from typing import Any

from dim_tf.evaluation.report.values import label
from dim_tf.system.files import atomic_write_text
from dim_tf.tables import page, words
from dim_tf.tables.plan import Plan
from dim_tf.tables.summary import Summary, summarise


def write(plan: Plan) -> None:
    """Writes the table as its rows' files tell, into its folder and that of its results.

    Again, where a row was finished meanwhile by another process, whose table may have been
    overwritten by this one, older one.
    """
    before: Any = None
    while (summary := summarise(plan)) != before:
        before = summary
        for folder in filter(None, (plan.folder, plan.results)):
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(as_json(summary), indent=1, ensure_ascii=False)
            atomic_write_text(folder / f"{plan.name}.json", text + "\n")
            atomic_write_text(folder / f"{plan.name}.md", as_markdown(summary))
        page.write(summary)


def as_json(summary: Summary) -> dict[str, Any]:
    """All that the table tells; shares in [0, 1], the paper's too."""
    keys = [f"{column.measure}/{column.endpoint}" for column in summary.columns]
    return {
        "table": summary.plan.key,
        "title": summary.plan.table.title,
        "command": words.command(summary),
        "date": words.date(summary),
        "settings": words.shared_settings(summary.plan),
        "columns": {
            key: {"title": c.title, "unit": c.unit, "not comparable": c.apart}
            for key, c in zip(keys, summary.columns, strict=True)
        },
        "rows": [
            {
                "row": line.row.key,
                "name": line.row.name,
                "settings": dict(line.row.settings),
                "seeds": line.seeds,
                "figures": {
                    key: {"mean": f.mean, "std": f.std, "values": f.values}
                    for key, f in zip(keys, line.figures, strict=True)
                    if f
                },
                "paper": {
                    key: value
                    for key, value in zip(keys, line.paper, strict=True)
                    if value is not None
                },
                "gaps": line.gaps,
                "seconds": {stage: line.seconds(stage) for stage in ("train", "evaluate")},
            }
            for line in summary.lines
        ],
        "floors": {
            name: {k: v for k, v in zip(keys, values, strict=True) if v is not None}
            for name, values in summary.floors.items()
        },
        "order": [
            {
                "column": f"{order.column.measure}/{order.column.endpoint}",
                "ours": order.ours,
                "paper": order.papers,
                "pairs": order.pairs,
                "different": order.different,
            }
            for order in summary.orders
        ],
        "notes": words.notes(summary),
        "machines": words.machines(summary),
        "versions": words.used_versions(summary),
    }


def as_markdown(summary: Summary) -> str:
    """The table for a repository's pages."""
    plan = summary.plan
    settings = ", ".join(f"{name} {value}" for name, value in words.shared_settings(plan).items())
    heads = [head for c in summary.columns for head in (c.title, "paper")]
    lines = [
        f"# {plan.table.title}, {plan.dataset}",
        "",
        f"{settings}. {words.units(summary)}",
        "",
        "```",
        words.command(summary),
        "```",
        "",
        _markdown_row(["", *heads, "seeds", "training"]),
        "|---" * (len(heads) + 3) + "|",
        *(_markdown_row(words.row_cells(summary, line)) for line in summary.lines),
        *(
            _markdown_row([label(name), *words.floor_cells(summary, values), "", ""])
            for name, values in summary.floors.items()
        ),
        "",
    ]
    for heading, items in (
        ("The paper's order", [words.order_told(order) for order in summary.orders]),
        ("Gaps", summary.gaps),
        ("Notes", words.notes(summary)),
        ("Cost", [words.cost(summary)] if summary.records else []),
    ):
        if items:
            lines += [f"## {heading}", "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
