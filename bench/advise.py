"""What `liteft advise` says of the data sets here, how long it takes, and how well its learning curves predict.

    python bench/advise.py --data ../shared/data [--sets trec clinc150] [--minutes 1]
    python bench/advise.py --demo

The first call writes bench/results/advise.json: for each set the time, the recommended student, the table of layers,
and the errors of the fits of a learning curve: fitted on 1/16 to 1/2 of the texts, each predicts the metric with all of
them. A set that is already in the file is not measured again, so a call can be stopped and repeated. The second writes
the advice on the bundled corpus, as text and as data, to bench/results/advise_demo.json; docs/benchmarks.md shows it.

One thread; only training splits are fitted on, and labels of test splits are never read.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, commit, machine, tell, versions, write_result

import liteft
from liteft.advising.curve import FITS, extrapolate, measure_points
from liteft.advising.judges import Judge, Scored
from liteft.advising.sample import Sample

RESULTS = ROOT / "bench" / "results"
PACKAGES = ("liteft", "torch", "transformers", "scikit-learn")
PARTS = (16, 8, 4, 2)
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "trec": ("trec", {"label": "label"}),
    "trec, fine": ("trec", {"label": "fine"}),
    "clinc150": ("clinc150", {}),
    "sst2": ("sst2", {}),
    "snips": ("snips", {"label": "label"}),
    "goemotions": ("goemotions", {}),
    "imdb": ("imdb", {}),
    "rte": ("rte", {}),
    "chnsenticorp": ("chnsenticorp", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--demo", action="store_true", help="advise on the bundled corpus instead")
    given = parser.parse_args()
    if given.demo:
        os.chdir(ROOT)
        advice = liteft.advise("liteft/data/corpus", ["minilm"], threads=1, progress=tell)
        content = {"command": "python bench/advise.py --demo", "text": advice.render(), "advice": advice.to_dict()}
        write_result(RESULTS / "advise_demo.json", content | origin())
        return
    path = RESULTS / "advise.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["sets"] if path.is_file() else {}
    for name in given.sets:
        if name not in rows:
            rows[name] = measure(name, given.data, given.minutes)
        content = {"command": f"python bench/advise.py --data DATA --minutes {given.minutes:g}", "sets": rows}
        write_result(path, content | {"errors": errors(rows), "true_over_predicted": ratios(rows)} | origin())


def origin() -> dict[str, Any]:
    return {"machine": machine(), "versions": versions(PACKAGES), "commit": commit()}


def measure(name: str, root: Path, minutes: float) -> dict[str, Any]:
    folder, columns = SETS[name]
    dataset = liteft.load_dataset(root / folder, **columns)
    started, used = time.perf_counter(), time.process_time()
    advice = liteft.advise(dataset, ["minilm"], minutes=minutes, threads=1, progress=tell)
    found, base = advice.evidence, advice.evidence.bases[0]
    row: dict[str, Any] = {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - used, 1),
        "texts": len(found.sample),
        "of": found.sample.of,
        "metric": found.metric,
        "majority": found.majority,
        "floors": {floor.name: floor.scored.metrics for floor in found.floors},
        "layers": [layer.metrics[found.metric] for layer in base.layers],
        "best": base.best,
        "first_close": base.first_close,
        "advice": [[each.topic, each.choice, each.reason] for each in advice.recommendations],
        "command": list(advice.command),
        "gains": {curve.name: [curve.gain, *curve.interval] for curve in found.curves},
    }
    judges = {found.floors[0].name: (found.floors[0].judge, found.floors[0].scored)}
    judges["probe"] = (base.judge, base.scored)
    row["predicted"] = {each: predicted(judge, scored, found.sample) for each, (judge, scored) in judges.items()}
    return row


def predicted(judge: Judge, scored: Scored, sample: Sample) -> dict[str, Any]:
    """Return a judge's metric with all texts, and what each fit predicts from at most half of them."""
    points = measure_points(judge, scored, sample, seed=0, parts=PARTS)
    known = np.array([points.values[:-1]])
    return {
        "sizes": list(points.sizes),
        "values": list(points.values),
        **{fit: float(extrapolate(points.sizes[:-1], known, points.sizes[-1:], fit=fit)[0, 0]) for fit in FITS},
    }


def errors(rows: dict[str, Any]) -> dict[str, float]:
    """Return the mean absolute error of each fit, in points, over all sets and judges."""
    curves = [curve for row in rows.values() for curve in row["predicted"].values()]
    return {
        fit: round(100 * float(np.mean([abs(each[fit] - each["values"][-1]) for each in curves])), 2) for fit in FITS
    }


def ratios(rows: dict[str, Any]) -> dict[str, float]:
    """Return quantiles of the true gain of the last doubling over the predicted one, over all sets and judges."""
    found = []
    for curve in (curve for row in rows.values() for curve in row["predicted"].values()):
        before, after = curve["values"][-2:]
        if curve["doubling"] - before > 0.001:
            found.append((after - before) / (curve["doubling"] - before))
    return {f"{share:g}": round(float(np.quantile(found, share)), 2) for share in (0.05, 0.25, 0.5, 0.75, 0.95)}


if __name__ == "__main__":
    main()
