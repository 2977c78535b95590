#!/usr/bin/env bash
# Times whole training steps of viewfold and of plain PyTorch (bench/pytorch) on the same images. The programs take
# turns, so that they see the same machine.
# Each measurement waits for a quiet machine and is repeated when others have disturbed it (tools/bench_quiet.py).
# usage: tools/bench_pytorch.sh [ROW ...]                 writes results/bench/training.json and docs/benchmarks.md
#        tools/bench_pytorch.sh --try FOLDER [ROW ...]    one short round of everything, written to FOLDER: says
#                                                         nothing of speed
# rows: simclr-16 simclr-64 simsiam-16 moco_v2-16 resnet50 busy (default: all)
# PAIRS=N takes N turns (default 3). RAW=FILE keeps what was measured, and begins with what is there already.
set -euo pipefail
pairs=${PAIRS:-3} timing=(--rounds 5 --milliseconds 3000) waits=()
results=results/bench page=docs/benchmarks.md
if [[ "${1:-}" == --try ]]; then
  pairs=1 timing=(--rounds 1 --milliseconds 1) waits=(--disturbed)
  results=$(realpath -m "$2") page=$results/benchmarks.md
  shift 2
fi
rows=("$@")
[[ $# -gt 0 ]] || rows=(simclr-16 simclr-64 simsiam-16 moco_v2-16 resnet50 busy)
cd "$(dirname "$0")/.."
program=build/release/viewfold
pytorch=(/usr/bin/python3 -W ignore bench/pytorch/train.py)
if [[ ! -x "$program" ]]; then
  echo "$program: is missing; \`make bench-pytorch\` builds it" >&2
  exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
raw=${RAW:-$scratch/raw.jsonl}

# 10,000 small images as JPEG files where CIFAR-10 is missing.
small=../shared/data/cifar10-jpeg.tar
if [[ ! -e "$small" ]]; then
  /usr/bin/python3 tools/bench_pictures.py "$scratch" 10000
  small=$scratch/small
else
  /usr/bin/python3 tools/bench_pictures.py "$scratch"
fi
large=$scratch/large

# measure ROW COMMAND...: the JSON object that it prints, with the name of the row
measure() {
  local row=$1
  shift
  /usr/bin/python3 tools/bench_quiet.py "$row" "${waits[@]}" "$@"
}

# compare ROW IMAGES METHOD ENCODER WIDTH SIZE BATCH
compare() {
  local row=$1 images=$2 own=() theirs=()
  own=("$images" --method "$3" --encoder "$4" --encoder.width "$5" --size "$6" --batch "$7")
  theirs=("$images" --method "$3" --encoder "$4" --width "$5" --size "$6" --batch "$7" "${timing[@]}")
  # Photographs are decoded at every access on both sides.
  [[ "$6" -le 64 ]] || own+=(--data.memory_gb 0)
  measure "$row" "$program" bench train "${own[@]}" "${timing[@]}" --json
  measure "$row" "${pytorch[@]}" "${theirs[@]}" --setting default
  measure "$row" "${pytorch[@]}" "${theirs[@]}" --setting best
}

# viewfold alone and beside a process that keeps one core busy, one after the other.
beside_another() {
  local own=("$small" --method simclr --encoder.width 16)
  measure busy-alone "$program" bench train "${own[@]}" "${timing[@]}" --json
  local waits=(--disturbed)
  # shellcheck disable=SC2016
  measure busy bash -c 'while :; do :; done & trap "kill $!" EXIT; "$@"' - \
    "$program" bench train "${own[@]}" "${timing[@]}" --json
}

run_row() {
  case "$1" in
    simclr-16) compare "$1" "$small" simclr resnet18 16 32 256 ;;
    simclr-64) compare "$1" "$small" simclr resnet18 64 32 256 ;;
    simsiam-16) compare "$1" "$small" simsiam resnet18 16 32 256 ;;
    moco_v2-16) compare "$1" "$small" moco_v2 resnet18 16 32 256 ;;
    resnet50) compare "$1" "$large" simclr resnet50 64 224 32 ;;
    busy) beside_another ;;
    *)
      echo "$1: is no row ($(sed -n 's/^# rows: //p' "$0"))" >&2
      exit 2
      ;;
  esac
}

for (( pair = 1; pair <= pairs; ++pair )); do
  for row in "${rows[@]}"; do
    echo "turn $pair of $pairs: $row" >&2
    run_row "$row" >>"$raw"
  done
done
mkdir -p "$results"
/usr/bin/python3 tools/bench_training_table.py "$raw" "$results/training.json" "$page"
