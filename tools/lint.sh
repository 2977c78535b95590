#!/usr/bin/env bash
# clang-tidy over the LibTorch-free sources (or only the files given), two files at a time.
# LibTorch's headers are beyond clang-tidy 14 in C++20 mode.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset tidy >/dev/null
files=("$@")
if (( ${#files[@]} == 0 )); then
  mapfile -t files < <(git ls-files -- 'src/viewfold/core/*.cpp' 'src/viewfold/image/*.cpp' \
                         'src/viewfold/data/*.cpp' 'src/viewfold/augment/*.cpp' 'src/viewfold/report/*.cpp')
fi
# It counts what it suppresses in system headers even when it is quiet.
printf '%s\0' "${files[@]}" | xargs -0 -r -n 1 -P 2 clang-tidy -p build/tidy --quiet 2>&1 |
  { grep -vE '^[0-9]+ warnings? generated\.$' || true; }
