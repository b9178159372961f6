#!/usr/bin/env bash
# Tests and benches of the kernels on a GPU, within ten minutes: bench/on_gpu.sh [--dry-run] OUTDIR
#
# OUTDIR receives a log, a JSON and the tables of each part. A part that fails or runs out of its time does not stop the
# next; the exit code is then 1. --dry-run takes the same steps on the CPU, kernels interpreted, on little of each.
# PYTHON is the interpreter, python3 unless set.
set -uo pipefail

dry=
if [ "${1:-}" = --dry-run ]; then
    dry=1
    shift
fi
if [ $# -ne 1 ]; then
    echo "usage: $0 [--dry-run] OUTDIR" >&2
    exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python3}
failed=

# part NAME END ARGUMENTS...: pytest with these arguments, stopped at END seconds from the start of the script.
part() {
    local name=$1 end=$2 code
    shift 2
    echo "== $name"
    timeout --signal=INT --kill-after=10 "$((end > SECONDS ? end - SECONDS : 1))" \
        "$python" -m pytest -m "" -rs -p no:cacheprovider "$@" 2>&1 | tee "$out/$name.log"
    code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        failed="$failed $name ($code)"
    fi
}

# bench NAME END ARGUMENTS...: a part that skips what it could not begin 20 seconds before END.
bench() {
    local name=$1 end=$2
    shift 2
    part "$name" "$end" --within="$((end > SECONDS + 20 ? end - SECONDS - 20 : 0))" \
        --benchmark-json="$out/$name.json" --tables="$out/$name-table.md" "$@"
}

if [ "$dry" ]; then
    export TRITON_INTERPRET=1 CUDA_VISIBLE_DEVICES=
    part tests 180 tests/kernels/test_snake.py tests/test_backend.py -k "snake or forced or one_kernel"
    bench kernels 400 bench/bench_kernels.py -k "1-False or decode or unit"
    bench model 570 bench/bench_model.py -k "decode and 1-1"
else
    export TRITON_INTERPRET=0
    "$python" -c "import torch; print(torch.cuda.get_device_name())" || exit 1
    nvidia-smi >"$out/nvidia-smi.txt" 2>&1
    workers=()
    # Most of these tests' time is compilation, which a GPU's host does side by side.
    if "$python" -c "import xdist" 2>/dev/null; then
        workers=(-n 8)
    fi
    part tests 190 tests/kernels tests/test_backend.py tests/test_gpu.py "${workers[@]}"
    bench kernels 450 bench/bench_kernels.py
    bench model 575 bench/bench_model.py
fi

if [ "$failed" ]; then
    echo "failed:$failed"
    exit 1
fi
echo "all parts passed; results in $out"
