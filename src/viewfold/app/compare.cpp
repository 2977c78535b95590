// The verb that puts runs beside each other: settings, numbers, curves.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/report/comparison.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;

// A file of a run, named by mistake, is not replaced by a page.
void check_page_name(const fs::path& out) {
  std::string ending = out.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending != ".html") {
    throw UsageError(fmt::format("--out {}: a comparison is written as FILE.html", out.string()));
  }
}

void check_runs(const std::vector<fs::path>& dirs) {
  if (dirs.size() < 2) {
    throw UsageError(fmt::format(
        "{}: is one run, and a comparison takes two or more (`viewfold report` shows one)",
        dirs.front().string()));
  }
  for (auto dir = dirs.begin(); dir != dirs.end(); ++dir) {
    (void)RunDir::open(*dir);
    const bool is_again = std::any_of(dirs.begin(), dir, [&dir](const fs::path& earlier) {
      std::error_code ignored;  // both are there
      return fs::equivalent(earlier, *dir, ignored);
    });
    if (is_again) {
      throw UsageError(fmt::format("{}: is given twice (name each run once)", dir->string()));
    }
  }
}

void print(const report::Comparison& comparison) {
  for (const auto& run : comparison.runs) {
    fmt::print("{}: {}\n", run.name, run.sentence);
  }
  for (const auto& remark : comparison.remarks) {
    fmt::print("note: {}\n", remark);
  }
  if (comparison.settings.empty()) {
    fmt::print("\nno setting that is known differs\n");
  } else {
    fmt::print("\nsettings that differ\n\n{}", text_table(report::settings_table(comparison)));
  }
  if (!comparison.numbers.empty()) {
    fmt::print("\nnumbers\n\n{}", text_table(report::numbers_table(comparison)));
  }
}

}  // namespace

void compare_command(Arguments arguments) {
  std::vector<fs::path> dirs{arguments.take_positional("RUN (a run directory)")};
  while (arguments.has_positional()) {
    dirs.emplace_back(arguments.take_positional("RUN"));
  }
  const auto out = arguments.take("out");
  arguments.expect_empty({"out"});
  if (out) {
    check_page_name(*out);
  }
  check_runs(dirs);
  const auto comparison = report::compare_runs(dirs);
  print(comparison);
  if (out) {
    write_file_atomically(*out, report::comparison_html(comparison));
    fmt::print("\npage: {}\n", *out);
  }
}

}  // namespace viewfold
