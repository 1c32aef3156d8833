"""Tries the files of a release: each is installed in an empty environment, and classifies texts there.

    python release/check.py --dist dist

For every wheel that this machine takes, and for the source distribution: a virtual environment, the file with the extra
`cpu`, `liteft doctor`, and the artifact of a tiny model in the native engine and in ONNX Runtime, whose logits must be
those of this checkout. A wheel for aarch64 is tried under qemu-user elsewhere, with Debian's Python. twine checks the
metadata, and that the description can be shown.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import DEBIAN, Environment, emulated, of_this_machine

ROOT = Path(__file__).resolve().parents[1]
SMOKE = str(ROOT / "release" / "smoke.py")
CONSTRAINTS = ROOT / "constraints.txt"
APART = {"fp32": 1e-3, "int8": 0.15}  # the engine's attention is in bf16 beside int8; logits have deviation 1
TEXTS = ["my parcel never arrived", "how do I reset the device?", "thanks", "the lid is cracked " * 40]


def main() -> int:
    """Check every file, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    given = parser.parse_args()
    files = sorted([*given.dist.resolve().glob("liteft-*.whl"), *given.dist.resolve().glob("liteft-*.tar.gz")])
    if not files:
        raise SystemExit(f"{given.dist} has no wheel and no source distribution; `make wheels` builds them")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, files)], check=True)
    with tempfile.TemporaryDirectory() as folder:
        artifacts, expected = prepared(Path(folder))
        for number, file in enumerate(files):
            environment, backends = environment_of(file, Path(folder) / str(number))
            environment.run(environment.liteft, "doctor")
            for artifact in artifacts:
                for backend in backends:
                    said = environment.run(
                        environment.python, SMOKE, str(artifact), str(expected / f"{artifact.name}.json"), backend
                    )
                    print(f"{file.name}: {said.strip()}", flush=True)
    return 0


def environment_of(file: Path, folder: Path) -> tuple[Environment, tuple[str, ...]]:
    """Return an environment with a file installed, and the backends that can be tried there."""
    for machine in DEBIAN:
        if file.stem.endswith(f"_{machine}") and machine != platform.machine():
            return emulated(folder, machine, file, CONSTRAINTS), ("native",)
    return of_this_machine(folder, f"{file}[cpu]", CONSTRAINTS), ("native", "onnxruntime")


def prepared(folder: Path) -> tuple[list[Path], Path]:
    """Make artifacts of a tiny model, and write what this checkout answers, in ONNX Runtime; return both."""
    sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "bench" / "micro")]
    from micro_models import PRECISIONS, models_of  # type: ignore[import-not-found]  # of bench/micro

    import liteft

    models = models_of("tiny")
    for precision in PRECISIONS:
        with liteft.load(models / precision, backend="onnxruntime", device="cpu") as classifier:
            known = {
                "texts": TEXTS,
                "apart": APART[precision],
                "logits": classifier.logits(TEXTS).tolist(),
                "labels": [found.label for found in classifier.predict(TEXTS)],
            }
        (folder / f"{precision}.json").write_text(json.dumps(known), encoding="utf-8")
    return [models / precision for precision in PRECISIONS], folder


if __name__ == "__main__":
    raise SystemExit(main())
