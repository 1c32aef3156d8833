"""Flags of teacher and student: what each starts from, its size, and how it is trained."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_teacher = panel("Teacher")
_model = panel("Model")
_student = panel("Student")
_training = panel("Training")

Base = Annotated[
    list[str] | None,
    _model(
        "--base",
        metavar="BASE",
        help="Pretrained encoder: a model folder, a hub name, or minilm for the bundled one; advise takes several.",
    ),
]
FromScratch = Annotated[
    bool,
    _teacher("--from-scratch", help="Start from random weights instead of a base; needs --size and --vocabulary-file."),
]
VocabularyFile = Annotated[
    str | None,
    _model("--vocabulary-file", metavar="FILE", help="For random weights: a vocab.txt or tokenizer.json."),
]
Teacher = Annotated[
    list[str] | None,
    _teacher(
        "--teacher",
        metavar="BASE_OR_RUN",
        help="A base to fine-tune first (folder, hub name or minilm), a finished run, or a classifier. Repeated, in "
        "distill: the student learns the mean of all, and starts from the first.",
    ),
]
BaseQuantization = Annotated[
    str | None,
    _teacher(
        "--base-quantization",
        metavar="BITS",
        help="8bit or 4bit: store the teacher's base in so many bits, and train an adapter on it.",
    ),
]
LoraRank = Annotated[
    int | None,
    _teacher(
        "--lora-rank",
        metavar="N",
        help="Train a LoRA adapter of this rank instead of all weights; 16 with --base-quantization.",
    ),
]

Size = Annotated[
    str | None,
    _model(
        "--size",
        metavar="LAYERSxWIDTH",
        help="Layers and width of the model, such as 3x384; for a student, 3 keeps the teacher's width.",
    ),
]
MaxTokens = Annotated[
    int | None,
    _model(
        "--max-tokens",
        metavar="N",
        help="Cut longer texts to N tokens; if left out, 128, or what a finished model states.",
    ),
]
Pooling = Annotated[
    str | None,
    _model(
        "--pooling", metavar="KIND", help="What the head reads: cls (the first token), mean (of all tokens), or auto."
    ),
]
Vocabulary = Annotated[
    int | None,
    _model(
        "--vocabulary",
        metavar="N",
        help="Most tokens of the vocabulary, such as 8000: those that the texts use; pretrain makes them of its texts.",
    ),
]
VocabularyMinCount = Annotated[
    int | None,
    _model(
        "--vocabulary-min-count",
        metavar="N",
        help="Of a trimmed vocabulary: keep only tokens of N different texts; a rare one may be a name.",
    ),
]
Activation = Annotated[
    str | None,
    _model(
        "--activation",
        metavar="NAME",
        help="Of a model with one logit that does not say it: sigmoid, for scores from 0 to 1, or none.",
    ),
]
Labels = Annotated[
    str | None,
    _model(
        "--labels",
        metavar="FILE",
        help="For a model from elsewhere: a file with one label per line, in the order of its logits.",
    ),
]

Student = Annotated[
    str | None,
    _student(
        "--student", metavar="ENCODER", help="Folder of an encoder to start the student from, instead of the teacher."
    ),
]
Layers = Annotated[
    str | None,
    _student(
        "--layers",
        metavar="LAYERS",
        help="Teacher layers to copy: auto, first, spread, ends, or numbers such as 0,2,5.",
    ),
]
General = Annotated[
    list[str] | None,
    _student(
        "--general",
        metavar="TEXT",
        help="Before the task, let the student's encoder imitate the base on these plain texts; may be repeated.",
    ),
]
Control = Annotated[
    bool,
    _student("--control", help="Also train the same student on labels alone, to see what the teacher's answers add."),
]
Arms = Annotated[
    str | None,
    _student(
        "--arms",
        metavar="NAMES",
        help="Compare with c0 (from the base, without a teacher), c1 (--control), c2 (self-training): c0,c1,c2.",
    ),
]
Seeds = Annotated[int | None, _student("--seeds", metavar="N", help="Number of students to train, one per seed.")]
Folds = Annotated[
    int | None,
    _student(
        "--folds",
        metavar="K",
        help="Cross-validate first, for few labels: each text is tested once, by models that have not seen it.",
    ),
]
Until = Annotated[str, _student("--until", metavar="STAGE", help="Last step: teacher, student, or artifact.")]

Epochs = Annotated[
    float | None,
    _training(
        "--epochs", metavar="N", help="Passes over the training texts; if left out, as many as their number asks for."
    ),
]
LearningRate = Annotated[
    float | None,
    _training(
        "--learning-rate",
        metavar="RATE",
        help="Highest learning rate, such as 2e-4; if left out, chosen by the size of the model.",
    ),
]
BatchSize = Annotated[int | None, _training("--batch-size", metavar="N", help="Texts per training step.")]
TrainingPrecision = Annotated[
    str | None, _training("--training-precision", metavar="KIND", help="Precision to train in: auto, fp32, or bf16.")
]
Optimizer = Annotated[str | None, _training("--optimizer", metavar="NAME", help="adamw, adamw8bit, sgd, or adafactor.")]
ReportTo = Annotated[
    str | None,
    _training(
        "--report-to",
        metavar="NAMES",
        help="Also log losses and metrics to tensorboard, wandb or mlflow.",
    ),
]
Seed = Annotated[
    int | None, _training("--seed", metavar="N", help="Random seed of the training, or of the texts that are drawn.")
]
