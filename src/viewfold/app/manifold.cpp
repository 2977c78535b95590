// The verb that fits manifolds, draws from them and shows them.
#include <cstdio>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/manifold_run.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/run_dir.hpp"

namespace viewfold {
namespace {

void fit(Arguments arguments) {
  const auto out = arguments.take("out");
  if (!out) {
    throw UsageError("manifold fit needs --out FOLDER, for what is fitted");
  }
  const ConfigSource source = take_run_settings(arguments);
  catch_stop_signals();
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  try {
    fit_manifold(*out, source, log, progress);
  } catch (const Interrupted& error) {
    throw Interrupted(fmt::format("{}; the same command goes on", error.what()));
  }
  fmt::print("{}\npicture: {}\n", read_text_file(std::filesystem::path(*out) / "manifold.json"),
             (std::filesystem::path(*out) / "figures" / "manifold.png").string());
}

void show(Arguments arguments) {
  const std::filesystem::path folder = arguments.take_positional("FOLDER (of a fitted manifold)");
  arguments.expect_empty({});
  const RunDir run = RunDir::open(folder);
  if (run.info().status != RunStatus::kFinished) {
    throw DataError(
        fmt::format("{}: the manifold is not finished (go on with the same command "
                    "that began it)",
                    folder.string()));
  }
  fmt::print("{}", read_text_file(folder / "manifold.json"));
  fmt::print("picture: {}\n", (run.figures() / "manifold.png").string());
}

}  // namespace

void manifold_command(Arguments arguments) {
  const std::string what = arguments.take_positional("fit or show");
  if (what == "fit") {
    fit(std::move(arguments));
  } else if (what == "show") {
    show(std::move(arguments));
  } else {
    throw UsageError(fmt::format("manifold can fit and show, not \"{}\"", what));
  }
}

}  // namespace viewfold
