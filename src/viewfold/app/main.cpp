// The program: shows help by itself, and loads libviewfold (and with it LibTorch) when a verb needs
// it.
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <malloc.h>
#include <string>
#include <string_view>

#include "viewfold/app/verbs.hpp"

namespace {

void print_help() {
  std::printf(
      "viewfold %.*s: self-supervised visual representation learning with learned views\n\n",
      static_cast<int>(viewfold::kVersion.size()), viewfold::kVersion.data());
  std::printf("usage: viewfold VERB ...        `viewfold VERB --help` says all about one verb\n\n");
  for (const auto& verb : viewfold::kVerbs) {
    std::printf("  %-14.*s %.*s\n", static_cast<int>(verb.name.size()), verb.name.data(),
                static_cast<int>(verb.summary.size()), verb.summary.data());
  }
  std::printf(
      "\nfirst steps:\n"
      "  viewfold pretrain PICTURES/                  one required argument\n"
      "  viewfold pretrain fashion-mnist --method simsiam --epochs 10 --out runs/a\n"
      "  viewfold evaluate runs/a                     kNN and linear probe\n");
}

// What must be decided before LibTorch and its OpenMP are loaded.
void prepare_process() {
  // Blocks of a training step go back to the allocator and not to the kernel: faulting the same
  // pages in again at every step costs 5-20 % of a step.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  // A short spin, then sleep: GNU OpenMP's default spins through every wait, which starves the
  // loader threads and any other program on the machine. The user's own setting wins.
  setenv("GOMP_SPINCOUNT", "20000", 0);
  // c10d logs every attempt to connect; what comes of them is thrown as well.
  setenv("GLOG_minloglevel", "3", 0);
  setenv("TORCH_CPP_LOG_LEVEL", "FATAL", 0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "--help";
  if (first == "--help" || first == "-h" || first == "help") {
    print_help();
    return 0;
  }
  if (first == "--version") {
    std::printf("viewfold %s\n", std::string(viewfold::kVersion).c_str());
    return 0;
  }
  prepare_process();
  void* library = dlopen("libviewfold.so", RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "viewfold: cannot load libviewfold.so: %s\n", dlerror());
    return 1;
  }
  using Run = int (*)(int, char**);
  const auto run = reinterpret_cast<Run>(dlsym(library, "viewfold_run"));
  if (run == nullptr) {
    std::fprintf(stderr, "viewfold: libviewfold.so is of another version: %s\n", dlerror());
    return 1;
  }
  return run(argc, argv);
}
