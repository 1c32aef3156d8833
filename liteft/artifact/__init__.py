"""The artifact folder: the waist between everything that builds and everything that runs.

It contains a manifest, a tokenizer, an ONNX graph, a model card and the two configuration files that transformers users
expect. The manifest names every other file with its size and SHA-256, so a changed byte is found before a text is
classified. There is no pickle anywhere, and nothing here can run a model.

`manifest` says what a manifest holds. `reading` opens a folder, or a repository on the hub: `folders` finds it,
`checks` compares its files with the manifest, and `loaded` is the result. `writing` makes one, in a temporary folder
that takes the old one's place only once it is complete. `uploading` says what of it is pushed to the hub.
"""

from liteft.artifact.folders import find_artifact, refuse_artifact, require_pipeline_folder
from liteft.artifact.loaded import Artifact
from liteft.artifact.manifest import (
    FORMAT,
    MANIFEST,
    MODEL,
    TOKENIZER,
    Fallback,
    FileEntry,
    Manifest,
    graph_file,
    required_files,
)
from liteft.artifact.reading import artifact_folder, read_artifact
from liteft.artifact.repositories import local_model
from liteft.artifact.writing import ArtifactWriter, require_replaceable, writing_artifact

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MODEL",
    "TOKENIZER",
    "Artifact",
    "ArtifactWriter",
    "Fallback",
    "FileEntry",
    "Manifest",
    "artifact_folder",
    "find_artifact",
    "graph_file",
    "local_model",
    "read_artifact",
    "refuse_artifact",
    "require_pipeline_folder",
    "require_replaceable",
    "required_files",
    "writing_artifact",
]
