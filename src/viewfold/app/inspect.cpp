// The verbs that look: views, data and list.
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/pictures.hpp"
#include "viewfold/app/run_config.hpp"
#include "viewfold/app/run_images.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/app/view_source.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/survey.hpp"
#include "viewfold/eval/evaluation.hpp"
#include "viewfold/methods/extension.hpp"

namespace viewfold {
namespace {

template <class Table>
void print_names(const Table& table) {
  std::size_t width = 0;
  for (const auto& row : table) {
    width = std::max(width, row.name.size());
  }
  for (const auto& row : table) {
    fmt::print("{:<{}}  {}\n", row.name, width, row.summary);
  }
}

std::string range_text(const SideRange& range) {
  return range.min == range.max
             ? fmt::format("{}", range.min)
             : fmt::format("{} .. {} (median {})", range.min, range.max, range.median);
}

template <class List, class Text>
void print_some(const char* what, const List& list, const Text& text) {
  constexpr std::size_t kShown = 10;
  if (list.empty()) {
    return;
  }
  fmt::print("{}: {}\n", what, list.size());
  for (std::size_t i = 0; i < std::min(kShown, list.size()); ++i) {
    fmt::print("  {}\n", text(list[i]));
  }
  if (list.size() > kShown) {
    fmt::print("  ... and {} more\n", list.size() - kShown);
  }
}

void print_survey(const DataSurvey& survey) {
  fmt::print("images:     {}\n", survey.count);
  fmt::print("height:     {}\nwidth:      {}\n", range_text(survey.height),
             range_text(survey.width));
  for (const auto& [kind, count] : survey.kinds) {
    fmt::print("pixels:     {} band{} of {}: {} images\n", kind.bands, kind.bands == 1 ? "" : "s",
               kind.type, count);
  }
  fmt::print("mean:       {:.4f}\nstd:        {:.4f}\n", fmt::join(survey.statistics.mean, " "),
             fmt::join(survey.statistics.std, " "));
  if (survey.class_counts.empty()) {
    fmt::print("labels:     none\n");
  } else {
    fmt::print("classes:    {}\n", survey.class_counts.size());
    for (const auto& [name, count] : survey.class_counts) {
      fmt::print("  {:<20} {}\n", name, count);
    }
  }
  print_some("unreadable", survey.unreadable, [](const auto& bad) { return bad.reason; });
  print_some("groups of identical images", survey.duplicates,
             [](const auto& names) { return fmt::format("{}", fmt::join(names, " = ")); });
}

}  // namespace

void views_command(Arguments arguments) {
  const std::string out = arguments.take("out").value_or("views.png");
  const SheetFormat format = sheet_format(out);
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  const ViewSource source = open_view_source(std::move(arguments), log);
  const RunConfig& config = source.config;
  const ViewPlan plan = make_view_plan(*config.recipe, 0, config.view_size);
  const auto samples =
      sheet_samples(*source.dataset, plan, static_cast<std::uint64_t>(config.seed),
                    {static_cast<int>(source.bands), source.reduce_jpeg}, source.learned.get());
  if (format == SheetFormat::kPage) {
    write_view_page(view_page(samples, plan, config), out);
  } else {
    write_view_sheet(samples, out);
  }
  fmt::print("{}: {} images (left) and {} views of each, recipe \"{}\", {} px\n", out,
             samples.size(), samples.front().views.size(), config.recipe_name, config.view_size);
}

void data_command(Arguments arguments) {
  const std::string spec = arguments.take_positional("DATA (a folder, an archive or a name)");
  const auto split = arguments.take("split");
  const auto threads = arguments.take_integer("threads", 0);
  arguments.expect_empty({"split", "threads"});
  const auto splits = split ? std::vector<std::string>{*split} : dataset_splits(spec);
  for (const auto& name : splits) {
    const auto dataset = open_dataset({.spec = spec, .split = name});
    fmt::print("{}{}, split \"{}\"\n", &name == &splits.front() ? "" : "\n", spec, name);
    print_survey(survey(*dataset, thread_count(threads)));
  }
}

void list_command(Arguments arguments) {
  const std::string what = arguments.take_positional(
      "methods, extensions, encoders, datasets, augmentations, recipes, evaluations or operators");
  arguments.expect_empty({});
  if (what == "methods") {
    print_names(method_table());
  } else if (what == "extensions") {
    print_names(extension_table());
  } else if (what == "encoders") {
    print_names(encoder_table());
  } else if (what == "datasets") {
    print_names(dataset_table());
  } else if (what == "augmentations") {
    print_names(augmentation_table());
  } else if (what == "recipes") {
    print_names(recipe_table());
  } else if (what == "evaluations") {
    print_names(evaluation_table());
  } else if (what == "operators") {
    print_names(manifold_table());
  } else {
    throw UsageError(
        fmt::format("\"{}\" cannot be listed (methods, extensions, encoders, datasets, "
                    "augmentations, recipes, evaluations or operators can)",
                    what));
  }
}

}  // namespace viewfold
