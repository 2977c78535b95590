#!/usr/bin/env bash
# The main job on real images: pretrains on Fashion-MNIST, learns what its images may become, pretrains again with views
# made of that, and measures both encoders in the same way.
set -euo pipefail
cd "$(dirname "$0")/.."
program=build/release/viewfold
run=runs/quickstart
for (( i = 2; ; ++i )); do
  [[ -e "$run" ]] || break
  run="runs/quickstart-$i"
done
"$program" pretrain --config recipes/quickstart.toml --out "$run"
"$program" evaluate "$run/learned" --beside "$run/base"
