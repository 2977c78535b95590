// The verb that makes the views of one sample again, as training made them.
#include <cstdio>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/pictures.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

void print_views(const std::string& name, const std::vector<View>& views) {
  fmt::print("{}\n", name);
  for (std::size_t v = 0; v < views.size(); ++v) {
    fmt::print("view {}, {} px\n", v + 1, views[v].image.width());
    for (const auto& record : views[v].records) {
      fmt::print("  {}\n", record_text(record));
    }
  }
}

nlohmann::ordered_json record_json(const OpRecord& record, const AugmentationEntry& entry) {
  nlohmann::ordered_json values;
  for (std::size_t i = 0; i < record.count; ++i) {
    const float value = record.values[i];
    const std::string column(entry.columns.at(i).name);
    switch (entry.columns[i].kind) {
      case ValueKind::kFlag:
        values[column] = value != 0.0F;
        break;
      case ValueKind::kInteger:
        values[column] = static_cast<std::int64_t>(value);
        break;
      case ValueKind::kReal:
        values[column] = value;
        break;
    }
  }
  return values;
}

nlohmann::ordered_json views_json(const ViewPlan& plan, const std::vector<View>& views) {
  auto list = nlohmann::ordered_json::array();
  for (std::size_t v = 0; v < views.size(); ++v) {
    auto operations = nlohmann::ordered_json::array();
    const auto names = plan.pipeline_of(static_cast<std::int64_t>(v)).op_names();
    for (std::size_t i = 0; i < names.size(); ++i) {
      auto operation = record_json(views[v].records[i], find_augmentation(names[i]));
      operation["operation"] = names[i];
      operations.push_back(std::move(operation));
    }
    list.push_back({{"size", views[v].image.width()}, {"operations", std::move(operations)}});
  }
  return list;
}

// A position counted from 0 below `limit`, and an epoch counted from 1 up to it.
std::int64_t in_range(std::int64_t value, std::int64_t low, std::int64_t high, const char* what) {
  if (value < low || value > high) {
    throw UsageError(fmt::format("--{} {}: the run has {} .. {}", what, value, low, high));
  }
  return value;
}

}  // namespace

void show_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN"));
  const auto sample_option = arguments.take_integer("sample", 0);
  const auto epoch_option = arguments.take_integer("epoch", 1);
  const bool json = arguments.take_flag("json");
  const auto out = arguments.take("out");
  const SheetFormat format = out ? sheet_format(*out) : SheetFormat::kPicture;
  arguments.expect_empty({"sample", "epoch", "json", "out"});
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  const Experiment experiment = reopen_experiment(run, {}, log);
  const RunConfig& config = experiment.config;
  const auto count = static_cast<std::int64_t>(experiment.images.train->size());
  const auto sample = static_cast<std::size_t>(in_range(sample_option, 0, count - 1, "sample"));
  const auto epoch = in_range(epoch_option, 1, config.train.epochs, "epoch");
  const ViewPlan plan = view_plan(config);
  const SampleReading reading{static_cast<int>(experiment.images.bands),
                              experiment.images.reduce_jpeg};
  const RngKey key{.seed = static_cast<std::uint64_t>(config.seed),
                   .stream = "view",
                   .epoch = static_cast<std::uint32_t>(epoch - 1),
                   .sample = static_cast<std::uint32_t>(sample)};
  const SampleViews shown{
      .sample = sample,
      .name = experiment.images.train->name(sample),
      .image = convert_bands(experiment.images.train->image(sample), reading.bands),
      .epoch = epoch,
      .views =
          sample_views({*experiment.images.train, reading, plan, key}, experiment.learned.get(),
                       static_cast<double>(epoch - 1) / static_cast<double>(config.train.epochs))};
  if (json) {
    const nlohmann::ordered_json page{{"sample", sample},
                                      {"epoch", epoch},
                                      {"name", shown.name},
                                      {"views", views_json(plan, shown.views)}};
    fmt::print("{}\n", page.dump(2));
  } else {
    print_views(shown.name, shown.views);
  }
  if (out && format == SheetFormat::kPage) {
    write_view_page(view_page({shown}, plan, config), *out);
  } else if (out) {
    write_view_sheet({shown}, *out);
  }
}

}  // namespace viewfold
