"""Fills the regions of README.md and docs/ with numbers from bench/results/*.json and models/*/results.json.

    make readme                            # or: python bench/readme.py
    python bench/readme.py --check         # changes nothing, and fails if a region is out of date

A region is what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; REGIONS says what makes each. Numbers
that were measured stand in regions alone, so that no page can drift from its results.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import readme_kernels as kernels
import readme_quality as quality
import readme_quickstart as quickstart
import readme_speed as speed
from machine import ROOT

from liteft import files

REGIONS: Mapping[str, Callable[[], str]] = {
    "adapter-memory": speed.adapter_memory,
    "advise": quality.advise,
    "advise-demo": quality.advise_demo,
    "arms": quality.arms,
    "arms-in-short": quality.arms_in_short,
    "cuda-forward": kernels.cuda_forward,
    "cuda-kernels": kernels.cuda_kernels,
    "demo": quality.demo,
    "demo-in-full": quality.demo_in_full,
    "fairness": speed.fairness,
    "int8-agreement": speed.int8_agreement,
    "models": quality.models,
    "peers": speed.peers,
    "peers-of-answers": speed.peers_of_answers,
    "peers-of-words": speed.peers_of_words,
    "peers-ratios": speed.peers_ratios,
    "peers-shares": speed.peers_shares,
    "pipelines": speed.pipelines,
    "pretraining": quality.pretraining,
    "quickstart-advise": quickstart.advise,
    "quickstart-check": quickstart.check,
    "quickstart-compare": quickstart.compare,
    "quickstart-predict": quickstart.predict,
    "quickstart-serve": quickstart.serve,
    "quickstart-times": quickstart.times,
    "service": speed.service,
    "service-peers": speed.service_peers,
    "small-models": quality.small_models,
    "static-int8": speed.static_int8,
    "teacher-searches": quality.teacher_searches,
    "training": speed.training,
    "vocabulary": quality.vocabulary,
}

_MARK = re.compile(r"<!-- (begin|end) ([a-z0-9-]+) -->")
_REGION = re.compile(r"(<!-- begin ([a-z0-9-]+) -->\n).*?(<!-- end \2 -->)", re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a region is out of date")
    arguments = parser.parse_args()
    old = []
    for path in pages(ROOT):
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            old.append(path.relative_to(ROOT).as_posix())
            if not arguments.check:
                files.write_text(path, after)
    for name in old:
        print(f"{name} {'is out of date: run make readme' if arguments.check else 'written'}")
    return 1 if old and arguments.check else 0


def pages(root: Path) -> Iterator[Path]:
    """Yield README.md, and every page of docs/, in a fixed order."""
    yield root / "README.md"
    yield from sorted((root / "docs").rglob("*.md"))


def filled(page: str, regions: Mapping[str, Callable[[], str]] = REGIONS) -> str:
    """Return a page with every region made anew.

    Raises:
        ValueError: a mark has no partner, or names a region that is not known.
    """
    marks = _MARK.findall(page)
    begun = [name for kind, name in marks if kind == "begin"]
    if marks != [(kind, name) for name in begun for kind in ("begin", "end")]:
        raise ValueError(f"the marks of regions are not in pairs: {marks}")
    unknown = sorted(set(begun) - set(regions))
    if unknown:
        raise ValueError(f"unknown regions: {', '.join(unknown)}; known: {', '.join(regions)}")
    return _REGION.sub(lambda found: f"{found[1]}\n{regions[found[2]]()}\n\n{found[3]}", page)


if __name__ == "__main__":
    sys.exit(main())
