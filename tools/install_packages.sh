#!/usr/bin/env bash
# Installs the Debian packages that viewfold needs, and only those that are missing.
set -euo pipefail
packages=(
  g++ cmake make ninja-build ccache lld pkg-config git ca-certificates
  libtorch-dev libopenblas0-pthread libopenblas-dev libopencv-dev libopencv-contrib-dev libfaiss-dev libdnnl-dev
  libgloo-dev libturbojpeg0-dev libpng-dev libwebp-dev libtiff-dev zlib1g-dev libxxhash-dev libtomlplusplus-dev libcli11-dev libfmt-dev
  libspdlog-dev nlohmann-json3-dev libhwy-dev libgtest-dev libgmock-dev libbenchmark-dev
  dataset-fashion-mnist protobuf-compiler python3-torch python3-torchvision
  clang clang-format clang-tidy libclang-rt-dev llvm
  chromium
)
missing=()
for package in "${packages[@]}"; do
  if [[ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" != "install ok installed" ]]; then
    missing+=("$package")
  fi
done
# Any npm will do; Debian's would drag in a second node beside one installed by other means.
if ! command -v npm >/dev/null; then
  missing+=(npm)
fi
if (( ${#missing[@]} == 0 )); then
  exit 0
fi
echo "installing: ${missing[*]}"
sudo=""
if [[ $EUID -ne 0 ]]; then
  sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"
