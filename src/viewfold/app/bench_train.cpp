// The benchmark of training: whole steps as `viewfold pretrain` takes them, how far they are from
// what the machine could do, and where their time goes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <sys/resource.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "viewfold/app/bench.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/processor_limits.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/nn/fused/block.hpp"
#include "viewfold/train/multiply_adds.hpp"
#include "viewfold/train/step_profile.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kGiga = 1e9;
constexpr double kFlopsPerMultiplyAdd = 2.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Everything but the settings of the run.
struct Timing final : Config {
  std::int64_t rounds = 5;
  std::int64_t milliseconds = 3000;

  void visit(FieldVisitor& v) override {
    v.field("rounds", rounds, {.min = 1, .max = 10000});
    v.field("milliseconds", milliseconds, {.min = 1, .max = 600000});
  }

  [[nodiscard]] double seconds() const { return static_cast<double>(milliseconds) / 1000.0; }
};

struct Round {
  double seconds = 0.0;
  double waited = 0.0;  // of them, for views
  std::int64_t steps = 0;
};

// A run of pretraining whose steps are taken when asked for.
class BenchRun {
 public:
  explicit BenchRun(const Experiment& experiment)
      : method_(make_initial_method(experiment.config, *experiment.images.train)),
        training_(*method_, experiment.config.train, schedule(experiment)),
        // Without an end, so that the loader has as much to do in the last step as in all others.
        loader_(open_run_loader(experiment, 0, std::numeric_limits<std::int64_t>::max())) {
    method_->module().train();
  }

  /// Steps for at least `seconds`, one or more.
  Round run(double seconds) {
    Round round;
    const double waited_before = loader_->waited_seconds();
    const auto start = Clock::now();
    while (round.steps == 0 || round.seconds < seconds) {
      take_step();
      ++round.steps;
      round.seconds = seconds_since(start);
    }
    round.waited = loader_->waited_seconds() - waited_before;
    return round;
  }

 private:
  static StepSchedule schedule(const Experiment& experiment) {
    const auto& train = experiment.config.train;
    const auto per_epoch = batches_per_epoch(experiment.images.train->size(), train.batch_size);
    return {.seed = static_cast<std::uint64_t>(experiment.config.seed),
            .total_steps = train.epochs * per_epoch,
            .steps_per_epoch = per_epoch};
  }

  void take_step() {
    ViewBatch batch = loader_->next();
    const StepOutput output = training_.run(batch, step_);
    const double loss = output.loss.item<double>();
    if (!std::isfinite(loss)) {
      throw DivergedError(fmt::format("the loss is {} at step {}", loss, step_ + 1));
    }
    ++step_;
  }

  std::unique_ptr<Method> method_;
  TrainingStep training_;
  std::unique_ptr<Loader> loader_;
  std::int64_t step_ = 0;
};

struct Ceiling {
  double fp32 = 0.0;  // GFLOP/s
  double bf16 = 0.0;
};

// The fastest that LibTorch multiplies here: two large square matrices, on every core.
double matrix_product_rate(at::ScalarType type) {
  constexpr std::int64_t kSide = 2048;
  constexpr int kCalls = 7;
  const auto a = at::randn({kSide, kSide}).to(type);
  const auto b = at::randn({kSide, kSide}).to(type);
  auto c = at::mm(a, b);
  std::vector<double> rates;
  for (int i = 0; i < kCalls; ++i) {
    const auto start = Clock::now();
    c = at::mm(a, b);
    rates.push_back(kFlopsPerMultiplyAdd * std::pow(kSide, 3) / kGiga / seconds_since(start));
  }
  return median(std::move(rates));
}

Ceiling measure_ceiling() {
  at::set_num_threads(thread_count(0));
  return {.fp32 = matrix_product_rate(at::kFloat), .bf16 = matrix_product_rate(at::kBFloat16)};
}

double peak_memory_mb() {
  constexpr double kKibibyte = 1024.0;
  constexpr double kMegabyte = 1e6;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * kKibibyte / kMegabyte;
}

// Shares of the time of a step, by name, in the order in which they are shown.
using Breakdown = std::vector<std::pair<std::string, double>>;

struct Measured {
  Ceiling ceiling;
  std::vector<double> rates;  // views a second of each round
  std::int64_t steps = 0;     // in all rounds
  double data_wait = 0.0;     // share
  double peak_rss_mb = 0.0;
  double gflop_per_view = 0.0;
  Breakdown breakdown;
  std::int64_t profiled_steps = 0;
};

double gflop_of_step(BenchRun& run) {
  const MultiplyAdds count;
  const double before = fused::totals().multiply_adds;
  (void)run.run(0.0);
  const double fused = fused::totals().multiply_adds - before;
  return kFlopsPerMultiplyAdd * (count.total() + fused) / kGiga;
}

void profile(BenchRun& run, double seconds, Measured& measured) {
  const StepProfile times;
  const fused::Totals before = fused::totals();
  const Round round = run.run(seconds);
  const fused::Totals after = fused::totals();
  auto parts = times.seconds();
  const auto add = [&parts](StepPart part, double thread_seconds) {
    parts.at(static_cast<std::size_t>(part)) += thread_seconds / at::get_num_threads();
  };
  add(StepPart::kConvolution, after.convolution_seconds - before.convolution_seconds);
  add(StepPart::kBatchNorm, after.norm_seconds - before.norm_seconds);
  double rest = round.seconds - round.waited;
  for (std::size_t i = 0; i < kStepParts; ++i) {
    const auto part = static_cast<StepPart>(i);
    if (part != StepPart::kOther && part != StepPart::kFused) {
      measured.breakdown.emplace_back(name_of(part), parts.at(i) / round.seconds);
      rest -= parts.at(i);
    }
  }
  measured.breakdown.emplace_back("data_wait", round.waited / round.seconds);
  // With the time between the operations of LibTorch, and that of threads without work.
  measured.breakdown.emplace_back(name_of(StepPart::kOther), rest / round.seconds);
  measured.profiled_steps = round.steps;
}

Measured measure(const Experiment& experiment, const Timing& timing) {
  const auto& config = experiment.config;
  Measured measured;
  measured.ceiling = measure_ceiling();
  at::set_num_threads(static_cast<int>(config.train.threads));
  BenchRun run(experiment);
  const double views_per_step =
      static_cast<double>(config.train.batch_size * view_plan(config).views_per_sample());
  measured.gflop_per_view = gflop_of_step(run) / views_per_step;  // the first step warms up
  (void)run.run(timing.seconds());
  double seconds = 0.0;
  for (std::int64_t i = 0; i < timing.rounds; ++i) {
    const Round round = run.run(timing.seconds());
    measured.rates.push_back(static_cast<double>(round.steps) * views_per_step / round.seconds);
    measured.steps += round.steps;
    measured.data_wait += round.waited;
    seconds += round.seconds;
  }
  measured.data_wait /= seconds;
  measured.peak_rss_mb = peak_memory_mb();
  profile(run, 2.0 * timing.seconds(), measured);
  return measured;
}

double share_of_ceiling(const Measured& measured, const RunConfig& config) {
  const double ceiling =
      uses_bf16(config.train.precision) ? measured.ceiling.bf16 : measured.ceiling.fp32;
  return median(measured.rates) * measured.gflop_per_view / ceiling;
}

std::string_view place_of(const RunImages& images) {
  return images.in_memory ? "memory" : "disk";
}

nlohmann::ordered_json to_json(const Measured& measured,
                               const Experiment& experiment,
                               const Timing& timing) {
  const RunConfig& config = experiment.config;
  nlohmann::ordered_json breakdown;
  for (const auto& [name, share] : measured.breakdown) {
    breakdown[name] = share;
  }
  return {
      {"benchmark", "train"},
      {"by", "viewfold"},
      {"views_per_second", median(measured.rates)},
      {"share_of_ceiling", share_of_ceiling(measured, config)},
      {"data_wait", measured.data_wait},
      {"peak_rss_mb", measured.peak_rss_mb},
      {"method", config.method_name},
      {"encoder", config.encoder.name},
      {"width", config.encoder.settings.width},
      {"recipe", config.recipe_name},
      {"size", config.view_size},
      {"batch", config.train.batch_size},
      {"precision", config.train.precision},
      {"optimizer", config.train.optimizer},
      {"threads", config.train.threads},
      {"loader_threads", config.train.loader_threads},
      {"images", experiment.images.train->size()},
      {"images_in", place_of(experiment.images)},
      {"bands", experiment.images.bands},
      {"views_per_sample", view_plan(config).views_per_sample()},
      {"rounds", timing.rounds},
      {"milliseconds", timing.milliseconds},
      {"steps", measured.steps},
      {"rates", measured.rates},
      {"gflop_per_view", measured.gflop_per_view},
      {"ceiling", {{"fp32_gflops", measured.ceiling.fp32}, {"bf16_gflops", measured.ceiling.bf16}}},
      {"breakdown", breakdown},
      {"profiled_steps", measured.profiled_steps},
      {"limits", processor_limits()}};
}

void print_tables(const Measured& measured, const Experiment& experiment) {
  const RunConfig& config = experiment.config;
  const auto percent = [](double share) { return fmt::format("{:.1f} %", 100.0 * share); };
  const auto [slowest, fastest] = std::minmax_element(measured.rates.begin(), measured.rates.end());
  fmt::print(
      "{} with {} (width {}), views \"{}\" of {} px, {} images a step, {}, {} thread{}; {} steps "
      "in {} rounds\n\n",
      config.method_name, config.encoder.name, config.encoder.settings.width, config.recipe_name,
      config.view_size, config.train.batch_size, config.train.precision, config.train.threads,
      config.train.threads == 1 ? "" : "s", measured.steps, measured.rates.size());
  fmt::print(
      "{}\n",
      text_table({{"views/s", "slowest round", "fastest round", "share of ceiling",
                   "waiting for views", "peak memory"},
                  {fmt::format("{:.0f}", median(measured.rates)), fmt::format("{:.0f}", *slowest),
                   fmt::format("{:.0f}", *fastest), percent(share_of_ceiling(measured, config)),
                   percent(measured.data_wait), fmt::format("{:.0f} MB", measured.peak_rss_mb)}}));
  fmt::print(
      "a view takes {:.3f} GFLOP; matrix products of 2048 x 2048 run at {:.0f} GFLOP/s in "
      "float32, {:.0f} in bfloat16\n\n",
      measured.gflop_per_view, measured.ceiling.fp32, measured.ceiling.bf16);
  std::vector<std::vector<std::string>> parts{{"part of a step", "time"}};
  for (const auto& [name, share] : measured.breakdown) {
    parts.push_back({name, percent(share)});
  }
  fmt::print("{}", text_table(parts));
}

Timing read_timing(Arguments& arguments) {
  ConfigSource source;
  for (const char* key : {"rounds", "milliseconds"}) {
    if (const auto value = arguments.take(key)) {
      source.set(key, *value, fmt::format("--{}", key));
    }
  }
  Timing timing;
  read_config(timing, source);
  return timing;
}

}  // namespace

void bench_train(Arguments arguments) {
  const bool json = arguments.take_flag("json");
  const Timing timing = read_timing(arguments);
  const ConfigSource source = take_run_settings(arguments);
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  for (const auto& limit : processor_limits()) {
    log.warning(limit);
  }
  const Experiment experiment = read_experiment(source, log);
  const Measured measured = measure(experiment, timing);
  if (json) {
    fmt::print("{}\n", to_json(measured, experiment, timing).dump());
  } else {
    print_tables(measured, experiment);
  }
}

}  // namespace viewfold
