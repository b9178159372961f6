"""The search for the codes of a residual vector quantizer.

With r_0 = x, stage q = 0 .. Q-1 of each row picks the nearest entry of its codebook and subtracts it:

    code_q = argmin_k (|E_qk|^2 / 2 - r_q . E_qk),    r_(q+1) = r_q - E_q[code_q];    ties go to the lowest k.

One launch a stage, and one that turns what the stages left into codes. Program (i, j) of a stage scores entries slice
i for the rows of tile j, and leaves one minimum a row:

                    slice 0   slice 1  ...  slice P-1
    row tile 0    | program | program |   | program |      keys [Q, N, P]: the partial minima of every stage.
    row tile 1    | program | program |   | program |      A stage takes the minimum over P of the stage before,
      ...                                                  which is that stage's code, and subtracts its entry
                                                           while it loads the residual.

A key is an int64: the score's bits in an order that integers share, then the index. One integer minimum so breaks ties
to the lowest index in any order of evaluation, and not even a row of NaN can name an entry that is not there. Every
program of a row tile forms the same residual, bit for bit; program i stores block i of it, modulo P. No stage writes
what its own programs read: each has its slab of keys, and residuals alternate between two buffers. So there are no
atomics, no barriers between programs, and equal inputs of equal shape give equal codes.

Why so. The obvious implementation takes 97 launches at Q = 8; here there are 9. By arithmetic, not measurement, on an
H200 at D = K = 1024, Q = 8: 1 row 30 us, 8 to 16 rows 40 us, 64 rows 80 to 95, 500 rows 0.17 ms (0.5 ms as PyTorch
ops), 25,000 rows 4.5 to 7 ms (12 ms). One launch for all stages would need a row's tile to see the whole codebook in
one program: a constant 1.7 ms from 65 to 8,448 rows. Tables of the entries' products save 15 us a step but take 48 MB
and lose accuracy as residuals shrink.

Names in the kernels: p_ a pointer, o_ what a block's elements are at, m_ a mask, i_ the index of a slice or block.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from xcodec_fast.kernels import launch
from xcodec_fast.kernels.shapes import check_inputs

# Rows searched at once: bounds the residuals at 256 MB and the keys at 16 MB (D = K = 1024, Q = 8).
CHUNK = 32768

_LAST_KEY = tl.constexpr(0x7FFFFFFFFFFFFFFF)


@triton.jit
def _key(score, index):
    """int64 that is ordered as (score, index): float32 bits, those of negative numbers reversed, then the index.

    -0.0 would come before +0.0; a difference of two numbers is -0.0 only if the first is.
    """
    bits = score.to(tl.int32, bitcast=True)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (bits.to(tl.int64) << 32) | index.to(tl.int64)


@triton.jit
def _best(p_keys, m_rows, P: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr):
    """The index in the least of each row's P keys. p_keys: `[ROWS]`, each row's first -> int64 `[ROWS]`."""
    key = tl.full((ROWS,), _LAST_KEY, tl.int64)
    for i in range(0, P, KEYS):
        o_keys = i + tl.arange(0, KEYS)
        mask = m_rows[:, None] & (o_keys < P)[None, :]
        key = tl.minimum(key, tl.min(tl.load(p_keys[:, None] + o_keys[None, :], mask=mask, other=_LAST_KEY), 1))
    return key & 0xFFFFFFFF


# Numbers that vary from call to call are not specialized on being 1 or a multiple of 16: each would be a compilation.
@triton.jit(do_not_specialize=["n", "q", "last"])
def _search_stage(
    x,
    codebooks,
    half_norms,
    residuals,
    keys,
    n,
    q,
    last,
    K: tl.constexpr,
    D: tl.constexpr,
    P: tl.constexpr,
    FIRST: tl.constexpr,
    DOT: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    ENTRIES: tl.constexpr,
    DEPTH: tl.constexpr,
    KEYS: tl.constexpr,
    BUFFERS: tl.constexpr,
):
    """Stage q of n rows; grid (P, row tiles).

    x: `[n, D]`; codebooks: `[Q, K, D]`; half_norms: `[Q, K]`; residuals: `[2, n, D]`, stage q reads the one of q - 1
    (stage 1 reads x) and stores its own at q modulo 2, the last none; keys: `[Q, n, P]`.
    """
    i_slice = tl.program_id(0)
    o_rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    o_entries = tl.arange(0, ENTRIES)
    o_depth = tl.arange(0, DEPTH)
    m_rows = o_rows < n
    m_entries = i_slice * ENTRIES + o_entries < K
    rows = o_rows.to(tl.int64)
    stage = tl.cast(q, tl.int64)

    # Offsets are int64 up to the tile and int32 in it: int64 there costs registers.
    p_entries = codebooks + (stage * K + i_slice * ENTRIES) * D
    p_input = x + rows[:, None] * D
    p_output = residuals + ((stage % 2) * n + rows)[:, None] * D
    p_subtracted = p_input
    if not FIRST:
        code = _best(keys + ((stage - 1) * n + rows) * P, m_rows, P, ROWS, KEYS)
        p_subtracted = codebooks + ((stage - 1) * K + code)[:, None] * D
        if q > 1:
            p_input = residuals + (((stage + 1) % 2) * n + rows)[:, None] * D

    i_stored = tl.where(q < last, i_slice, P)

    acc = tl.zeros((ROWS, ENTRIES), tl.float32) if DOT else tl.zeros((ROWS, ENTRIES, DEPTH), tl.float32)
    for i in tl.range(0, (D + DEPTH - 1) // DEPTH, num_stages=BUFFERS):
        depth = i * DEPTH + o_depth
        m_input = m_rows[:, None]
        if D % DEPTH != 0:
            m_input = m_input & (depth < D)[None, :]
        residual = tl.load(p_input + depth[None, :], mask=m_input, other=0.0)
        if not FIRST:
            residual -= tl.load(p_subtracted + depth[None, :], mask=m_input, other=0.0)
            m_output = m_input & (depth // DEPTH % P == i_stored)[None, :]
            tl.store(p_output + depth[None, :], residual, mask=m_output)
        if DOT:
            p_block = p_entries + o_entries[None, :] * D + depth[:, None]
            if D % DEPTH == 0 and K % ENTRIES == 0:
                block = tl.load(p_block)
            else:
                block = tl.load(p_block, mask=m_entries[None, :] & (depth < D)[:, None], other=0.0)
            acc = tl.dot(residual, block, acc, input_precision=PRECISION)
        else:
            p_block = p_entries + o_entries[:, None] * D + depth[None, :]
            block = tl.load(p_block, mask=m_entries[:, None] & (depth < D)[None, :], other=0.0)
            acc += residual[:, None, :] * block[None, :, :]

    products = acc if DOT else tl.sum(acc, 2)
    half = tl.load(half_norms + stage * K + i_slice * ENTRIES + o_entries, mask=m_entries, other=0.0)
    key = _key(half[None, :] - products, (i_slice * ENTRIES + o_entries)[None, :])
    key = tl.where(m_entries[None, :], key, _LAST_KEY)
    tl.store(keys + (stage * n + rows) * P + i_slice, tl.min(key, 1), mask=m_rows)


@triton.jit(do_not_specialize=["n"])
def _search_codes(keys, codes, n, Q: tl.constexpr, P: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr):
    """The codes in the keys; grid (row tiles, Q). keys: `[Q, n, P]`; codes: `[n, Q]`."""
    stage = tl.program_id(1)
    o_rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    m_rows = o_rows < n
    rows = o_rows.to(tl.int64)
    code = _best(keys + (stage.to(tl.int64) * n + rows) * P, m_rows, P, ROWS, KEYS)
    tl.store(codes + rows * Q + stage, code, mask=m_rows)


def search(x: Tensor, codebooks: Tensor, half_norms: Tensor) -> Tensor:
    """The codes of every stage. Whatever the input, they are in [0, K).

    x: `[N, D]`; codebooks: `[Q, K, D]`; half_norms, |E|^2 / 2: `[Q, K]`; all float32 -> codes `[N, Q]`, int64.
    Raises as `shapes.check_inputs` and `launch.chip` do.
    """
    check_inputs("search", x=(x, "N D", torch.float32), codebooks=(codebooks, "Q K D"), half_norms=(half_norms, "Q K"))
    (total, dim), (stages, entries, _) = x.shape, codebooks.shape
    codes = torch.empty((total, stages), dtype=torch.int64, device=x.device)
    if total == 0:
        return codes
    blocks = launch.search_blocks(min(total, CHUNK), entries, dim, launch.chip(x.device))
    slices = triton.cdiv(entries, blocks.entries)
    residuals = torch.empty((2, min(total, CHUNK), dim), dtype=torch.float32, device=x.device)
    keys = torch.empty((stages, min(total, CHUNK), slices), dtype=torch.int64, device=x.device)
    with torch.cuda.device_of(x):
        for start in range(0, total, CHUNK):
            part = x[start : start + CHUNK]
            n = len(part)
            tiles = triton.cdiv(n, blocks.rows)
            for q in range(stages):
                _search_stage[(slices, tiles)](
                    part,
                    codebooks,
                    half_norms,
                    residuals,
                    keys,
                    n,
                    q,
                    stages - 1,
                    K=entries,
                    D=dim,
                    P=slices,
                    FIRST=q == 0,
                    DOT=blocks.dot,
                    PRECISION=blocks.precision,
                    ROWS=blocks.rows,
                    ENTRIES=blocks.entries,
                    DEPTH=blocks.depth,
                    KEYS=blocks.keys,
                    BUFFERS=blocks.buffers,
                    num_warps=blocks.warps,
                )
            _search_codes[(tiles, stages)](
                keys, codes[start : start + n], n, Q=stages, P=slices, ROWS=blocks.rows, KEYS=blocks.keys
            )
    return codes
