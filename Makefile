# Two commands do everything on a bare Debian 12: `make quickstart` and `make test`.
.PHONY: packages build quickstart bench bench-pytorch test test-debug test-tsan fuzz format-check layers lint

packages:
	@tools/install_packages.sh

build: packages
	@cmake --preset release
	@cmake --build --preset release

# Pretrains on real images, learns what they may become, pretrains with views made of that, and measures both encoders.
quickstart: build
	@tools/quickstart.sh

# Views a second beside OpenCV, Pillow and torchvision: docs/benchmarks.md. Wants a quiet machine; under 10 minutes.
bench: build
	@cmake --build --preset release --target bench_opencv_views
	@tools/bench_views.sh

# Whole training steps beside plain PyTorch; ROWS="simclr-16 busy" for just these. Wants a quiet machine; up to an hour.
bench-pytorch: build
	@tools/bench_pytorch.sh $(ROWS)

test: build format-check layers lint test-debug
	@ctest --preset release

# The LibTorch-free half under AddressSanitizer and UndefinedBehaviorSanitizer.
test-debug: packages
	@cmake --preset debug
	@cmake --build --preset debug
	@ctest --preset debug

# The loader and what else has threads under ThreadSanitizer. LibTorch itself is not instrumented.
test-tsan: packages
	@cmake --preset tsan
	@cmake --build --preset tsan
	@ctest --preset tsan

# Ten minutes of libFuzzer for each decoder, the view operations and the readers; SECONDS=60 for just one.
fuzz: packages
	@cmake --preset fuzz
	@cmake --build --preset fuzz
	@tools/fuzz.sh $(SECONDS)

format-check: packages
	@tools/check_format.sh

layers:
	@tools/check_layers.sh

# clang-tidy; FILES="a.cpp b.cpp" for just these.
lint: packages
	@tools/lint.sh $(FILES)
