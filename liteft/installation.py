"""The pip command that installs an extra of LiteFT, in the way in which LiteFT itself was installed.

LiteFT is not on a package index. pip stores in ``direct_url.json`` where a distribution came from; if that source no
longer exists or was not stored, the command names the packages of the extra. Only errors need this, so its imports are
inside the functions.
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
_DEVELOPMENT = ("bench", "dev", "docs", "release")
_OF_OTHERS = ("optimum",)  # torch and transformers are in it for the sake of another library


def install_hint(*extras: str, flags: str = "") -> str:
    """Return a pip command that installs extras; without extras, one that reinstalls LiteFT alone.

    Args:
        extras: names of extras, such as "train".
        flags: flags of pip install.
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
    """Return the smallest extra that installs a package, or None if no extra does.

    Args:
        package: the name that is imported, such as "tomli_w".
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
    return min(bringing, key=lambda extra: (extra in _OF_OTHERS, len(asked[extra])), default=None)


def _direct_url(distribution: Distribution) -> dict[str, Any]:
    """Return the content of direct_url.json; empty if there is none."""
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _local(path: Path, wanted: str) -> str:
    """Return a path with extras as one quoted word for pip; the current folder is shown as a dot."""
    shown = "." if path == Path.cwd() else str(path)
    return f"'{shown}{wanted}'" if "'" not in shown and wanted else shlex.quote(f"{shown}{wanted}")


def _requirements(distribution: Distribution, extras: tuple[str, ...]) -> list[str]:
    """Return the requirements of extras in pip's syntax; without extras, those of LiteFT itself."""
    found = []
    for line in distribution.requires or ():
        requirement, _, marker = line.partition(";")
        of = _EXTRA.search(marker)
        if (of[1] in extras) if of else not extras:
            rest = re.sub(r"""\s*(and\s+)?extra\s*==\s*["'][^"']+["']\s*""", "", marker).strip()
            found.append(f"{requirement.strip()}; {rest}" if rest else requirement.strip())
    return found
