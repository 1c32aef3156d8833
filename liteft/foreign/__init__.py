"""Model folders that LiteFT did not write: what they mean, where their weights are, and which cannot be used.

Read from their JSON files and the headers of their weights, without torch: checked before anything is loaded.
"""

from liteft.foreign.families import refuse_family
from liteft.foreign.folders import RUN_FILE, finished_runs, no_model, read_config_json
from liteft.foreign.meaning import Meaning, Said, adopted_labels, read_labels, read_meaning, train_first
from liteft.foreign.sentence import encoder_folder, lowers_case, read_pooling, stated_length
from liteft.foreign.weights import require_weights, weights_files

__all__ = [
    "RUN_FILE",
    "Meaning",
    "Said",
    "adopted_labels",
    "encoder_folder",
    "finished_runs",
    "lowers_case",
    "no_model",
    "read_config_json",
    "read_labels",
    "read_meaning",
    "read_pooling",
    "refuse_family",
    "require_weights",
    "stated_length",
    "train_first",
    "weights_files",
]
