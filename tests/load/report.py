"""The results of the benchmarks as one page with tables and plots, complete in itself.

A result's name is SERVICE.METRIC or SERVICE.METRIC.PARAMETER ("vault.upload_mb_per_s.512kib").
What has several parameters is plotted over them, and the limit beside it."""

import base64
import html
import io
import re

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

SERVICES = {"scribe": "Scribe", "hub": "Delivery Hub", "vault": "DICOM Vault",
            "portal": "Student Portal"}
SIZES = {"kib": 2 ** 10, "mib": 2 ** 20, "gib": 2 ** 30}

STYLE = """
:root { font: 16px/1.5 system-ui, sans-serif; color-scheme: light dark; }
body { max-width: 70rem; margin: auto; padding: 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.2rem 0.6rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child, td:nth-child(3) { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots img { max-width: 100%; background: #fff; border-radius: 8px; }
"""


def plain(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"


def magnitude(parameter):
    """Of "2000" or "512kib", for the order and the axis; None for a word."""
    found = re.fullmatch(r"(\d+)(kib|mib|gib)?", parameter)
    return found and int(found[1]) * SIZES.get(found[2], 1)


def series(rows):
    """{metric: [(magnitude, parameter, row), ...]} of what has two parameters at least."""
    found = {}
    for row in rows:
        metric, _, parameter = row["name"].rpartition(".")
        if metric.count(".") == 1 and magnitude(parameter):
            found.setdefault(metric, []).append((magnitude(parameter), parameter, row))
    return {metric: sorted(points, key=lambda p: p[0]) for metric, points in found.items()
            if len(points) > 1}


def draw(metric, points):
    at = range(len(points))
    figure, axes = pyplot.subplots(figsize=(4.6, 3.2), layout="constrained")
    for position, (_, _, row) in zip(at, points):
        axes.plot([position] * len(row["runs"]), row["runs"], ".", color="tab:blue", alpha=0.4)
    axes.plot(at, [row["value"] for *_, row in points], "o-", label="measured")
    if all(row["limit"] for *_, row in points):
        axes.plot(at, [row["limit"] for *_, row in points], "s--", color="tab:gray",
                  label="limit, same run")
    axes.set_xticks(at, [parameter for _, parameter, _ in points])
    axes.set_ylim(bottom=0)
    axes.set_title(metric)
    axes.set_ylabel(points[0][2]["unit"])
    axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    pyplot.close(figure)
    encoded = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="{html.escape(metric)}" src="data:image/png;base64,{encoded}">'


def table(rows):
    cells = ["<table><tr><th>figure<th>value<th>unit<th>limit<th>ratio<th>runs</tr>"]
    for row in rows:
        runs = " ".join(map(plain, row["runs"]))
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        cells.append(f"<tr><td>{html.escape(row['name'])}<td>{plain(row['value'])}"
                     f"<td>{html.escape(row['unit'])}<td>{plain(row['limit'])}<td>{ratio}"
                     f"<td>{runs}</tr>")
    return "\n".join(cells) + "</table>"


def write(path, rows, machine, command):
    """`rows` of all services, in their order; `machine` and `command` as text."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Load</title>"
             f"<style>{STYLE}</style><h1>Load</h1><p>{html.escape(machine)}</p>"
             f"<p>Made by <code>{html.escape(command)}</code>. A limit was measured in the same run; "
             "the ratio is the figure that carries over to another machine.</p>"]
    for service, title in SERVICES.items():
        mine = [row for row in rows if row["name"].split(".")[0] == service]
        if mine:
            plots = "\n".join(draw(*one) for one in series(mine).items())
            parts.append(f"<h2>{title}</h2><div class=plots>{plots}</div>{table(mine)}")
    path.write_text("\n".join(parts))
