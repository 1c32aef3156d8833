"""bench/cuda_kernels.py: what it reads of the compilers' words, and the arithmetic of its predictions."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest

from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def sass() -> ModuleType:
    return load_script("cuda_sass")


@pytest.fixture(scope="module")
def model() -> ModuleType:
    return load_script("cuda_model")


@pytest.fixture(scope="module")
def works() -> ModuleType:
    return load_script("cuda_works")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("cuda_kernels")


PTXAS = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5firstv' for 'sm_90a'
ptxas info    : Function properties for _Z5firstv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem, 16 bytes cmem[0]
ptxas info    : Compiling entry function '_Z6secondv' for 'sm_90a'
ptxas info    : Function properties for _Z6secondv
    24 bytes stack frame, 20 bytes spill stores, 28 bytes spill loads
ptxas info    : Used 255 registers
"""

# a loop over a product, in it a loop of two instructions; a path for diverged warps behind the end
SASS = """\t.section\t.text._Z5firstv,"ax",@progbits
.text._Z5firstv:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/               @P0 EXIT ;
.L_x_2:
        /*0020*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ;
        /*0030*/                   BRA.DIV UR5, `(.L_x_7) ;
.L_x_8:
        /*0040*/                   FADD R1, R1, R1 ;
.L_x_3:
        /*0050*/                   MUFU.EX2 R2, R2 ;
        /*0060*/              @!P1 BRA `(.L_x_3) ;
        /*0070*/                   BRA P2, `(.L_x_2) ;
        /*0080*/                   EXIT ;
.L_x_7:
        /*0090*/                   WARPSYNC.COLLECTIVE R3, `(.L_x_8) ;
        /*00a0*/                   BRA `(.L_x_8) ;
.L_x_9:
        /*00b0*/                   BRA `(.L_x_9);
        /*00c0*/                   NOP;
\t.section\t.text._Z6secondv,"ax",@progbits
        /*0000*/                   FADD R1, R1, R1 ;
        /*0010*/                   EXIT ;
"""


def test_resources_are_read_by_kernel(sass: ModuleType) -> None:
    assert sass.read_resources(PTXAS) == {
        "_Z5firstv": sass.Resources(40, 0, 0, 0, 512),
        "_Z6secondv": sass.Resources(255, 24, 20, 28, 0),
    }
    with pytest.raises(ValueError, match="registers of _Z1k"):
        sass.read_resources("Compiling entry function '_Z1k' for 'sm_90a'")


def test_loops_are_those_of_the_control_flow(sass: ModuleType) -> None:
    codes = sass.read_code(SASS)
    first = codes["_Z5firstv"]
    assert first.total == 11  # neither the jump to itself nor what fills the end
    inner, hot = sorted(loop.instructions for loop in first.loops), first.hot
    assert inner == [2, 4]
    assert (hot.instructions, hot.mmas, hot.flops, hot.mma) == (4, 1, 4096, "HMMA.16816.F32.BF16")
    assert (codes["_Z6secondv"].total, codes["_Z6secondv"].hot) == (2, None)


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("HMMA.16816.F32", 2 * 16 * 8 * 16),
        ("HMMA.1688.F32", 2 * 16 * 8 * 8),
        ("IMMA.16832.S8.S8.SAT", 2 * 16 * 8 * 32),
        ("HGMMA.64x256x16.F32.BF16", 2 * 64 * 256 * 16 // 4),
        ("FFMA", 0),
    ],
)
def test_operations_of_tensor_cores(sass: ModuleType, name: str, flops: int) -> None:
    assert sass.flops_of(name) == flops


@pytest.mark.parametrize(
    ("registers", "threads", "shared", "blocks"),
    [
        (32, 128, 0, 16),  # threads
        (126, 256, 56832, 2),  # registers: 128 of each of 256 threads
        (64, 128, 91 << 10, 2),  # shared memory
        (255, 512, 0, 0),  # does not fit
        (16, 32, 0, 32),
    ],
)
def test_blocks_at_once(
    sass: ModuleType, model: ModuleType, registers: int, threads: int, shared: int, blocks: int
) -> None:
    assert model.blocks_per_multiprocessor(sass.Resources(registers, 0, 0, 0, 0), threads, shared) == blocks


@pytest.fixture
def first(sass: ModuleType, model: ModuleType) -> Any:
    """A kernel of eleven instructions, of which four are in the loop, with one product of 4,096 operations."""
    return model.Kernel("first", (), sass.read_code(SASS)["_Z5firstv"], sass.Resources(40, 0, 0, 0, 0))


def test_instructions_of_a_warp_follow_from_its_operations(model: ModuleType, first: Any) -> None:
    launch = model.Launch(blocks=10, threads=64, flops=10 * 2 * 4096 * 100)
    assert model.warp_instructions(first.code, launch) == 11 - 4 + 100 * 4
    half = model.Launch(blocks=10, threads=64, flops=10 * 2 * 4096 * 100, code_share=0.5)
    assert model.warp_instructions(first.code, half) == 3.5 + 100 * 4
    assert model.warp_instructions(first.code, model.Launch(1, 32, trips=3)) == 7 + 3 * 4


def test_the_slowest_of_bytes_products_and_instructions_counts(model: ModuleType, first: Any) -> None:
    def predicted(**work: Any) -> Any:
        return model.predict(first.code, first.needs, model.Launch(1320, 256, reads=1, **work), False)

    around = model.GAP + model.WAIT
    large = predicted(stored=4.3e9)
    assert (large.bound, large.seconds) == ("bytes", pytest.approx(around + 1e-3))
    assert large.share == pytest.approx(1e-3 / large.seconds)
    again = predicted(stored=1.0, repeated=5.5e9)
    assert (again.bound, again.seconds) == ("bytes", pytest.approx(around + 1e-3))
    small = predicted(trips=1e6)
    slots = 10 * 8 * (7 + 4e6) / (4 * model.CLOCK * model.ISSUED)
    assert (small.bound, small.seconds) == ("issue", pytest.approx(around + slots))
    products = predicted(flops=790e9)
    assert (products.bound, products.seconds) == ("tensor cores", pytest.approx(around + 1e-3 / 0.55))


def test_one_block_is_bound_by_its_own_multiprocessor(model: ModuleType, first: Any) -> None:
    one = model.predict(first.code, first.needs, model.Launch(1, 32, stored=0.11e9, reads=0), True)
    assert one.seconds == pytest.approx(model.GAP + 1e-3)
    slow = model.predict(first.code, first.needs, model.Launch(1, 32, trips=1e6, reads=0), True)
    assert (slow.bound, slow.seconds) == ("a warp", pytest.approx(model.GAP + (7 + 4e6) * 2.5 / model.CLOCK))


def test_products_take_whole_waves_of_tiles(model: ModuleType) -> None:
    # 64 x 6 tiles of 128 x 192 are three waves on 132 multiprocessors
    tile = 2 * 128 * 192 * (384 + 160) / (790e12 * 0.92 / 132)
    found = model.predict_product(8192, 384, 1152, False)
    assert (found.bound, found.seconds) == ("tensor cores", pytest.approx(1.3e-6 + 0.7e-6 + 3 * tile))
    assert model.predict_product(8192, 3072, 768, False).share > 0.75
    # with few rows, many inputs are split
    assert model.predict_product(32, 3072, 768, False).seconds < 7e-6


def test_the_fastest_way_that_has_kernels_is_taken(model: ModuleType, works: ModuleType, first: Any) -> None:
    dims = model.Dims(model.MINILM, 1, 32, 32, 384, 384)
    lines = {"first": lambda parameters, dims: model.Launch(1, 32, trips=1e3, reads=0)}
    slow, missing = [("first", dims), ("first", dims)], [("third", dims)]
    steps = [("a", [slow, [("first", dims)], missing])]
    (found,) = model.predict_steps(steps, [first], lines, True)
    assert (found.step, found.kernel) == ("a", "first<>")
    with pytest.raises(ValueError, match="no kernels for the step 'b'"):
        model.predict_steps([("b", [missing])], [first], lines, True)


def test_a_forward_pass_has_all_operations_of_the_model(model: ModuleType, works: ModuleType) -> None:
    for each, texts, length in ((model.MINILM, 64, 128), (model.BERT, 1, 32)):
        tokens, width, inner = texts * length, each.width, each.inner
        of_layer = width * (4 * width + 2 * inner)
        of_last = tokens * 2 * width * width + texts * (of_layer - 2 * width * width) + texts * width * width
        steps = works.forward_steps(each, texts, length)
        products = [dims for _, ways in steps for name, dims in ways[0] if name == model.PRODUCT]
        assert sum(dims.rows * dims.inputs * dims.outputs for dims in products) == (
            tokens * (each.layers - 1) * of_layer + of_last
        )


def test_every_kernel_of_a_forward_pass_has_a_line(model: ModuleType, works: ModuleType) -> None:
    steps = works.forward_steps(model.MINILM, 1, 32)
    names = {name for _, ways in steps for way in ways for name, _ in way} - {model.PRODUCT}
    assert names | {"short_forward_kernel"} == set(works.WORKS)  # which stands for all of them


@pytest.mark.parametrize("name", ["matmul_activate_kernel", "matmul_layer_norm_kernel", "feed_forward_kernel"])
def test_fused_kernels_have_the_operations_of_their_products(model: ModuleType, works: ModuleType, name: str) -> None:
    for rows in (8192, 30):
        outputs = 1536 if name == "matmul_activate_kernel" else 384
        dims = model.Dims(model.MINILM, 1, rows, rows, 384, outputs)
        launch = works.WORKS[name](("__nv_bfloat16", "128" if outputs == 1536 else "384"), dims)
        least = 2.0 * rows * 384 * (2 * 1536 if name == "feed_forward_kernel" else outputs)
        tall = 128 if name == "matmul_activate_kernel" else 64
        assert launch.flops == least * math.ceil(rows / tall) * tall / rows
        assert launch.shared < 227 << 10


def test_kernels_are_named_as_in_the_sources(script: ModuleType, first: Any) -> None:
    signature = "void liteft::cuda::(anonymous namespace)::{}(liteft::cuda::Given<int>)\n"
    for written, name, parameters in (
        ("attend_kernel<__nv_bfloat16, 32>", "attend_kernel", ("__nv_bfloat16", "32")),
        ("activate_kernel<__half, (liteft::cuda::Act)0>", "activate_kernel", ("__half", "Act 0")),
    ):
        found = script.named(signature.format(written), first.code, first.needs)
        assert (found.name, found.parameters) == (name, parameters)
    assert script.named("gather(int*)", first.code, first.needs).name == "gather"
    with pytest.raises(ValueError, match="not a kernel"):
        script.named("gather", first.code, first.needs)
