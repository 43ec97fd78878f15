"""build/proofs/report.html of what the proofs wrote; fails when one does not hold."""

import html
import json
import os
import platform
import sys

import plots
from frame import OUT

SERVICES = {"s": "Scribe", "d": "Delivery Hub", "v": "DICOM Vault", "p": "Student Portal"}

STYLE = """
:root { font: 17px/1.6 Georgia, "DejaVu Serif", serif; color-scheme: light dark;
        --yes: #1a7f37; --no: #c62828; --line: #8884; --soft: #8881; }
body { max-width: 52rem; margin: auto; padding: 2rem 1.25rem 6rem; }
h1, h2, h3, nav, figcaption, table, .tag, summary { font-family: system-ui, sans-serif; }
h1 { font-size: 2.4rem; margin-bottom: 0; }
h2 { margin-top: 0; line-height: 1.2; }
section { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 2rem; }
blockquote { margin: 0 0 1rem; padding-left: 1rem; border-left: 4px solid var(--line);
             font-size: 1.25rem; font-style: italic; }
h3 { font-size: 0.8rem; letter-spacing: 0.08em; text-transform: uppercase; opacity: 0.65;
     margin: 1.6rem 0 0.3rem; }
p { margin: 0.3rem 0; }
code { font-size: 0.85rem; background: var(--soft); padding: 0.1rem 0.35rem; border-radius: 4px; }
figure { margin: 1rem 0; }
figcaption { font-size: 0.85rem; opacity: 0.8; margin-top: 0.3rem; }
svg { width: 100%; height: auto; background: #fff; border-radius: 8px; }
.images { display: flex; flex-wrap: wrap; gap: 1rem; }
.images figure { max-width: 15rem; }
.images img { width: 100%; image-rendering: pixelated; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums;
        width: 100%; }
td, th { padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; text-align: left; }
.wide td:not(:first-child), .wide th:not(:first-child) { text-align: right; }
.wide { margin: 0.5rem 0 1rem; }
.figures td:last-child { text-align: right; white-space: nowrap; padding-right: 0; }
ul { list-style: none; padding: 0; margin: 0; }
li { padding-left: 1.5rem; text-indent: -1.5rem; }
.yes::before { content: "✓ "; color: var(--yes); font-weight: bold; }
.no::before { content: "✗ "; color: var(--no); font-weight: bold; }
.tag { font-size: 0.85rem; font-weight: bold; color: #fff; border-radius: 99px;
       padding: 0.15rem 0.8rem; background: var(--yes); white-space: nowrap; }
.tag.bad { background: var(--no); }
.matrix { font-size: 0.72rem; line-height: 1.25; }
.matrix th { font-weight: normal; text-align: left; }
.matrix td { text-align: center; border: 1px solid #fff; color: #000; padding: 0 0.4rem; }
.open { background: #9bd8a9; } .closed { background: #d6d9dd; } .hidden { background: #f2dc9b; }
.matrix td.wrong { background: #e5484d; color: #fff; font-weight: bold; }
a { color: inherit; }
"""


def text(words):
    return html.escape(str(words))


def number(value):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,}"
    return text(value)


def notes(title, said):
    lines = "".join(f"<li class={'yes' if n['holds'] else 'no'}>"
                    f"{text(n['what'].removeprefix('control: '))}" for n in said)
    return f"<h3>{title}</h3><ul>{lines}</ul>" if said else ""


def wide(table):
    head = "".join(f"<th>{text(word)}" for word in table["header"])
    rows = "".join("<tr>" + "".join(f"<td>{number(value)}" for value in row)
                   for row in table["rows"])
    return f"<table class=wide><tr>{head}{rows}</table>"


def picture(image):
    return (f'<figure><img alt="" src="data:image/png;base64,{image["png"]}">'
            f"<figcaption>{text(image['caption'])}</figcaption></figure>")


def plot(one):
    return f"<figure>{plots.draw(one)}<figcaption>{text(one['caption'])}</figcaption></figure>"


def matrix(m):
    head = "".join(f"<th>{text(c)}" for c in m["columns"])
    rows = "".join(f"<tr><th>{text(label)}" + "".join(
        f'<td class="{colour}">{text(said)}' for said, colour in cells) for label, cells in m["rows"])
    return (f"<figure><table class=matrix><caption>{text(m['title'])}</caption><tr><th>{head}{rows}"
            f"</table><figcaption>{text(m['caption'])}</figcaption></figure>")


def tag(result):
    return "<span class=tag>holds</span>" if result["verdict"] else \
        "<span class='tag bad'>does not hold</span>"


def command(result):
    return f"make proof-{result['id']}{' QUICK=1' if result['quick'] else ''}"


def section(r):
    rows = "".join(f"<tr><td>{text(f['what'])}<td>{number(f['value'])} {text(f['unit'])}"
                   for f in r["figures"])
    images = "".join(map(picture, r["images"]))
    figures = "".join(map(wide, r["tables"])) + (f"<table class=figures>{rows}</table>" if rows else "")
    return (f"<section id={r['id']}><h2>{r['id'].upper()} · {text(r['title'])}</h2>"
            f"<blockquote>{text(r['question'])}</blockquote>"
            f"<h3>Claim</h3><p>{text(r['claim'])}</p>"
            f"<h3>Experiment</h3><p>{text(r['experiment'])}</p>"
            + "".join(map(plot, r["plots"])) + "".join(map(matrix, r["matrices"]))
            + f"<div class=images>{images}</div>"
            + notes("Could it have failed?", r["controls"]) + notes("What was seen", r["checks"])
            + f"<h3>Figures</h3>{figures}<h3>Verdict</h3><p>{tag(r)} &nbsp; <code>{command(r)}</code></p></section>")


def contents(results):
    rows = "".join(f"<tr><td>{SERVICES[r['id'][0]]}<td><a href=#{r['id']}>{r['id'].upper()}</a>"
                   f"<td>{text(r['question'])}<td>{tag(r)}" for r in results)
    return f"<nav><table>{rows}</table></nav>"


def main():
    order = list(SERVICES)
    results = sorted((json.loads(p.read_text()) for p in OUT.glob("*.json")),
                     key=lambda r: (order.index(r["id"][0]), r["id"]))
    short = " These are the short forms." if any(r["quick"] for r in results) else ""
    (OUT / "report.html").write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Proofs</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style><h1>Proofs</h1>"
        f"<p>Each question that an interview asks of these four servers, answered by an experiment "
        f"that could have failed: a control beside it shows the fault that it looks for. Every "
        f"figure was computed by the run that made this page, on {os.cpu_count()} processors "
        f"({platform.machine()}, {platform.system()} {platform.release()}).{short}</p>"
        + contents(results) + "".join(map(section, results)))
    failed = [r["id"] for r in results if not r["verdict"]]
    print(f"proofs: {len(results) - len(failed)} hold, {len(failed)} do not; {OUT}/report.html")
    return 1 if failed or not results else 0


sys.exit(main())
