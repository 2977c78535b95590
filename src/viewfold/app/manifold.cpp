// The verb that fits manifolds, draws from them and shows them.
#include <string>

#include <fmt/format.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/manifold_run.hpp"
#include "viewfold/app/manifold_sample.hpp"
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

double take_truncation(Arguments& arguments) {
  const auto text = arguments.take("truncation").value_or("0");
  std::size_t read = 0;
  double value = -1.0;
  try {
    value = std::stod(text, &read);
  } catch (const std::exception&) {
    read = 0;
  }
  if (read != text.size() || !(value >= 0.0 && value <= 100.0)) {
    throw UsageError(fmt::format("--truncation must be a number of 0 .. 100, not \"{}\"", text));
  }
  return value;
}

void sample(Arguments arguments) {
  const std::filesystem::path folder = arguments.take_positional("FOLDER (of a fitted manifold)");
  const auto out = arguments.take("out");
  if (!out) {
    throw UsageError("manifold sample needs --out FOLDER, for the pictures");
  }
  SampleOrder order;
  order.operator_name = arguments.take("operator").value_or(order.operator_name);
  order.images = arguments.take_integer("images", order.images);
  order.each = arguments.take_integer("each", order.each);
  order.truncation = take_truncation(arguments);
  order.seed = static_cast<std::uint64_t>(arguments.take_integer("seed", 1));
  arguments.expect_empty({"out", "operator", "images", "each", "truncation", "seed"});
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  const auto sheet = write_manifold_samples(folder, order, *out, log);
  fmt::print("{} samples of {} images, and {}\n", order.images * order.each, order.images,
             sheet.string());
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
  const std::string what = arguments.take_positional("fit, sample or show");
  if (what == "fit") {
    fit(std::move(arguments));
  } else if (what == "sample") {
    sample(std::move(arguments));
  } else if (what == "show") {
    show(std::move(arguments));
  } else {
    throw UsageError(fmt::format("manifold can fit, sample and show, not \"{}\"", what));
  }
}

}  // namespace viewfold
