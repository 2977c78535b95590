// The verb that judges the views of a recipe on the user's own images, before training.
#include <cstdio>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/app/view_source.hpp"
#include "viewfold/augment/view_audit.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/survey.hpp"

namespace viewfold {
namespace {

// The images of an audit, one number of bands, and what is known about them.
struct AuditImages {
  std::vector<Image> images;
  std::vector<KnownBox> boxes;
  Normalization normalization;
};

// An encoder to measure distances by, and how its inputs are normalised.
struct Eye {
  std::shared_ptr<Encoder> encoder;
  Normalization normalization;
  std::string name;
};

// Rows "name,left,top,right,bottom" of a CSV file without a head; the name may be the end of a
// path.
std::vector<KnownBox> read_boxes(const std::string& path,
                                 const Dataset& dataset,
                                 std::span<const std::uint32_t> indices) {
  std::ifstream file(path);
  if (!file) {
    throw DataError(fmt::format("{}: cannot be opened", path));
  }
  std::vector<KnownBox> boxes;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    Rect box;
    char name[1024];
    char rest = 0;
    const int read = std::sscanf(line.c_str(), "%1023[^,],%lf,%lf,%lf,%lf %c", name, &box.left,
                                 &box.top, &box.right, &box.bottom, &rest);
    if (read != 5 || !(box.left < box.right) || !(box.top < box.bottom)) {
      throw DataError(fmt::format(
          "{} line {}: expected name,left,top,right,bottom in pixels, with left < right and top < "
          "bottom",
          path, number));
    }
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (dataset.name(indices[i]).ends_with(name)) {
        boxes.push_back({i, box});
      }
    }
  }
  if (boxes.empty()) {
    throw DataError(fmt::format("{}: names none of the images that are looked at", path));
  }
  return boxes;
}

AuditImages read_images(const Dataset& dataset,
                        std::int64_t bands,
                        std::int64_t most,
                        const std::optional<std::string>& boxes) {
  AuditImages audit;
  std::vector<std::uint32_t> indices;
  const auto count = std::min(dataset.size(), static_cast<std::size_t>(most));
  for (std::size_t i = 0; i < count; ++i) {
    indices.push_back(static_cast<std::uint32_t>(i * dataset.size() / count));
    audit.images.push_back(convert_bands(dataset.image(indices.back()), static_cast<int>(bands)));
  }
  if (boxes) {
    audit.boxes = read_boxes(*boxes, dataset, indices);
  }
  const auto statistics = band_statistics(dataset, static_cast<int>(bands), 1000, 1, 1);
  audit.normalization = {.mean = statistics.mean, .std = statistics.std};
  return audit;
}

Eye open_eye(const std::optional<std::string>& run,
             const RunConfig& config,
             const AuditImages& audit) {
  if (run) {
    auto loaded = read_finished_encoder(RunDir::open(*run));
    return {loaded.encoder, loaded.card.normalization, *run};
  }
  torch::manual_seed(1);
  auto encoder = make_encoder({.name = config.encoder.name,
                               .width = config.encoder.settings.width,
                               .stem = resolve_stem(config.encoder.settings.stem, config.view_size),
                               .in_channels = audit.images.front().bands(),
                               .input_size = config.view_size});
  return {encoder, audit.normalization, "an untrained encoder"};
}

at::Tensor features_of(const Eye& eye, const std::vector<Image>& images) {
  const at::NoGradGuard no_grad;
  eye.encoder->eval();
  const auto h = eye.encoder->forward(to_tensor(images, eye.normalization));  // [N, D]
  return h.div(h.norm(2, {1}, true).clamp_min(1e-12));
}

// Mean cosine distance of two views of an image, as a share of that of two images.
double feature_distance(const Eye& eye, const ViewPairs& pairs) {
  const auto first = features_of(eye, pairs.first);    // [N, D]
  const auto second = features_of(eye, pairs.second);  // [N, D]
  const auto distance = [&first](const at::Tensor& other) {
    return 1.0 - first.mul(other).sum(1).mean().item<double>();
  };
  const double other = distance(second.roll(1, 0));
  return other > 0.0 ? distance(second) / other : 0.0;
}

PipelineStep copy_of(const PipelineStep& step) {
  PipelineStep copy{step.op, find_augmentation(step.op).config()};
  ConfigSource source;
  source.add_toml_text(print_config(*step.config), step.op);
  read_config(*copy.config, source);
  return copy;
}

class Audit {
 public:
  Audit(const AuditImages& images, const Eye& eye, std::int64_t size, std::uint64_t seed)
      : images_(images),
        eye_(eye),
        size_(size),
        seed_(seed) {
    if (images.images.size() < 3) {
      throw UsageError("views are judged on at least 3 images");
    }
    orientation_ = orientation_cost(images.images, size);
  }

  // Each operation alone, then all together.
  void add_pipeline(const std::vector<PipelineStep>& steps, const std::string& name) {
    for (const auto& step : steps) {
      std::vector<PipelineStep> one;
      one.push_back(copy_of(step));
      add_line(Pipeline(one), name.empty() ? step.op : name + " " + step.op, false);
    }
    add_line(Pipeline(steps), name.empty() ? "recipe" : name, true);
  }

  [[nodiscard]] const std::vector<AuditLine>& lines() const { return lines_; }

 private:
  void add_line(const Pipeline& pipeline, const std::string& name, bool whole) {
    AuditLine line{.name = name,
                   .whole = whole,
                   .pairs = make_pairs(pipeline, images_.images, images_.boxes, size_, seed_),
                   .numbers = {},
                   .feature_distance = {},
                   .orientation_cost = orientation_};
    line.numbers = measure_pairs(line.pairs);
    line.feature_distance = feature_distance(eye_, line.pairs);
    line.pairs.first.clear();  // what is left of the images are the numbers
    line.pairs.second.clear();
    lines_.push_back(std::move(line));
  }

  const AuditImages& images_;
  const Eye& eye_;
  std::int64_t size_;
  std::uint64_t seed_;
  double orientation_ = 1.0;
  std::vector<AuditLine> lines_;
};

std::string percent(double share) {
  return fmt::format("{:.0f} %", 100.0 * share);
}

void print_audit(const std::vector<AuditLine>& lines, const AuditImages& images, const Eye& eye) {
  std::vector<std::vector<std::string>> table{{"", "area kept", "smallest tenth", "pixels moved",
                                               "features moved", "found by colours",
                                               "by thumbnail"}};
  if (!images.boxes.empty()) {
    table.front().emplace_back("objects lost");
  }
  for (const auto& line : lines) {
    table.push_back({line.name, percent(line.pairs.kept_median), percent(line.pairs.kept_low),
                     percent(line.numbers.pixel_distance), percent(*line.feature_distance),
                     percent(line.numbers.histogram_match), percent(line.numbers.thumbnail_match)});
    if (!images.boxes.empty()) {
      table.back().push_back(percent(line.pairs.boxes_lost));
    }
  }
  fmt::print("{}\n", text_table(table));
  fmt::print(
      "  moved: distance of two views of an image, 100 % is that of two images; features by {}\n"
      "  found: first views whose second view is the nearest of {} by nothing but that\n\n",
      eye.name, images.images.size());
  for (const auto& line : lines) {
    for (const auto& finding : judge(line)) {
      fmt::print("{}: {}{}{}\n", line.name, to_string(finding.verdict),
                 finding.reason.empty() ? "" : ": ", finding.reason);
    }
  }
}

nlohmann::ordered_json line_json(const AuditLine& line) {
  auto findings = nlohmann::ordered_json::array();
  for (const auto& finding : judge(line)) {
    findings.push_back({{"verdict", to_string(finding.verdict)}, {"reason", finding.reason}});
  }
  return {{"name", line.name},
          {"whole", line.whole},
          {"area_kept_median", line.pairs.kept_median},
          {"area_kept_smallest_tenth", line.pairs.kept_low},
          {"pixel_distance", line.numbers.pixel_distance},
          {"feature_distance", *line.feature_distance},
          {"histogram_match", line.numbers.histogram_match},
          {"thumbnail_match", line.numbers.thumbnail_match},
          {"objects_lost", line.pairs.boxes_lost},
          {"orientation_cost", line.orientation_cost},
          {"findings", std::move(findings)}};
}

}  // namespace

void audit_views_command(Arguments arguments) {
  const auto boxes = arguments.take("boxes");
  const auto with = arguments.take("with");
  const auto most = arguments.take_integer("images", 256);
  const bool json = arguments.take_flag("json");
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  const ViewSource source = open_view_source(std::move(arguments), log);
  const RunConfig& config = source.config;
  if (config.learned.is_on()) {
    throw UsageError(
        "audit-views measures what recipes do to an image; leave views.learned.from out (`viewfold "
        "views` shows learned views, `viewfold manifold show` has their numbers)");
  }
  const AuditImages images = read_images(*source.dataset, source.bands, most, boxes);
  const Eye eye = open_eye(with, config, images);
  Audit audit(images, eye, config.view_size, static_cast<std::uint64_t>(config.seed));
  for (const auto& group : config.recipe->groups()) {
    for (std::size_t i = 0; i < group.pipelines.size(); ++i) {
      std::string name = group.name;
      if (group.pipelines.size() > 1) {
        name += fmt::format("{}view{}", name.empty() ? "" : " ", i + 1);
      }
      audit.add_pipeline(group.pipelines[i], name);
    }
  }
  if (json) {
    auto lines = nlohmann::ordered_json::array();
    for (const auto& line : audit.lines()) {
      lines.push_back(line_json(line));
    }
    fmt::print("{}\n", lines.dump(2));
  } else {
    print_audit(audit.lines(), images, eye);
  }
}

}  // namespace viewfold
