"""The command that installs more of LiteFT, for the way in which it was installed: no package index has it.

pip keeps in ``direct_url.json`` where a distribution came from. Where that has gone, or was never kept, what an extra
asks for is installed by its own names. Errors alone ask for it, so what it imports is imported then.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["extra_of", "install_hint"]

_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_DEVELOPMENT = ("bench", "dev")


def install_hint(*extras: str, flags: str = "") -> str:
    """Return a pip command that installs extras, or LiteFT alone, anew.

    Args:
        extras: their names, as "train".
        flags: of pip install.
    """
    from importlib import metadata
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    wanted = f"[{','.join(extras)}]" if extras else ""
    install = f"pip install {flags} ".replace("  ", " ")
    try:
        distribution = metadata.distribution("liteft")
    except metadata.PackageNotFoundError:  # only found on the path
        return f"{install}-e {_local(Path(__file__).resolve().parents[1], wanted)}"
    direct = _direct_url(distribution)
    url = str(direct.get("url", ""))
    if urlparse(url).scheme == "file":
        path = Path(url2pathname(urlparse(url).path))
        if (path / "pyproject.toml").is_file():
            editable = "-e " if direct.get("dir_info", {}).get("editable") else ""
            return f"{install}{editable}{_local(path, wanted)}"
        if path.is_file():
            return f"{install}{_local(path, wanted)}"
    elif url:
        vcs = direct.get("vcs_info", {})
        source = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if "commit_id" in vcs and "vcs" in vcs else url
        return f"{install}{shlex.quote(f'liteft{wanted} @ {source}')}"
    asked = _requirements(distribution, extras)
    return install + (" ".join(map(shlex.quote, asked)) or f"LITEFT_CHECKOUT{wanted}")


def extra_of(package: str) -> str | None:
    """Return the extra that brings a package, the one that brings least beside it; None where no extra does.

    Args:
        package: the name that is imported, as "tomli_w".
    """
    from importlib import metadata

    asked: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("liteft") or ()
    except metadata.PackageNotFoundError:
        return None
    for line in requirements:
        if (of := _EXTRA.search(line)) and of[1] not in _DEVELOPMENT:
            asked.setdefault(of[1], []).append(re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("-", "_"))
    bringing = [extra for extra, names in asked.items() if package.lower() in names]
    return min(bringing, key=lambda extra: len(asked[extra]), default=None)


def _direct_url(distribution: Distribution) -> dict[str, Any]:
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _local(path: Path, wanted: str) -> str:
    """Return a path for pip, a quoted word; the folder in which the reader is, as a dot."""
    shown = "." if path == Path.cwd() else str(path)
    return f"'{shown}{wanted}'" if "'" not in shown and wanted else shlex.quote(f"{shown}{wanted}")


def _requirements(distribution: Distribution, extras: tuple[str, ...]) -> list[str]:
    """Return what extras ask for, each as pip takes it; without extras what LiteFT itself does."""
    found = []
    for line in distribution.requires or ():
        requirement, _, marker = line.partition(";")
        of = _EXTRA.search(marker)
        if (of[1] in extras) if of else not extras:
            rest = re.sub(r"""\s*(and\s+)?extra\s*==\s*["'][^"']+["']\s*""", "", marker).strip()
            found.append(f"{requirement.strip()}; {rest}" if rest else requirement.strip())
    return found
