// The verb that takes in an encoder that was trained elsewhere: its weights become a run directory
// that evaluations, audits and exports understand.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/core/version.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/eval/imported_encoder.hpp"

namespace viewfold {
namespace {

// torchvision's of its models for ImageNet, which most published checkpoints use.
constexpr const char* kImageNetMean = "0.485,0.456,0.406";
constexpr const char* kImageNetStd = "0.229,0.224,0.225";

std::vector<double> numbers_of(const std::string& list, const char* option) {
  std::vector<double> numbers;
  for (const auto& word : split_list(list)) {
    std::size_t read = 0;
    try {
      numbers.push_back(std::stod(word, &read));
    } catch (const std::exception&) {
      read = 0;
    }
    if (read == 0 || read != word.size() || !std::isfinite(numbers.back())) {
      throw UsageError(fmt::format("--{}: \"{}\" is no number between commas", option, word));
    }
  }
  return numbers;
}

// One number for each band, of which a single one is for all.
std::vector<double> per_band(std::vector<double> numbers, std::int64_t bands, const char* option) {
  if (numbers.size() == 1) {
    numbers.assign(static_cast<std::size_t>(bands), numbers.front());
  }
  if (static_cast<std::int64_t>(numbers.size()) != bands) {
    throw UsageError(fmt::format("--{}: {} numbers for an encoder of {} bands (name one for each)",
                                 option, numbers.size(), bands));
  }
  return numbers;
}

void print_match(const ImportedEncoder& imported) {
  fmt::print("{}: {} {} of width {}, {} stem, {} bands\n", imported.described_as,
             imported.prefix.empty() ? std::string("without a prefix,")
                                     : fmt::format("below \"{}\",", imported.prefix),
             imported.spec.name, imported.spec.width, imported.spec.stem,
             imported.spec.in_channels);
  fmt::print("{} tensors taken, {} left out", imported.matched.size(), imported.unused.size());
  constexpr std::size_t kShown = 8;
  const auto shown = std::min(kShown, imported.unused.size());
  fmt::print("{}{}{}\n", shown > 0 ? ": " : "",
             fmt::join(imported.unused.begin(),
                       imported.unused.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
             shown < imported.unused.size() ? ", ..." : "");
  for (const auto& note : imported.notes) {
    fmt::print("{}\n", note);
  }
}

}  // namespace

void import_command(Arguments arguments) {
  const std::filesystem::path file =
      arguments.take_positional("FILE (a checkpoint: .pth, .pt, .safetensors)");
  const auto out = arguments.take("out");
  ImportOptions options;
  options.input_size = arguments.take_integer("size", 0);
  options.prefix = arguments.take("prefix").value_or("");
  options.stem = arguments.take("stem").value_or("auto");
  const auto mean = numbers_of(arguments.take("mean").value_or(kImageNetMean), "mean");
  const auto std = numbers_of(arguments.take("std").value_or(kImageNetStd), "std");
  const bool overwrite = arguments.take_flag("overwrite");
  arguments.expect_empty({"out", "size", "prefix", "stem", "mean", "std", "overwrite"});
  if (!out) {
    throw UsageError("--out RUN is missing: the folder that the encoder is to stand in");
  }
  if (!overwrite) {
    RunDir::check_free(*out);  // told before a large file is read
  }
  const auto imported = import_encoder(file, options);
  const auto bands = imported.spec.in_channels;
  EncoderCard card{
      .encoder = imported.spec,
      .normalization = {.mean = per_band(mean, bands, "mean"), .std = per_band(std, bands, "std")},
      .method = "imported",
      .data_fingerprint = "unknown",
      .feature_dim = imported.encoder->feature_dim(),
      .version = std::string(version())};
  for (const double value : card.normalization.std) {
    if (!(value > 0.0)) {
      throw UsageError("--std: every number must be above 0");
    }
  }
  const RunDir run = RunDir::create(*out, overwrite);
  write_encoder(*imported.encoder, card, run.encoder(), run.card());
  run.set_status(RunStatus::kFinished);
  print_match(imported);
  fmt::print("images enter at {} px, normalised by mean {} and std {}\n{}\n",
             imported.spec.input_size, fmt::join(card.normalization.mean, ", "),
             fmt::join(card.normalization.std, ", "), run.path().string());
}

}  // namespace viewfold
