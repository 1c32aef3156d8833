"""Every flag of the command line, once: its name, its type, its words, and the panel of the help that shows it.

A flag has the same meaning in all commands that have it, and sets the recipe's key of its name, in whichever table the
command trains or exports by. What a flag left out means is said here as well: commands differ in defaults alone.
"""

from __future__ import annotations

from typing import Annotated

import typer

from liteft.int8 import SCHEMES

DATA, TEACHER, MODEL, STUDENT, TRAINING = "Data", "Teacher", "Model", "Student", "Training"
EXPORT, BUDGET, ANSWERS, COMPARISON, MACHINE, GENERAL = (
    *("Export", "Budget", "Predictions", "Comparison", "Machine", "General"),
)

# Data
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Labelled text: a file, a folder of train, dev and test files, or a hub name.",
        rich_help_panel=DATA,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="DATA",
        help="Labelled text to compare on; what the first run was trained on if left out.",
        rich_help_panel=DATA,
    ),
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help="The split whose texts are read: train, validation, test, or all.",
        rich_help_panel=DATA,
    ),
]
Unlabeled = Annotated[
    str | None,
    typer.Option(
        "--unlabeled",
        metavar="FILE",
        help="More texts, without labels: to distil with, to verify on, and whose tokens are kept.",
        rich_help_panel=DATA,
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="single_label or multi_label; seen in the labels, or in the model, if left out.",
        rich_help_panel=DATA,
    ),
]
Text = Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="Column of the text.", rich_help_panel=DATA)]
Pair = Annotated[
    str | None,
    typer.Option("--pair", metavar="COLUMN", help="Column of the second text; '' for none.", rich_help_panel=DATA),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="Column of the label or of lists; A,B: columns of 0 and 1.",
        rich_help_panel=DATA,
    ),
]
LabelNames = Annotated[
    str | None,
    typer.Option("--label-names", metavar="A,B", help="What integers and 0/1 vectors stand for.", rich_help_panel=DATA),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option("--label-separator", metavar="CHAR", help="Splits a cell into several labels.", rich_help_panel=DATA),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Encoding of text files; UTF-8 if left out.", rich_help_panel=DATA),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="CHAR", help="Delimiter of csv; seen in its first line.", rich_help_panel=DATA),
]
MaxChars = Annotated[
    int | None,
    typer.Option(
        "--max-chars",
        metavar="N",
        help="Longest text to train on; a longer one is an error.",
        rich_help_panel=DATA,
    ),
]
DropLong = Annotated[
    bool | None, typer.Option("--drop-long", help="Leave longer texts out instead.", rich_help_panel=DATA)
]
DropEmpty = Annotated[
    bool | None,
    typer.Option("--drop-empty", help="Leave rows out that have no text or no label.", rich_help_panel=DATA),
]
ValidationFraction = Annotated[
    float | None,
    typer.Option(
        "--validation-fraction",
        metavar="X",
        help="Share of train that becomes validation, where that is missing; 0.1 if left out.",
        rich_help_panel=DATA,
    ),
]
TestFraction = Annotated[
    float | None,
    typer.Option(
        "--test-fraction",
        metavar="X",
        help="Share of train that becomes test, where that is missing; 0.1 if left out.",
        rich_help_panel=DATA,
    ),
]

# Teacher
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="BASE",
        help="A model folder, a hub name, or minilm for the bundled one.",
        rich_help_panel=TEACHER,
    ),
]
FromScratch = Annotated[
    bool,
    typer.Option(
        "--from-scratch",
        help="Random weights instead of a base, with --size and --vocabulary-file.",
        rich_help_panel=TEACHER,
    ),
]
VocabularyFile = Annotated[
    str | None,
    typer.Option(
        "--vocabulary-file",
        metavar="FILE",
        help="With --from-scratch: vocab.txt or tokenizer.json.",
        rich_help_panel=TEACHER,
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="BASE_OR_RUN",
        help="A base to fine-tune first (folder, hub name, minilm), or a finished run or classifier.",
        rich_help_panel=TEACHER,
    ),
]
BaseQuantization = Annotated[
    str | None,
    typer.Option(
        "--base-quantization",
        metavar="BITS",
        help="8bit or 4bit: store the teacher's base so, and train an adapter.",
        rich_help_panel=TEACHER,
    ),
]
LoraRank = Annotated[
    int | None,
    typer.Option(
        "--lora-rank",
        metavar="N",
        help="Train an adapter of this rank, not all weights; 16 with --base-quantization.",
        rich_help_panel=TEACHER,
    ),
]

# Model
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="LAYERSxWIDTH",
        help="Of the model to make, as 3x384; a student's may be 3, with the teacher's width.",
        rich_help_panel=MODEL,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens",
        metavar="N",
        help="Longer texts are cut here; 128 if left out, of a finished model what it states.",
        rich_help_panel=MODEL,
    ),
]
Pooling = Annotated[
    str | None,
    typer.Option("--pooling", metavar="KIND", help="auto, cls or mean: what the head reads.", rich_help_panel=MODEL),
]
Vocabulary = Annotated[
    int | None,
    typer.Option(
        "--vocabulary",
        metavar="N",
        help="Keep at most N tokens of the vocabulary, those that the training texts use: 8000.",
        rich_help_panel=MODEL,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Of a model from elsewhere: one label per line, in the order of its logits.",
        rich_help_panel=MODEL,
    ),
]

# Student
Student = Annotated[
    str | None,
    typer.Option(
        "--student",
        metavar="FOLDER",
        help="Start the student from this encoder instead of the teacher.",
        rich_help_panel=STUDENT,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="LAYERS",
        help="Teacher layers to copy: auto, first, spread, ends or 0,2,5.",
        rich_help_panel=STUDENT,
    ),
]
Control = Annotated[
    bool,
    typer.Option(
        "--control",
        help="Also train the same student without a teacher, to see what it brings.",
        rich_help_panel=STUDENT,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", help="Students to train, one per seed.", rich_help_panel=STUDENT),
]
Until = Annotated[
    str,
    typer.Option(
        "--until", metavar="STAGE", help="Stop after the teacher, the student or the artifact.", rich_help_panel=STUDENT
    ),
]

# Training
Epochs = Annotated[
    float | None,
    typer.Option("--epochs", metavar="N", help="Passes over the texts.", rich_help_panel=TRAINING),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", metavar="RATE", help="Highest learning rate, as 5e-5.", rich_help_panel=TRAINING),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Texts per step.", rich_help_panel=TRAINING)
]
TrainingPrecision = Annotated[
    str | None,
    typer.Option(
        "--training-precision", metavar="KIND", help="To train in: auto, fp32 or bf16.", rich_help_panel=TRAINING
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option("--optimizer", metavar="NAME", help="adamw, adamw8bit, sgd or adafactor.", rich_help_panel=TRAINING),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Seed of the training.", rich_help_panel=TRAINING)
]

# Export
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="KIND",
        help="Of the artifact: int8 (if left out), fp16 or fp32.",
        rich_help_panel=EXPORT,
    ),
]
Scheme = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        metavar="KIND",
        help=f"Of int8: {', or '.join(each.help for each in SCHEMES.values())}.",
        rich_help_panel=EXPORT,
    ),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="KIND",
        help="Of static int8: percentile (if left out), or mse.",
        rich_help_panel=EXPORT,
    ),
]
WeightBits = Annotated[
    int | None,
    typer.Option(
        "--weight-bits",
        metavar="N",
        help="Of int8: 8, or 7 for ONNX Runtime on x86-64 without VNNI.",
        rich_help_panel=EXPORT,
    ),
]
EmbeddingBits = Annotated[
    int | None,
    typer.Option(
        "--embedding-bits",
        metavar="N",
        help="Of int8's word embeddings: 8, or 4, which halves them.",
        rich_help_panel=EXPORT,
    ),
]
Mixed = Annotated[
    bool | None,
    typer.Option(
        "--mixed",
        help="Where int8 loses too much, keep the worst layers in float until it does not.",
        rich_help_panel=EXPORT,
    ),
]
Flat = Annotated[
    bool | None,
    typer.Option(
        "--flat",
        help="Many standard nodes instead of one node with its definition in the file.",
        rich_help_panel=EXPORT,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="edge: for phones and browsers, flat, for transformers.js.",
        rich_help_panel=EXPORT,
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        metavar="POINTS",
        help="Accuracy that an export may lose to its own model; 0.5 if left out.",
        rich_help_panel=EXPORT,
    ),
]

# Budget
MaxMb = Annotated[
    float | None,
    typer.Option(
        "--max-mb", metavar="MB", help="Of the artifact's folder, in 10^6 bytes, as 9.5.", rich_help_panel=BUDGET
    ),
]
MaxMs = Annotated[
    float | None,
    typer.Option("--max-ms", metavar="MS", help="To classify one text on this machine, as 2.", rich_help_panel=BUDGET),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        metavar="POINTS",
        help="Below the teacher, on the validation split, as 1.",
        rich_help_panel=BUDGET,
    ),
]

# Predictions
InputFile = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="A csv, tsv, jsonl, parquet or txt file to classify.",
        rich_help_panel=ANSWERS,
    ),
]
OutputFile = Annotated[
    str | None,
    typer.Option("--output", metavar="FILE", help="Where its rows go, with labels.", rich_help_panel=ANSWERS),
]
PairText = Annotated[
    list[str] | None,
    typer.Option(
        "--pair-text",
        metavar="TEXT",
        help="For models of pairs: the second text, once for each TEXT.",
        rich_help_panel=ANSWERS,
    ),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", metavar="K", help="Also give the K best labels.", rich_help_panel=ANSWERS)
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="SCORE",
        help="Multi-label: what a label's score must pass; 0.5 if left out.",
        rich_help_panel=ANSWERS,
    ),
]
OnError = Annotated[
    str,
    typer.Option(
        "--on-error",
        metavar="KIND",
        help="A row without a usable text: raise, or null for a null label.",
        rich_help_panel=ANSWERS,
    ),
]
Prefix = Annotated[
    str,
    typer.Option("--prefix", metavar="NAME", help="Goes before the names of added columns.", rich_help_panel=ANSWERS),
]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.", rich_help_panel=ANSWERS)]

# Comparison
Rounds = Annotated[
    int, typer.Option("--rounds", metavar="N", help="Timings of each model; 0 for none.", rich_help_panel=COMPARISON)
]
Seconds = Annotated[
    float,
    typer.Option("--seconds", metavar="S", help="About how long one timing takes.", rich_help_panel=COMPARISON),
]
Picture = Annotated[
    str | None,
    typer.Option(
        "--picture",
        metavar="FILE",
        help="Draw quality against latency: png, svg or pdf.",
        rich_help_panel=COMPARISON,
    ),
]

# Machine
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="CPU threads; by the environment or the cores if left out.",
        rich_help_panel=MACHINE,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="cpu or cuda; to predict also auto, the best.", rich_help_panel=MACHINE
    ),
]
Backend = Annotated[
    str,
    typer.Option("--backend", metavar="NAME", help="auto, native or onnxruntime.", rich_help_panel=MACHINE),
]
EnginePrecision = Annotated[
    str | None,
    typer.Option(
        "--engine-precision",
        metavar="KIND",
        help="To compute a float artifact in, natively: bf16, or fp16 on CUDA.",
        rich_help_panel=MACHINE,
    ),
]

# General
Out = Annotated[str, typer.Option("--out", metavar="FOLDER", help="Where the result goes.", rich_help_panel=GENERAL)]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an artifact or output of something else.", rich_help_panel=GENERAL),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Take graphs and tokenizers that LiteFT does not know; they may do any harm.",
        rich_help_panel=GENERAL,
    ),
]
EveryTensor = Annotated[
    bool,
    typer.Option("--all", help="Show every tensor, and not the largest ones alone.", rich_help_panel=GENERAL),
]
RecipeFile = Annotated[
    str | None,
    typer.Option("--recipe", metavar="FILE", help="TOML file of settings; flags override it.", rich_help_panel=GENERAL),
]
Assigned = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Any other setting of a recipe, as data.seed=1 or teacher.warmup=0.1. May be repeated.",
        rich_help_panel=GENERAL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.", rich_help_panel=GENERAL)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.", rich_help_panel=GENERAL)]
