"""build/proofs/report.html of what the proofs wrote; fails when one does not hold."""

import html
import json
import sys

from frame import OUT

STYLE = """
:root { font: 17px/1.55 Georgia, serif; color-scheme: light dark; }
body { max-width: 50rem; margin: auto; padding: 1.5rem; }
h1, h2, nav, figcaption, td, th { font-family: system-ui, sans-serif; }
blockquote { margin: 0; font-size: 1.15rem; font-style: italic; }
.images { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; max-width: 15rem; } figcaption { font-size: 0.8rem; }
td { padding: 0.1rem 1rem 0.1rem 0; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.no { color: #c00; font-weight: bold; }
"""


def lines(notes):
    return "".join(f"<li class={'yes' if n['holds'] else 'no'}>{'✓' if n['holds'] else '✗'} "
                   f"{html.escape(n['what'])}" for n in notes)


def section(r):
    images = "".join(f'<figure><img alt="" src="data:image/png;base64,{i["png"]}">'
                     f"<figcaption>{html.escape(i['caption'])}</figcaption></figure>"
                     for i in r["images"])
    figures = "".join(f"<tr><td>{html.escape(f['what'])}<td>{html.escape(str(f['value']))} "
                      f"{html.escape(f['unit'])}" for f in r["figures"])
    verdict = "It holds." if r["verdict"] else '<span class=no>It does not hold.</span>'
    return (f"<section id={r['id']}><h2>{r['id'].upper()} {html.escape(r['title'])}</h2>"
            f"<blockquote>{html.escape(r['question'])}</blockquote>"
            f"<p><b>Claim.</b> {html.escape(r['claim'])}</p>"
            f"<p><b>Experiment.</b> {html.escape(r['experiment'])} "
            f"<code>make proof-{r['id']}{' QUICK=1' if r['quick'] else ''}</code></p>"
            f"<div class=images>{images}</div><table>{figures}</table>"
            f"<ul>{lines(r['controls'])}{lines(r['checks'])}</ul><p><b>{verdict}</b></p></section>")


def main():
    results = [json.loads(p.read_text()) for p in sorted(OUT.glob("*.json"))]
    links = " ".join(f"<a href=#{r['id']}>{r['id'].upper()}</a>" for r in results)
    (OUT / "report.html").write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Proofs</title><style>{STYLE}</style>"
        f"<h1>Proofs</h1><p>Each question of an interview, answered by an experiment that could have "
        f"failed.</p><nav>{links}</nav>" + "".join(map(section, results)))
    failed = [r["id"] for r in results if not r["verdict"]]
    print(f"proofs: {len(results) - len(failed)} hold, {len(failed)} do not; "
          f"{OUT}/report.html")
    return 1 if failed or not results else 0


sys.exit(main())
