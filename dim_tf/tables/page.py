"""A table as a page of the report's style."""

from collections.abc import Sequence
from html import escape
from string import ascii_uppercase
from typing import Any

from dim_tf import metrics_file
from dim_tf.evaluation.measure import Kind
from dim_tf.evaluation.report import charts, marks, tables
from dim_tf.evaluation.report import page as report_page
from dim_tf.evaluation.report.values import amount, duration, label, number
from dim_tf.tables import words
from dim_tf.tables.summary import Summary


def write(summary: Summary) -> None:
    """Writes it into the table's folder."""
    plan = summary.plan
    measured = sum(1 for line in summary.lines if line.records)
    sections = {
        "Table": _html_table(summary),
        "Beside the paper": _axes(summary),
        "Order": _list([words.order_told(order) for order in summary.orders]),
        "Gaps": _list(summary.gaps),
        "Training": _curves(summary),
        "Notes": _list(words.notes(summary)),
        "Cost": _costs(summary),
        "Protocol": tables.definitions(_protocol(summary)),
        "Command": f'<pre tabindex="0"><code>{escape(words.command(summary))}</code></pre>',
        "Settings": tables.settings(words.shared_settings(plan)),
    }
    told = (
        f"<strong>{measured}</strong> of {len(summary.lines)} rows have figures. "
        f"{escape(words.units(summary))}"
    )
    report_page.write_page(
        plan.folder / f"{plan.name}.html",
        plan.table.title,
        f"{plan.dataset} · {plan.experiment.training.epochs:,} epochs",
        told,
        sections,
    )


def _html_table(summary: Summary) -> str:
    body = ""
    heads = [h for c in summary.columns for h in (escape(c.title), "paper")]
    columns = [*heads, "seeds", "training"]
    letters = _letters(summary)
    for line in summary.lines:
        name, *cells = words.row_cells(summary, line)
        letter = f"{letters[line.row.key]} " if line.row.key in letters else ""
        if line.records:
            found = [f"<td>{escape(cell)}</td>" for cell in cells]
        else:
            theirs = [
                f"{column.title} {words.paper_cell(column, value)}"
                for column, value in zip(summary.columns, line.paper, strict=True)
                if value is not None
            ]
            known = f" (the paper: {', '.join(theirs)})" if theirs else ""
            told = escape("; ".join(line.gaps) + known)
            found = [f'<td class="text" colspan="{len(columns)}">{told}</td>']
        body += tables.row(letter + escape(name), found)
    for name, values in summary.floors.items():
        found = [f"<td>{escape(c)}</td>" for c in [*words.floor_cells(summary, values), "", ""]]
        body += tables.row(label(name), found, css="floor")
    return tables.table(summary.plan.table.title, columns, f"<tbody>{body}</tbody>")


def _letters(summary: Summary) -> dict[str, str]:
    """Of the rows with figures, for the curves."""
    keys = [line.row.key for line in summary.lines if line.records]
    return dict(zip(keys, ascii_uppercase, strict=False))


def _axes(summary: Summary) -> str:
    """A figure for each column of shares: ours and the paper's, row by row."""
    found = ""
    for index, column in enumerate(summary.columns):
        lines = []
        for line in summary.lines:
            figure, theirs = line.figures[index], line.paper[index]
            if column.unit != "share" or figure is None:
                continue
            of = Kind("share", "higher", line.row.name)
            ours = marks.Mark(figure.mean, f"here: {amount(of, figure.mean)}", "run")
            beside = []
            if theirs is not None:
                beside = [marks.Mark(theirs, f"the paper: {amount(of, theirs)}", "paper")]
            lines.append(marks.Line(of, [*beside, ours], amount(of, figure.mean)))
        if lines:
            found += f"<h3>{escape(column.title)}</h3>{marks.axis(lines)}"
    keys = [("run", "here"), ("paper", "the paper, at its own budget")]
    return found + marks.legend(keys) if found else ""


def _curves(summary: Summary) -> str:
    """Of the first seed of each row whose run folder is here."""
    runs = []
    for key, letter in _letters(summary).items():
        line = next(line for line in summary.lines if line.row.key == key)
        run = summary.plan.job(line.row, line.seeds[0]).experiment.run_path
        if metrics := metrics_file.read(run / "metrics.jsonl"):
            runs.append(charts.Run(letter, metrics))
    return charts.curves(runs) if runs else ""


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def _costs(summary: Summary) -> str:
    if not summary.records:
        return ""
    rows = ""
    for line in summary.lines:
        if not line.records:
            continue
        speeds = [v for r in line.records if (v := r.cost.get("images_per_second"))]
        times = [duration(line.seconds(stage)) for stage in ("train", "evaluate")]
        cells = [*times, number(sum(speeds) / len(speeds)) if speeds else "–"]
        rows += tables.row(escape(line.row.name), [f"<td>{cell}</td>" for cell in cells])
    columns = ["training", "measuring", "images/s"]
    table = tables.table("Cost of each row", columns, f"<tbody>{rows}</tbody>")
    return f'{table}<p class="note">{escape(words.cost(summary))}</p>'


def _protocol(summary: Summary) -> dict[str, Any]:
    """How the first row that has figures was measured."""
    if not summary.records:
        return {}
    found = summary.records[0].evaluation.get("protocol", {})
    return {name: told for name, told in found.items() if name not in ("step", "seed")}
