// All settings of a run, put together from the chosen method, encoder and view recipe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "viewfold/app/arguments.hpp"
#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"
#include "viewfold/manifold/learned_views.hpp"
#include "viewfold/methods/method.hpp"
#include "viewfold/train/train_config.hpp"

namespace viewfold {

/// Which images, and how they are held.
struct DataConfig final : Config {
  std::string source;
  std::string split = "train";
  std::int64_t limit = 0;
  std::int64_t bands = 0;
  double hold_out = 0.05;
  double max_bad_fraction = 0.0;
  double memory_gb = 4.0;
  double cache_gb = 20.0;
  std::string reduce_jpeg = "auto";
  double imbalance = 1.0;
  std::string corruption;
  std::string corruption_policy = "per_image";
  void visit(FieldVisitor& v) override;
};

/// Which network, with its settings.
struct ChosenEncoderConfig final : Config {
  ChosenEncoderConfig() { settings.width = 16; }  // two cores train it in minutes

  std::string name;  // the method's own unless the user names another
  EncoderConfig settings;
  void visit(FieldVisitor& v) override;
};

/// Evaluation while training, on held-out training images.
struct OnlineConfig final : Config {
  std::int64_t every = 0;
  std::int64_t bank = 10000;
  void visit(FieldVisitor& v) override;
};

/// Everything a run depends on.
class RunConfig final : public Config {
 public:
  /// The defaults for a method, a view recipe ("auto": the method's own) and views of view_size
  /// pixels.
  RunConfig(const std::string& method_name, const std::string& recipe_name, std::int64_t view_size);

  void visit(FieldVisitor& v) override;

  std::int64_t seed = 1;
  DataConfig data;
  ChosenEncoderConfig encoder;
  std::string method_name;
  std::unique_ptr<Config> method;
  std::string recipe_name;
  std::int64_t view_size = 0;
  std::unique_ptr<RecipeConfig> recipe;
  LearnedViewsConfig learned;
  TrainConfig train;
  OnlineConfig online;

  [[nodiscard]] MethodEntry method_entry() const { return find_method(method_name); }
};

/// Takes what is left of a command line: --config files, DATA and settings; the later win. Throws
/// UsageError on more than that.
[[nodiscard]] ConfigSource take_run_settings(Arguments& arguments);

/// Reads the part "data" alone; other keys are left for read_run_config().
[[nodiscard]] DataConfig read_data_config(const ConfigSource& source);

/// Reads all. Views are `fallback_size` pixels large unless "views.size" says otherwise.
[[nodiscard]] RunConfig read_run_config(const ConfigSource& source, std::int64_t fallback_size);

}  // namespace viewfold
