#!/usr/bin/env bash
# Tests and benches of the kernels on a GPU, within ten minutes: bench/on_gpu.sh [--dry-run] OUTDIR
#
# OUTDIR receives a log, a JSON and the tables of each part. A part that fails or runs out of its time does not stop the
# next; the exit code is then 1. --dry-run takes the same steps on the CPU, kernels interpreted, on little of each, and
# as on a machine without libraries for audio files and the command line.
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
plugins=()

# part NAME END ARGUMENTS...: pytest with these arguments, stopped at END seconds from the start of the script.
part() {
    local name=$1 end=$2 code
    shift 2
    echo "== $name"
    timeout --signal=INT --kill-after=10 "$((end > SECONDS ? end - SECONDS : 1))" \
        "$python" -m pytest -m "" -rs -p no:cacheprovider "${plugins[@]}" "$@" 2>&1 | tee "$out/$name.log"
    code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        failed="$failed $name ($code)"
    fi
}

# bench NAME END LONGEST ARGUMENTS...: a part that skips what it could not begin LONGEST seconds, those of a case, before
# END.
bench() {
    local name=$1 end=$2 longest=$3
    shift 3
    part "$name" "$end" --within="$((end > SECONDS + longest ? end - SECONDS - longest : 0))" \
        --benchmark-json="$out/$name.json" --tables="$out/$name-table.md" "$@"
}

if [ "$dry" ]; then
    export TRITON_INTERPRET=1 CUDA_VISIBLE_DEVICES=
    plugins=(-p bench.absent)
    part tests 150 tests/kernels/test_snake.py tests/test_backend.py -k "snake or forced"
    bench kernels 300 20 bench/bench_kernels.py -k "1-False or rvq_decode or unit"
    bench model 480 90 bench/bench_model.py -k "1-1-decode"
    bench streaming 585 60 bench/bench_streaming.py --eager-only -k "decode-20-1"
else
    export TRITON_INTERPRET=0
    "$python" -c "import torch; print(torch.cuda.get_device_name())" || exit 1
    nvidia-smi >"$out/nvidia-smi.txt" 2>&1
    workers=()
    # Most of these tests' time is compilation, which a GPU's host does side by side.
    if "$python" -c "import xdist" 2>/dev/null; then
        workers=(-n 8)
    fi
    # What is compiled ahead of time needs no GPU.
    part tests 160 tests/kernels tests/test_backend.py tests/test_gpu.py --ignore=tests/kernels/test_aot.py "${workers[@]}"
    bench kernels 320 20 bench/bench_kernels.py
    bench model 490 90 bench/bench_model.py
    bench streaming 585 25 bench/bench_streaming.py --eager-only
fi

if [ "$failed" ]; then
    echo "failed:$failed"
    exit 1
fi
echo "all parts passed; results in $out"
