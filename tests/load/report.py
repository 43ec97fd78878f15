"""The results of the benchmarks as one page with tables and plots, complete in itself.

A result's name is SERVICE.METRIC or SERVICE.METRIC.PARAMETER ("vault.upload_mb_per_s.512kib").
What has several parameters is plotted over them, and the limit beside it; p50 and p99 of one thing
share a plot."""

import html
import io
import re

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

SERVICES = {"scribe": "Scribe", "hub": "Delivery Hub", "vault": "DICOM Vault",
            "portal": "Student Portal"}
SIZES = {"kib": 2 ** 10, "mib": 2 ** 20, "gib": 2 ** 30}

# What a parameter says, by how the metric begins or what is in it; the first that fits.
PARAMETERS = {"scribe.": "members of the room", "hub.hot_": "partners after one order",
              "_at_active": "active orders", "hub.": "connections", "vault.": "size of a file",
              "portal.": "students"}

STYLE = """
:root { font: 16px/1.5 system-ui, sans-serif; color-scheme: light dark; }
body { max-width: 70rem; margin: auto; padding: 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.2rem 0.6rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child, td:nth-child(3) { text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
.plots svg { width: 100%; height: auto; background: #fff; border-radius: 8px; }
td:first-child { font-family: ui-monospace, monospace; font-size: 0.85rem; }
td:last-child { font-size: 0.8rem; opacity: 0.7; }
nav a { margin-right: 1rem; }
"""


def plain(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"


def magnitude(parameter):
    """Of "2000" or "512kib", for the order and the axis; None for a word."""
    found = re.fullmatch(r"(\d+)(kib|mib|gib)?", parameter)
    return found and int(found[1]) * SIZES.get(found[2], 1)


def title(metric):
    return metric.partition(".")[2].replace("_per_s", " a second").replace("_", " ")


def parameter_of(metric):
    return next((text for part, text in PARAMETERS.items() if part in metric), "")


def family(metric):
    """("hub.accept_ms", "p99") of "hub.accept_p99_ms"; else (metric, "measured")."""
    found = re.fullmatch(r"(\w+\.(?:\w+_)?)(p\d\d)_(\w+)", metric)
    return (found[1] + found[3], found[2]) if found else (metric, "measured")


def series(rows):
    """{family: {line: [(magnitude, parameter, row), ...]}} of what has two parameters at least."""
    found = {}
    for row in rows:
        metric, _, parameter = row["name"].rpartition(".")
        if metric.count(".") == 1 and magnitude(parameter):
            found.setdefault(metric, []).append((magnitude(parameter), parameter, row))
    families = {}
    for metric, points in found.items():
        if len(points) > 1:
            name, line = family(metric)
            families.setdefault(name, {})[line] = sorted(points, key=lambda p: p[0])
    return families


def draw_line(axes, name, points, color):
    at = range(len(points))
    for position, (_, _, row) in zip(at, points):
        axes.plot([position] * len(row["runs"]), row["runs"], ".", color=color, alpha=0.35)
    axes.plot(at, [row["value"] for *_, row in points], "o-", color=color, label=name)
    if all(row["limit"] for *_, row in points):
        axes.plot(at, [row["limit"] for *_, row in points], "s--", color=color, alpha=0.45,
                  label="limit" if name == "measured" else f"{name}, limit")
    axes.set_xticks(at, [parameter for _, parameter, _ in points])


def draw(metric, lines):
    """An <svg> element."""
    figure, axes = pyplot.subplots(figsize=(4.8, 3.2), layout="constrained")
    for n, (name, points) in enumerate(lines.items()):
        draw_line(axes, name, points, f"C{n}")
    unit = next(iter(lines.values()))[0][2]["unit"]
    axes.set(title=title(metric), xlabel=parameter_of(metric), ylabel=unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    pyplot.close(figure)
    svg = text.getvalue()
    # Ids must differ between the plots of one page.
    name = re.sub(r"\W", "-", metric)
    return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg[svg.index("<svg"):])


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
    mine = {name: [r for r in rows if r["name"].split(".")[0] == name] for name in SERVICES}
    links = " ".join(f"<a href=#{name}>{SERVICES[name]}</a>" for name in SERVICES if mine[name])
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Load</title>"
             f"<meta name=viewport content='width=device-width'><style>{STYLE}</style><h1>Load</h1>"
             f"<p>Made by <code>{html.escape(command)}</code> on {html.escape(machine)}. A limit "
             "is what a bare program, or the thing without what is measured, gave in the same run, in "
             "turn with it; the ratio is the figure that carries over to another machine. Dots are "
             f"single runs, lines their median.</p><nav>{links}</nav>"]
    for name, some in mine.items():
        if some:
            plots = "\n".join(draw(*one) for one in series(some).items())
            parts.append(f"<h2 id={name}>{SERVICES[name]}</h2><div class=plots>{plots}</div>"
                         f"{table(some)}")
    path.write_text("\n".join(parts))
