"""The keys of an artifact's manifest.json, with the comments that stand beside them in the code."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from _reference.markdown import table
from liteft.artifact import manifest

__all__ = ["manifest_keys"]


def manifest_keys() -> str:
    """Return a table of all keys of a manifest."""
    source = Path(manifest.__file__).read_text(encoding="utf-8")
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (kind,) = [each for each in ast.parse(source).body if isinstance(each, ast.ClassDef) and each.name == "Manifest"]
    rows = []
    for node in kind.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            said = " ".join(comments[line] for line in lines if line in comments)
            required = manifest.Manifest.model_fields[node.target.id].is_required()
            rows.append((f"`{node.target.id}`", f"`{_type(node.annotation)}`", "yes" if required else "", said))
    return table(("key", "type", "required", ""), rows)


def _type(annotation: ast.expr) -> str:
    """Return an annotation as it is written, without its checks."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        return ast.unparse(annotation.slice.elts[0])
    return ast.unparse(annotation)
