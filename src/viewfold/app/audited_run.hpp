// A run under audit: its encoder, the images it is measured on, and how many each part may take.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "viewfold/app/labelled_images.hpp"
#include "viewfold/core/log.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {

/// How many images each part of an audit takes; by default all there are.
struct AuditSizes {
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  std::int64_t train = kAll;        // features of training images
  std::int64_t test = kAll;         // of test images
  std::int64_t corrupted = kAll;    // test images, each in all kinds and severities
  std::int64_t transformed = kAll;  // test images, each in all graded transforms
  std::int64_t attacked = kAll;     // test images, each by all attacks
  std::int64_t rendered = kAll;     // solids to whiten by; a quarter as many are measured
  std::int64_t mapped = kAll;       // test images on the map

  [[nodiscard]] static AuditSizes least_of(const AuditSizes& a, const AuditSizes& b);
};

class AuditedRun {
 public:
  static constexpr std::int64_t kBatch = 250;
  static constexpr std::uint64_t kSeed = 0;  // of what is drawn in audits: alike for all runs

  /// deadline  when the time of the audit is over
  AuditedRun(const RunDir& run,
             LabelledImages images,
             std::chrono::steady_clock::time_point deadline,
             LogSink& log);

  [[nodiscard]] const RunDir& run() const { return run_; }
  [[nodiscard]] const LoadedEncoder& loaded() const { return loaded_; }
  [[nodiscard]] Encoder& encoder() const { return *loaded_.encoder; }
  [[nodiscard]] const LabelledImages& all() const { return all_; }
  [[nodiscard]] LogSink& log() const { return log_; }
  [[nodiscard]] static int threads();
  [[nodiscard]] double seconds_left() const;

  /// Images a second through decoding and encoder; measured once.
  [[nodiscard]] double rate();

  /// What can be done in `seconds`.
  [[nodiscard]] AuditSizes sizes_for(double seconds);

  void take(const AuditSizes& sizes) { sizes_ = sizes; }
  [[nodiscard]] const AuditSizes& sizes() const { return sizes_; }

  /// The training and test images that features are made of.
  [[nodiscard]] LabelledImages taken() const;

  /// Their features, made when they are asked for the first time.
  [[nodiscard]] const EvaluationInput& input();

  /// Features of `most` of the training images that input() has, with all its test images.
  [[nodiscard]] EvaluationInput input_with_bank(std::int64_t most);

  [[nodiscard]] FeatureSet features(const Dataset& images) const;

  /// `count` test images, each class among them, as they enter the encoder: cut to its input size,
  /// 8 bits. What changes them then does so at the encoder's own resolution, and takes no longer
  /// for large photographs.
  [[nodiscard]] std::shared_ptr<const Dataset> entering_images(std::int64_t count) const;

  /// `count` test images as they are stored, each class among them, in random order that is the
  /// same for all runs.
  [[nodiscard]] std::shared_ptr<const Dataset> some_test_images(std::int64_t count) const;

 private:
  RunDir run_;
  LoadedEncoder loaded_;
  LabelledImages all_;
  std::chrono::steady_clock::time_point deadline_;
  LogSink& log_;
  AuditSizes sizes_;
  std::optional<double> rate_;
  std::optional<EvaluationInput> input_;
};

}  // namespace viewfold
