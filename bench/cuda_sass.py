"""Reads what the CUDA toolkit's programs say about compiled kernels: `ptxas -v` and `nvdisasm -c`.

A loop is a natural loop of the control flow: a backward jump to a block that every path into the loop goes through.
Code that only diverged warps reach (BRA.DIV) belongs to no loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.a-z]*)")
_JUMPS = ("BRA", "BRX", "JMP", "JMX")
_LABEL = re.compile(r"\.L_x_\d+")
_MMA_SHAPE = re.compile(r"^[HIQB]MMA\.(16)(8)(\d+)|^[HIQ]GMMA\.(\d+)x(\d+)x(\d+)")


@dataclass(frozen=True)
class Resources:
    """What a kernel needs; sizes in bytes, of a thread or of a block."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    static_shared: int


def read_resources(text: str) -> dict[str, Resources]:
    """Return the resources of each kernel, by mangled name, from what ptxas prints with -v for one architecture."""
    found = {}
    for part in text.split("Compiling entry function '")[1:]:
        name = part.split("'", 1)[0]
        frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        registers = re.search(r"Used (\d+) registers", part)
        if frame is None or registers is None:
            raise ValueError(f"ptxas says nothing of the registers of {name}")
        shared = re.search(r"(\d+) bytes smem", part)
        stack, stores, loads = map(int, frame.groups())
        found[name] = Resources(int(registers[1]), stack, stores, loads, int(shared[1]) if shared else 0)
    return found


@dataclass
class Instruction:
    """A machine instruction, and the places that it may jump to."""

    name: str
    predicated: bool
    targets: list[int] = field(default_factory=list)

    @property
    def ends(self) -> bool:
        """Whether the next instruction is not reached from this one."""
        return not self.predicated and self.name != "BRA.DIV" and self.name.split(".")[0] in (*_JUMPS, "EXIT", "RET")


def flops_of(name: str) -> int:
    """Return the operations of a tensor core instruction, a multiplication and an addition counting as two.

    Those of a warp group (wgmma) are divided by its four warps, each of which issues the instruction.
    """
    shape = _MMA_SHAPE.match(name)
    if shape is None:
        return 0
    if shape[1]:
        return 2 * int(shape[1]) * int(shape[2]) * int(shape[3])
    return 2 * int(shape[4]) * int(shape[5]) * int(shape[6]) // 4


@dataclass(frozen=True)
class Loop:
    """Instructions of a loop, without those of loops in it."""

    names: tuple[str, ...]

    @property
    def instructions(self) -> int:
        return len(self.names)

    @property
    def mmas(self) -> int:
        return sum(flops_of(name) > 0 for name in self.names)

    @property
    def flops(self) -> int:
        """Operations of the tensor cores in one pass of a warp."""
        return sum(map(flops_of, self.names))

    @property
    def mma(self) -> str | None:
        """The first tensor core instruction."""
        return next((name for name in self.names if flops_of(name)), None)


@dataclass(frozen=True)
class Code:
    """The machine code of a kernel."""

    instructions: Mapping[int, Instruction]  # by place

    @property
    def total(self) -> int:
        """Number of instructions."""
        return len(self.instructions)

    @property
    def starts_early(self) -> bool:
        """Whether the kernel starts while the one ahead is running, for which it waits by itself."""
        return any(each.name == "ACQBULK" for each in self.instructions.values())

    @cached_property
    def loops(self) -> list[Loop]:
        """Loops, in the order of their first instructions."""
        blocks = _blocks(self.instructions)
        found = []
        for header, body in sorted(_natural_loops(blocks).items()):
            inner = [other for key, other in _natural_loops(blocks).items() if key != header and other < body]
            own = sorted(body.difference(*inner))
            names = [self.instructions[place].name for block in own for place in blocks[block].places]
            found.append(Loop(tuple(names)))
        return found

    @property
    def hot(self) -> Loop | None:
        """The loop with most operations of the tensor cores; without any, that with most instructions."""
        return max(self.loops, key=lambda loop: (loop.flops, loop.instructions), default=None)


def read_code(text: str) -> dict[str, Code]:
    """Return the code of each kernel, by mangled name, from what `nvdisasm -c` prints."""
    found = {}
    for part in re.split(r"^\s*\.section\s+\.text\.", text, flags=re.MULTILINE)[1:]:
        name, code = part.split(",", 1)
        found[name] = _read_kernel(code)
    return found


def _read_kernel(text: str) -> Code:
    labels: dict[str, int] = {}
    waiting: list[str] = []
    instructions: dict[int, Instruction] = {}
    jumps: list[tuple[int, list[str]]] = []
    for line in text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            waiting.append(label[1])
        if not (found := _INSTRUCTION.search(line)):
            continue
        place, name = int(found[1], 16), found[3]
        labels.update(dict.fromkeys(waiting, place))
        waiting = []
        if name == "NOP":
            continue
        # BRA P1, `(...)` depends on a predicate as well as @P1 BRA
        conditional = bool(found[2]) or re.search(r"BRA(\.\w+)* !?U?P\w+,", line) is not None
        instructions[place] = Instruction(name, conditional)
        if name.split(".")[0] in _JUMPS and name != "BRA.DIV":
            jumps.append((place, _LABEL.findall(line)))
    for place, names in jumps:
        instructions[place].targets = [labels[name] for name in names if name in labels]
    # behind the end stands a jump to itself, which is never reached
    return Code({place: each for place, each in instructions.items() if each.targets != [place]})


@dataclass
class _Block:
    places: list[int]
    following: list[int]


def _blocks(instructions: Mapping[int, Instruction]) -> dict[int, _Block]:
    """Return the basic blocks that can be reached, by their first place."""
    places = sorted(instructions)
    if not places:
        return {}
    starts = {places[0]}
    for place, after in zip(places, [*places[1:], -1], strict=True):
        each = instructions[place]
        starts.update(each.targets)
        if (each.targets or each.ends) and after >= 0:
            starts.add(after)
    blocks: dict[int, _Block] = {}
    for place, after in zip(places, [*places[1:], -1], strict=True):
        if place in starts:
            current = blocks[place] = _Block([], [])
        current.places.append(place)
        if after < 0 or after in starts:
            each = instructions[place]
            current.following = [target for target in each.targets if target in instructions]
            if not each.ends and after >= 0:
                current.following.append(after)
    reached, todo = {places[0]}, [places[0]]
    while todo:
        for after in blocks[todo.pop()].following:
            if after not in reached:
                reached.add(after)
                todo.append(after)
    return {start: block for start, block in blocks.items() if start in reached}


def _natural_loops(blocks: Mapping[int, _Block]) -> dict[int, set[int]]:
    """Return the blocks of each loop by its header."""
    before: dict[int, list[int]] = {start: [] for start in blocks}
    for start, block in blocks.items():
        for after in block.following:
            before[after].append(start)
    dominators = _dominators(blocks, before)
    loops: dict[int, set[int]] = {}
    for start, block in blocks.items():
        for header in block.following:
            if header not in dominators[start]:
                continue
            body = loops.setdefault(header, {header})
            todo = [start]
            while todo:
                place = todo.pop()
                if place not in body:
                    body.add(place)
                    todo.extend(before[place])
    return loops


def _dominators(blocks: Mapping[int, _Block], before: Mapping[int, Sequence[int]]) -> dict[int, set[int]]:
    """Return the blocks that every path to a block goes through, the block itself among them."""
    first, *others = sorted(blocks)
    found = {start: set(blocks) for start in others} | {first: {first}}
    changed = True
    while changed:
        changed = False
        for start in others:
            new = set.intersection(*(found[each] for each in before[start])) | {start}
            if new != found[start]:
                found[start], changed = new, True
    return found
