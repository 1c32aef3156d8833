"""The build backend: scikit-build-core, and pure Python where the native library cannot be built.

scikit-build-core compiles ``cpp_ext/`` into ``liteft/lib/``. LiteFT works without that library, so that a missing
compiler or CMake, or a compilation that fails, is no reason for a failed install: the build is done once more without
it, and the log, which pip shows with ``--verbose``, says so and why. scikit-build-core's own retry (``if.failed``) does
not cover a missing CMake or Ninja.

LITEFT_NATIVE=required makes a failure an error: for those who build wheels for others. LITEFT_NATIVE=off leaves the
library out. Any other value is an error.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from scikit_build_core import build as backend
from scikit_build_core.build import build_sdist, get_requires_for_build_sdist
from scikit_build_core.errors import ScikitBuildError

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

Settings = dict[str, str | list[str]]


def get_requires_for_build_wheel(config_settings: Settings | None = None) -> list[str]:
    """Return CMake and Ninja where the machine lacks them and can use them."""
    return backend.get_requires_for_build_wheel(config_settings) if _may_compile() else []


def get_requires_for_build_editable(config_settings: Settings | None = None) -> list[str]:
    """Return the same for an editable install."""
    return backend.get_requires_for_build_editable(config_settings) if _may_compile() else []


def build_wheel(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel, with the library where that can be done, and return its name."""
    return _build(backend.build_wheel, wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of an editable install, with the library where that can be done, and return its name."""
    return _build(backend.build_editable, wheel_directory, config_settings, metadata_directory)


def _wanted() -> str:
    wanted = os.environ.get("LITEFT_NATIVE", "")
    if wanted not in ("", "off", "required"):
        raise SystemExit(f"liteft: LITEFT_NATIVE is {wanted!r}; 'required', 'off' or unset are accepted")
    return wanted


def _may_compile() -> bool:
    """Return whether CMake is worth a download, which fails without a network."""
    wanted = _wanted()
    if wanted or sys.platform == "win32" or os.environ.get("CXX"):
        return wanted != "off"
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


def _build(
    hook: Callable[[str, Settings | None, str | None], str],
    folder: str,
    settings: Settings | None,
    metadata_directory: str | None,
) -> str:
    wanted = _wanted()
    if wanted != "off":
        try:
            built = hook(folder, settings, metadata_directory)
        except (SystemExit, ScikitBuildError) as error:  # scikit-build-core exits where CMake or the compiler fails
            reason = str(error) if isinstance(error, ScikitBuildError) else "see above"
            if wanted == "required":
                raise SystemExit(f"liteft: LITEFT_NATIVE=required, but it cannot be built: {reason}") from error
            _say(f"THE NATIVE LIBRARY CANNOT BE BUILT ({reason}); going on in pure Python")
        else:
            _say(f"built {built}")
            return built
    built = hook(folder, {**(settings or {}), "wheel.cmake": "false"}, metadata_directory)
    _say(f"built {built} WITHOUT THE NATIVE LIBRARY")
    return built


def _say(text: str) -> None:
    sys.stdout.flush()
    print(f"liteft: {text}", file=sys.stderr, flush=True)
