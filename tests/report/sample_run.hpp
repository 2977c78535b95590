// What the pages are made of: a run directory with every file that the report reads, and pictures
// with captions.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/image/codec.hpp"
#include "viewfold/image/image.hpp"
#include "viewfold/report/view_page.hpp"

namespace viewfold::testing {

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline void write_picture(const std::filesystem::path& path, int height, int width) {
  const auto bytes = encode_png(Image(height, width, 3));
  write_text(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

inline nlohmann::json sample_evaluation(const std::string& name, double accuracy) {
  return {{"schema", 1},
          {"evaluation", name},
          {"dataset", "shapes"},
          {"split", "test"},
          {"counts", {{"train", 400}, {"test", 100}}},
          {"protocol", "on frozen features"},
          {"numbers", {{"accuracy", accuracy}, {"loss", 0.5}}},
          {"controls",
           {{"raw pixels", {{"accuracy", 0.5}}}, {"untrained encoder", {{"accuracy", 0.625}}}}},
          {"confusion",
           {{"classes", {"circle", "square", "star"}},
            {"matrix", {{40, 3, 0}, {1, 29, 5}, {0, 2, 20}}}}}};
}

/// 40 lines of training, four of evaluation while training, one alarm at step 200.
inline std::string sample_metrics() {
  std::string text;
  for (int step = 10; step <= 400; step += 10) {
    text += fmt::format(
        R"({{"event": "train", "step": {}, "epoch": {}, "time": 1.0, "loss": {:.4f}, "lr": 0.03, )"
        R"("views_per_second": 900.0, "data_wait": 0.02, "std": 0.9, "rank": 20.5, "agreement": 0.7}})"
        "\n",
        step, (step - 1) / 100, 5.0 * std::exp(-step / 200.0));
    if (step % 100 == 0) {
      text +=
          fmt::format(R"({{"event": "online", "step": {}, "epoch": {}, "time": 1.0, "knn": {}}})"
                      "\n",
                      step, step / 100 - 1, 0.5 + step / 1000.0);
    }
    if (step == 200) {
      text +=
          R"({"event": "alarm", "step": 200, "epoch": 1, "time": 1.0, "message": "outputs are equal"})"
          "\n";
    }
  }
  return text;
}

inline void write_sample_run(const std::filesystem::path& dir) {
  write_text(
      dir / "run.json",
      R"({"schema": 1, "version": "0.1.0", "status": "finished", "created": "2026-01-31T23:59:59Z"})");
  write_text(dir / "resolved.toml",
             "seed = 1\n[data]\nsource = \"/somewhere/shapes\"\n[encoder]\nname = \"resnet18\"\n"
             "[method]\nname = \"simclr\"\ntemperature = 0.2\n[train]\nepochs = 4\n");
  write_text(dir / "metrics.jsonl", sample_metrics());
  write_text(dir / "eval" / "knn.json", sample_evaluation("knn", 0.89).dump());
  write_text(dir / "eval" / "linear.json", sample_evaluation("linear", 0.6).dump());
  write_text(dir / "card.json",
             R"({"schema": 1, "architecture": {"name": "resnet18", "width": 16}, "seed": 1})");
  write_picture(dir / "figures" / "views.png", 20, 30);
  write_picture(dir / "figures" / "neighbours.png", 40, 30);
}

inline nlohmann::json sample_invariance() {
  auto evaluation = sample_evaluation("invariance", 0.0);
  evaluation.erase("confusion");
  evaluation["numbers"] = {{"similarity_hue", 0.9}};
  evaluation["similarity"] = {{"hue", 0.9}, {"h_flip", 0.55}, {"rotation", 0.1}, {"scale", -0.02}};
  evaluation["curves"] = nlohmann::json::array({{{"family", "rotation"},
                                                 {"unit", "degrees"},
                                                 {"identity", 0.0},
                                                 {"strengths", {0.0, 120.0, 240.0}},
                                                 {"similarity", {1.0, 0.12, 0.08}},
                                                 {"distance", {0.0, 3.0, 3.1}}},
                                                {{"family", "h_flip"},
                                                 {"unit", "applied"},
                                                 {"identity", 0.0},
                                                 {"strengths", {0.0, 1.0}},
                                                 {"similarity", {1.0, 0.55}},
                                                 {"distance", {0.0, 2.0}}},
                                                {{"family", "scale"},
                                                 {"unit", "factor"},
                                                 {"identity", 1.0},
                                                 {"strengths", {0.25, 0.5, 1.0, 2.0}},
                                                 {"similarity", {-0.02, nullptr, 1.0, 0.4}},
                                                 {"distance", {4.0, nullptr, 0.0, 2.0}}}});
  return evaluation;
}

inline nlohmann::json sample_robustness() {
  auto evaluation = sample_evaluation("robustness", 0.6);
  evaluation.erase("confusion");
  evaluation["numbers"]["clean_accuracy"] = 0.9;
  evaluation["chance"] = 0.25;
  evaluation["accuracy_by_severity"] = {{"fog", {0.88, 0.8, 0.7, 0.5, 0.3}},
                                        {"brightness", {0.9, 0.9, 0.89, 0.88, 0.86}},
                                        {"gaussian_noise", {0.8, 0.6, 0.4, 0.3, 0.26}}};
  return evaluation;
}

/// 40 images on a ring: 12 classes, of the last image none. Tiles of 8 pixels, 7 in a row.
inline nlohmann::json sample_map() {
  auto evaluation = sample_evaluation("map", 0.0);
  evaluation.erase("confusion");
  evaluation["numbers"] = {{"trustworthiness", 0.9375}};
  evaluation["sprite"] = {{"file", "figures/map.jpg"}, {"tile", 8}, {"columns", 7}};
  for (int label = 0; label < 12; ++label) {
    evaluation["classes"].push_back(fmt::format("class {}", label));
  }
  for (int i = 0; i < 40; ++i) {
    const double angle = 0.16 * i;
    evaluation["points"].push_back({{"x", 3.0 * std::cos(angle)},
                                    {"y", 2.0 * std::sin(angle) - 5.0},
                                    {"label", i == 39 ? -1 : i % 12},
                                    {"name", fmt::format("test/{}.png", i)}});
  }
  return evaluation;
}

inline nlohmann::json sample_duplicates() {
  auto evaluation = sample_evaluation("duplicates", 0.0);
  evaluation.erase("confusion");
  evaluation["numbers"] = {
      {"pairs_across", 2}, {"test_images_with_twin", 2}, {"test_twin_share", 0.02}};
  evaluation["sheet"] = "figures/duplicates.png";
  evaluation["pairs"] = nlohmann::json::array({{{"a", "train/1.png"},
                                                {"b", "test/9.png"},
                                                {"kind", "across"},
                                                {"similarity", 0.9987},
                                                {"mirrored", true},
                                                {"same_label", true}},
                                               {{"a", "train/2.png"},
                                                {"b", "train/3.png"},
                                                {"kind", "train"},
                                                {"similarity", 0.9721},
                                                {"same_label", false}}});
  return evaluation;
}

inline void write_jpeg(const std::filesystem::path& path, int height, int width) {
  const auto bytes = encode_jpeg(Image(height, width, 3), 80);
  write_text(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

/// What an audit adds to a run.
inline void write_sample_audit(const std::filesystem::path& dir) {
  write_text(dir / "eval" / "invariance.json", sample_invariance().dump());
  write_text(dir / "eval" / "robustness.json", sample_robustness().dump());
  write_text(dir / "eval" / "map.json", sample_map().dump());
  write_text(dir / "eval" / "duplicates.json", sample_duplicates().dump());
  write_jpeg(dir / "figures" / "map.jpg", 48, 56);
  write_picture(dir / "figures" / "duplicates.png", 16, 64);
}

/// Two rows: an original, two views of 32 pixels and one of 12, with a caption of two lines each.
inline ViewPage sample_view_page() {
  const std::vector<CaptionLine> caption{
      {.text = "gaussian_blur radius 2, sigma 1.5", .faint = false},
      {.text = "invert not applied", .faint = true}};
  ViewPage page{
      .title = "swav on shapes", .sentences = {"One sentence.", "And another."}, .rows = {}};
  for (const std::string name : {"first.png", "second.png"}) {
    PictureRow row{.name = name, .pictures = {}};
    row.pictures.push_back(
        {.image = Image(20, 20, 3), .title = "original", .group = "", .caption = {}});
    for (const int view : {1, 2, 3}) {
      const int side = view < 3 ? 32 : 12;
      row.pictures.push_back({.image = Image(side, side, 1),
                              .title = fmt::format("view {}", view),
                              .group = view < 3 ? "large" : "small",
                              .caption = caption});
    }
    page.rows.push_back(std::move(row));
  }
  return page;
}

}  // namespace viewfold::testing
