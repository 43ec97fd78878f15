"""What the proofs share. A proof is a folder of its own, tests/proofs/ID_NAME/, with a proof.py:

    proof = Proof("v2", question=..., claim=..., experiment=...)
    proof.control(holds, "the experiment sees a leak where there is one")
    proof.check(holds, "ours gives nothing away")
    proof.figure("packets", 7)
    proof.plot("Throughput", "members", "deliveries a second", {"ours": [(5, 70000), ...]}, log="xy")
    proof.finish()

Nothing is typed in by hand: what finish() writes to build/proofs/ID.json was computed by the run
that just ended, and without a control that held there is no verdict."""

import base64
import json
import os
import sys

from harness.process import BUILD

OUT = BUILD / "proofs"
QUICK = os.environ.get("QUICK", "0") not in ("", "0")


class Proof:
    def __init__(self, name, title, question, claim, experiment):
        self.result = {"id": name, "title": title, "question": question, "claim": claim,
                       "experiment": experiment, "controls": [], "checks": [], "figures": [],
                       "images": [], "plots": [], "matrices": [], "tables": [],
                       "quick": QUICK}
        print(f"{name.upper()} {title}", flush=True)

    def _note(self, kind, holds, what):
        self.result[kind].append({"holds": bool(holds), "what": what})
        print(f"  {'ok' if holds else 'FAILED':<7} {what}", flush=True)

    def control(self, holds, what):
        """The experiment can fail: it sees the fault where there is one."""
        self._note("controls", holds, f"control: {what}")

    def check(self, holds, what):
        self._note("checks", holds, what)

    def figure(self, what, value, unit=""):
        self.result["figures"].append({"what": what, "value": value, "unit": unit})
        print(f"          {what}: {value} {unit}".rstrip(), flush=True)

    def image(self, png, caption):
        self.result["images"].append({"png": base64.b64encode(png).decode(), "caption": caption})

    def table(self, header, rows):
        """Figures that are read across: the header's words, and rows of as many values."""
        self.result["tables"].append({"header": header, "rows": rows})
        for row in [header, *rows]:
            print("          " + " | ".join(map(str, row)), flush=True)

    def plot(self, title, x, y, series, caption="", log="", marks=None, steps=False):
        """A picture for the report, of {name: [(x, y), ...]}: lines, or bars when the x are words.
        `log` names the axes with a logarithmic scale, `marks` {label: x} are moments to see."""
        self.result["plots"].append({"title": title, "x": x, "y": y, "series": series, "log": log,
                                     "caption": caption, "marks": marks or {}, "steps": steps})

    def matrix(self, title, columns, rows, caption=""):
        """A picture of many cells: rows are (label, [(text, colour), ...]), a colour one of "open",
        "closed", "hidden" and "wrong"."""
        self.result["matrices"].append({"title": title, "columns": columns, "rows": rows,
                                        "caption": caption})

    def finish(self):
        notes = self.result["controls"] + self.result["checks"]
        holds = bool(self.result["controls"] and self.result["checks"]) and all(
            n["holds"] for n in notes)
        self.result["verdict"] = holds
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{self.result['id']}.json").write_text(json.dumps(self.result, indent=1) + "\n")
        print(f"  verdict: {'holds' if holds else 'DOES NOT HOLD'}", flush=True)
        sys.exit(0 if holds else 1)
