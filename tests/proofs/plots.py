"""What Proof.plot() recorded, drawn as SVG."""

import io
import re
import textwrap

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

WIDTH, HEIGHT = 6.4, 3.7  # inches


def _bars(axes, series):
    words = list(dict.fromkeys(x for points in series.values() for x, _ in points))
    width = 0.8 / len(series)
    for n, (name, points) in enumerate(series.items()):
        at = [words.index(x) + (n - (len(series) - 1) / 2) * width for x, _ in points]
        axes.bar(at, [y for _, y in points], width, label=name)
    wide, size = (14, 10) if len(words) < 5 else (8, 8)
    axes.set_xticks(range(len(words)), [textwrap.fill(word, wide, break_long_words=False)
                                        for word in words], fontsize=size)


def _lines(axes, series, steps):
    for name, points in series.items():
        marker = "." if len(points) > 30 else "o"
        axes.plot(*zip(*points), marker="" if steps else marker, label=name,
                  drawstyle="steps-post" if steps else "default")


def _mark(axes, marks):
    for n, (label, x) in enumerate(marks.items()):
        axes.axvline(x, color="0.5", linestyle=":", linewidth=1)
        axes.annotate(label, (x, 0.97 - 0.08 * (n % 4)), xycoords=("data", "axes fraction"),
                      xytext=(3, 0), textcoords="offset points", fontsize=8, color="0.3", va="top",
                      bbox={"fc": "w", "ec": "none", "alpha": 0.8, "pad": 1})


def draw(plot):
    """An <svg> element of one plot."""
    series = {name: points for name, points in plot["series"].items() if points}
    figure, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    if any(isinstance(points[0][0], str) for points in series.values()):
        _bars(axes, series)
    else:
        _lines(axes, series, plot["steps"])
    axes.set(title=plot["title"], xlabel=plot["x"], ylabel=plot["y"])
    if "x" in plot["log"]:
        axes.set_xscale("log")
        ticks = sorted({x for points in series.values() for x, _ in points})
        if len(ticks) < 8:
            axes.set_xticks(ticks, [f"{x:,}" for x in ticks], minor=False)
            axes.minorticks_off()
    if "y" in plot["log"]:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _mark(axes, plot["marks"])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if all(isinstance(y, int) for points in series.values() for _, y in points):
        axes.yaxis.get_major_locator().set_params(integer=True)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    text = io.StringIO()
    figure.savefig(text, format="svg")
    pyplot.close(figure)
    svg = text.getvalue()
    # Ids must differ between the plots of one page.
    return re.sub(r'(id="|href="#|url\(#)', rf'\g<1>p{abs(hash(svg))}-', svg[svg.index("<svg"):])
