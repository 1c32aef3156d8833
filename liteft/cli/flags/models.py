"""Flags of teacher and student: what each starts from, its size, and how it is trained."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_teacher = panel("Teacher")
_model = panel("Model")
_student = panel("Student")
_training = panel("Training")

Base = Annotated[
    str | None, _teacher("--base", metavar="BASE", help="A model folder, a hub name, or minilm for the bundled one.")
]
FromScratch = Annotated[
    bool, _teacher("--from-scratch", help="Random weights instead of a base, with --size and --vocabulary-file.")
]
VocabularyFile = Annotated[
    str | None, _teacher("--vocabulary-file", metavar="FILE", help="With --from-scratch: vocab.txt or tokenizer.json.")
]
Teacher = Annotated[
    str | None,
    _teacher(
        "--teacher",
        metavar="BASE_OR_RUN",
        help="A base to fine-tune first (folder, hub name, minilm), or a finished run or classifier.",
    ),
]
BaseQuantization = Annotated[
    str | None,
    _teacher(
        "--base-quantization", metavar="BITS", help="8bit or 4bit: store the teacher's base so, and train an adapter."
    ),
]
LoraRank = Annotated[
    int | None,
    _teacher(
        "--lora-rank", metavar="N", help="Train an adapter of this rank, not all weights; 16 with --base-quantization."
    ),
]

Size = Annotated[
    str | None,
    _model(
        "--size",
        metavar="LAYERSxWIDTH",
        help="Of the model to make, as 3x384; a student's may be 3, with the teacher's width.",
    ),
]
MaxTokens = Annotated[
    int | None,
    _model(
        "--max-tokens",
        metavar="N",
        help="Longer texts are cut here; 128 if left out, of a finished model what it states.",
    ),
]
Pooling = Annotated[str | None, _model("--pooling", metavar="KIND", help="auto, cls or mean: what the head reads.")]
Vocabulary = Annotated[
    int | None,
    _model(
        "--vocabulary",
        metavar="N",
        help="Keep at most N tokens of the vocabulary, those that the training texts use: 8000.",
    ),
]
Labels = Annotated[
    str | None,
    _model(
        "--labels", metavar="FILE", help="Of a model from elsewhere: one label per line, in the order of its logits."
    ),
]

Student = Annotated[
    str | None,
    _student("--student", metavar="ENCODER", help="Start the student from this encoder instead of the teacher."),
]
Layers = Annotated[
    str | None,
    _student("--layers", metavar="LAYERS", help="Teacher layers to copy: auto, first, spread, ends or 0,2,5."),
]
Control = Annotated[
    bool, _student("--control", help="Also train the same student without a teacher, to see what it brings.")
]
Seeds = Annotated[int | None, _student("--seeds", metavar="N", help="Students to train, one per seed.")]
Until = Annotated[
    str, _student("--until", metavar="STAGE", help="Stop after the teacher, the student or the artifact.")
]

Epochs = Annotated[float | None, _training("--epochs", metavar="N", help="Passes over the texts.")]
LearningRate = Annotated[
    float | None, _training("--learning-rate", metavar="RATE", help="Highest learning rate, as 5e-5.")
]
BatchSize = Annotated[int | None, _training("--batch-size", metavar="N", help="Texts per step.")]
TrainingPrecision = Annotated[
    str | None, _training("--training-precision", metavar="KIND", help="To train in: auto, fp32 or bf16.")
]
Optimizer = Annotated[str | None, _training("--optimizer", metavar="NAME", help="adamw, adamw8bit, sgd or adafactor.")]
Seed = Annotated[int | None, _training("--seed", metavar="N", help="Seed of the training.")]
