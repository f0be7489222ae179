"""The processor's vector registers, for the kernels that must say exactly what stays in them.

LLVM turns plain loops into vector code well enough for everything but products of matrices, where speed depends on keeping a
block of sums in registers through the whole inner loop. `tile` is that inner loop, written in LLVM's own language. The other
functions here read memory by its address, so that a kernel can be given any array, in whatever order its numbers lie, and
needs to be compiled only once for each type.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
from llvmlite import binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from microtensor.kernels.runtime.jit import intrinsic, kernel, numba_config

_INT = ir.IntType(64)


@functools.cache
def _vector_bytes() -> tuple[int, int]:
    """The number of bytes that a vector register holds, and the number of registers.

    Asked of the compiler rather than looked up: it compiles an addition of 16 floats for the processor that it targets,
    and the names of the registers in the assembly tell (zmm: 64 bytes, ymm: 32, otherwise 16).
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = numba_config.CPU_NAME or llvm.get_host_cpu_name()
    features = numba_config.CPU_FEATURES or ("" if numba_config.CPU_NAME else llvm.get_host_cpu_features().flatten())
    target = llvm.Target.from_default_triple()
    code = "define <16 x float> @f(<16 x float> %x) {\n %y = fadd <16 x float> %x, %x\n ret <16 x float> %y\n}"
    module = llvm.parse_assembly(code)
    assembly = target.create_target_machine(cpu="" if name == "generic" else name, features=features).emit_assembly(module)
    if "zmm" in assembly:
        return 64, 32
    if "ymm" in assembly:
        return 32, 16
    return 16, 32 if target.triple.startswith(("aarch64", "arm64")) else 16


VECTOR_BYTES, REGISTERS = _vector_bytes()

#: A tile of sums that stays in registers: so many rows, and two vectors wide. With 32 registers, 12 x 2 sums and the two
#: vectors that are multiplied fill 26 of them; with 16, 6 x 2 sums, two vectors and one for the row's number fill 15.
ROWS = 12 if REGISTERS == 32 else 6


def array_pointer(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    """A pointer to element `offset` of a flat array."""
    if kind.layout != "C":
        raise TypeError("an array with gaps was given where a contiguous one is needed")
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


def load_vector(builder: Any, pointer: Any, vector: Any, size: int) -> Any:
    """The vector at a pointer, which is aligned for numbers of `size` bytes only."""
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = size
    return value


def store_vector(builder: Any, value: Any, pointer: Any, size: int) -> None:
    """Write a vector to a pointer, which is aligned for numbers of `size` bytes only."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = size


def prefetch_pointer(builder: Any, pointer: Any) -> None:
    """Ask for the memory at a pointer, which will be read soon: what lies at strides, the processor doesn't foresee."""
    byte = ir.IntType(8).as_pointer()
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(pointer, byte), number(0), number(3), number(1)])


#: The numbers of a are asked for so many steps ahead. Where a is transposed they lie far apart.
_AHEAD = 16


def make_tile(vectors: int, divisor: int = 1, rows: int = ROWS) -> Any:
    """Make `tile` for tiles of so many rows that are `vectors` vectors wide, each a register divided by `divisor`."""

    @intrinsic
    def tile(
        typing: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_at: Any,
        start: Any, start_at: Any, start_row: Any, c: Any, c_at: Any, c_row: Any, depth: Any, add: Any,
    ) -> Any:  # fmt: skip
        number = c.dtype
        index = types.intp
        signature = types.void(
            index, index, index, b, index, start, index, index, c, index, index, index, types.boolean
        )  # fmt: skip

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, a_row, a_step, b, b_at, start, start_at, start_row, c, c_at, c_row, depth, add = arguments
            size = number.bitwidth // 8
            lanes = VECTOR_BYTES // size // divisor
            vector = ir.VectorType(context.get_value_type(number), lanes)
            scalar = vector.element
            a = builder.inttoptr(a, scalar.as_pointer())
            b = array_pointer(context, builder, signature.args[3], b, b_at)
            start = array_pointer(context, builder, signature.args[5], start, start_at)
            c = array_pointer(context, builder, signature.args[8], c, c_at)
            positions = [(r, v) for r in range(rows) for v in range(vectors)]

            def pointer_to(pointer: Any, row: Any, r: int, v: int) -> Any:
                return builder.gep(pointer, [builder.add(builder.mul(row, _INT(r)), _INT(v * lanes))])

            # Variables, which LLVM keeps in registers: their addresses are never taken.
            sums = [cgutils.alloca_once(builder, vector) for _ in positions]
            with builder.if_else(add) as (given, nothing):
                with given:
                    for total, (r, v) in zip(sums, positions, strict=True):
                        builder.store(load_vector(builder, pointer_to(start, start_row, r, v), vector, size), total)
                with nothing:
                    for total in sums:
                        builder.store(ir.Constant(vector, None), total)
            starts = [builder.mul(a_row, _INT(r)) for r in range(rows)]
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
            with cgutils.for_range(builder, depth) as loop:
                b_k = builder.gep(b, [builder.mul(loop.index, _INT(vectors * lanes))])
                right = [load_vector(builder, builder.gep(b_k, [_INT(v * lanes)]), vector, size) for v in range(vectors)]
                a_k = builder.gep(a, [builder.mul(loop.index, a_step)])
                prefetch_pointer(builder, builder.gep(a_k, [builder.mul(a_step, _INT(_AHEAD))]))
                for r in range(rows):
                    x = builder.load(builder.gep(a_k, [starts[r]]))
                    x.align = 1
                    left = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.IntType(32)(0))
                    left = builder.shuffle_vector(left, left, everywhere)
                    for v in range(vectors):
                        total = sums[r * vectors + v]
                        # `contract` lets LLVM fuse the two where the processor can.
                        product = builder.fmul(left, right[v], flags=("contract",))
                        builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
            for total, (r, v) in zip(sums, positions, strict=True):
                store_vector(builder, builder.load(total), pointer_to(c, c_row, r, v), size)
            return context.get_dummy_value()

        return signature, generate

    return tile


#: tile(a, a_row, a_step, b, b_at, start, start_at, start_row, c, c_at, c_row, depth, add): a tile of c = a @ b, or start +
#: a @ b.
#:
#: a is the address of a number, with a_row numbers from one row to the next and a_step along a row. b is a packed panel:
#: flat, for each of the `depth` steps two vectors of numbers. c and start are flat, with c_row and start_row numbers from
#: one row to the next (start may be c; a start_row of 0 adds one row, a bias, to all). For each step, each of the ROWS
#: numbers of a is multiplied by both vectors of b, and added to sums that stay in registers throughout.
tile = make_tile(2)

#: The same, one vector and half a vector wide, for the right edge.
half_tile, quarter_tile = make_tile(1), make_tile(1, divisor=2)
#: The same for a single row of a and c.
row_tile = make_tile(2, rows=1)


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """prefetch(address): ask for the memory there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        prefetch_pointer(builder, builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp), generate


@kernel(inner=True)
def prefetch_range(address, length):
    """Ask for the memory from an address on, so many bytes."""
    for at in range(0, length, 64):
        prefetch(address + at)


@intrinsic
def copy_tile_row(typing: Any, source: Any, target: Any, at: Any) -> Any:
    """copy_tile_row(source, target, at): two vectors of numbers from the address `source` to the flat array target[at:]."""
    number = target.dtype
    signature = types.void(types.intp, target, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target, at = arguments
        vector = ir.VectorType(context.get_value_type(number), 2 * VECTOR_BYTES // (number.bitwidth // 8))
        source = builder.inttoptr(source, vector.element.as_pointer())
        value = load_vector(builder, source, vector, 1)
        store_vector(builder, value, array_pointer(context, builder, signature.args[1], target, at), number.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _pointer(typing: Any, address: Any, like: Any) -> Any:
    """The number at an address, as a pointer to what `like`, an array, holds."""
    signature = types.CPointer(like.dtype)(types.intp, like)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, generate


@kernel(inner=True)
def at_address(address, size, like):
    """The `size` numbers that lie at an address, as a flat array of the type of `like`."""
    return numba.carray(_pointer(address, like), (size,))
