// The verb that times parts of the program: finds the one that was asked for.
#include "viewfold/app/bench.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

struct Benchmark {
  std::string_view name;
  std::string_view summary;
  void (*run)(Arguments);
};

constexpr std::array kBenchmarks{
    Benchmark{"views", "views a second: a recipe or single operations, as the loader runs them",
              bench_views},
    Benchmark{"train", "views a second of whole training steps, and where their time goes",
              bench_train},
};

void list_benchmarks() {
  for (const auto& benchmark : kBenchmarks) {
    fmt::print("{:<8}  {}\n", benchmark.name, benchmark.summary);
  }
}

}  // namespace

double median(std::vector<double> rounds) {
  check(!rounds.empty(), "a median needs a value");
  std::sort(rounds.begin(), rounds.end());
  return (rounds[(rounds.size() - 1) / 2] + rounds[rounds.size() / 2]) / 2.0;
}

void bench_command(Arguments arguments) {
  if (!arguments.has_positional()) {
    arguments.expect_empty({});
    list_benchmarks();
    return;
  }
  const std::string what = arguments.take_positional("what to measure");
  std::vector<std::string> names;
  for (const auto& benchmark : kBenchmarks) {
    if (benchmark.name == what) {
      benchmark.run(std::move(arguments));
      return;
    }
    names.emplace_back(benchmark.name);
  }
  const auto nearest = nearest_name(what, names);
  throw UsageError(fmt::format("\"{}\" cannot be measured{} (`viewfold bench` lists what can)",
                               what,
                               nearest.empty() ? "" : fmt::format(", did you mean {}?", nearest)));
}

}  // namespace viewfold
