"""Floors: simple models that a distilled student has to beat, trained on the labels alone in seconds or a minute.

A student that is not better than word counts with a linear classifier is not worth its bytes, so floors are shown
wherever students are. `kinds` lists those of texts and of words; `features` turns texts into counts, `vectors` into
means of a base's word vectors, `words` words into what they and their neighbours look like; `linear` has the
classifiers, `training` chooses their settings and scores them, and `stored` is the file floors.json. scikit-learn does
the training and is imported when a floor is trained.
"""

from liteft.floors.libraries import can_train
from liteft.floors.result import Floor, Floors, as_logits, not_beaten
from liteft.floors.stored import FLOORS_FILE, read_floor_scores, read_floors, stored_floors
from liteft.floors.training import cross_validated, train_floors

__all__ = [
    "FLOORS_FILE",
    "Floor",
    "Floors",
    "as_logits",
    "can_train",
    "cross_validated",
    "not_beaten",
    "read_floor_scores",
    "read_floors",
    "stored_floors",
    "train_floors",
]
