// The verb that fuses encoders: their features side by side, as a run of its own.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/core/version.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/nn/concatenated_encoder.hpp"

namespace viewfold {
namespace {

struct NamedEncoder {
  std::string path;
  LoadedEncoder loaded;
};

std::vector<NamedEncoder> read_parts(Arguments& arguments) {
  std::vector<NamedEncoder> parts;
  while (arguments.has_positional() || parts.size() < 2) {
    const std::string path = arguments.take_positional("RUN RUN [RUN ...] (two runs or more)");
    parts.push_back({path, read_finished_encoder(RunDir::open(path))});
    const auto& spec = parts.back().loaded.card.encoder;
    const auto& first = parts.front().loaded.card.encoder;
    if (!spec.parts.empty()) {
      throw UsageError(fmt::format("{}: is fused itself (name the runs that it is made of)", path));
    }
    if (spec.in_channels != first.in_channels || spec.input_size != first.input_size) {
      throw UsageError(fmt::format(
          "{} sees {} bands of {} x {} pixels, and {} sees {} of {} x {} (fuse encoders of images "
          "of one size: --views.size)",
          parts.front().path, first.in_channels, first.input_size, first.input_size, path,
          spec.in_channels, spec.input_size, spec.input_size));
    }
  }
  return parts;
}

// The word of all parts, or `other` where they differ.
template <class Word>
std::string common(const std::vector<NamedEncoder>& parts, Word word, const char* other) {
  const std::string first = word(parts.front().loaded.card);
  const bool same = std::all_of(parts.begin(), parts.end(), [&](const NamedEncoder& part) {
    return word(part.loaded.card) == first;
  });
  return same ? first : other;
}

// What makes values normalised by `from` into values normalised by `to`, for each band.
struct Renormalization {
  at::Tensor scale;
  at::Tensor shift;
};

Renormalization renormalization(const Normalization& from, const Normalization& to) {
  std::vector<double> scale;
  std::vector<double> shift;
  for (std::size_t band = 0; band < from.mean.size(); ++band) {
    scale.push_back(from.std[band] / to.std[band]);
    shift.push_back((from.mean[band] - to.mean[band]) / to.std[band]);
  }
  return {.scale = at::tensor(scale, at::kDouble).to(at::kFloat),
          .shift = at::tensor(shift, at::kDouble).to(at::kFloat)};
}

EncoderCard card_of(const std::vector<NamedEncoder>& parts) {
  const EncoderCard& first = parts.front().loaded.card;
  EncoderCard card{.encoder = {.name = std::string(kConcatenation),
                               .width = 1,
                               .stem = "cifar",
                               .in_channels = first.encoder.in_channels,
                               .input_size = first.encoder.input_size,
                               .zero_init_residual = false,
                               .parts = {}},
                   .normalization = first.normalization,
                   .method = common(
                       parts, [](const EncoderCard& c) { return c.method; }, "several"),
                   .data_fingerprint = common(
                       parts, [](const EncoderCard& c) { return c.data_fingerprint; }, "several"),
                   .seed = first.seed,
                   .feature_dim = 0,
                   .epochs = 0,
                   .version = std::string(version())};
  for (const auto& part : parts) {
    card.encoder.parts.push_back(part.loaded.card.encoder);
    card.feature_dim += part.loaded.card.feature_dim;
    card.epochs = std::max(card.epochs, part.loaded.card.epochs);
  }
  return card;
}

}  // namespace

void fuse_command(Arguments arguments) {
  const auto parts = read_parts(arguments);
  const auto out = arguments.take("out");
  const bool overwrite = arguments.take_flag("overwrite");
  arguments.expect_empty({"out", "overwrite"});
  if (!out) {
    throw UsageError("--out RUN is missing: the folder that the encoder is to stand in");
  }
  const auto card = card_of(parts);
  ConcatenatedEncoder fused(card.encoder);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& part = parts[i].loaded;
    const auto change = renormalization(card.normalization, part.card.normalization);
    fused.set_part(i, *part.encoder, change.scale, change.shift);
  }
  fused.eval();
  const RunDir run = RunDir::create(*out, overwrite);
  write_encoder(fused, card, run.encoder(), run.card());
  run.set_status(RunStatus::kFinished);
  std::vector<std::string> lines;
  for (const auto& part : parts) {
    lines.push_back(fmt::format("{} of {}", part.loaded.card.feature_dim, part.path));
  }
  fmt::print("{} features: {}\n{}\n", card.feature_dim, fmt::join(lines, ", "),
             run.path().string());
}

}  // namespace viewfold
