// The verb that looks at the machine: what it has, how fast each part of training is here, and
// which part will limit.
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>
#include <unistd.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/version.h>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/processor_limits.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

// Calls of `work` per second, over at least a second after two calls that warm up.
double rate_of(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  constexpr double kSeconds = 1.0;
  work();
  work();
  const auto start = Clock::now();
  double passed = 0.0;
  std::int64_t calls = 0;
  while (passed < kSeconds) {
    work();
    ++calls;
    passed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return static_cast<double>(calls) / passed;
}

// Smooth shapes with some noise: compresses about as a photograph does.
Image test_picture(int height, int width) {
  Image image(height, width, 3);
  Rng rng({.seed = 1, .stream = "doctor"});
  auto values = image.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto x = static_cast<std::uint32_t>(i / 3) % static_cast<std::uint32_t>(width);
    const auto y = static_cast<std::uint32_t>(i / 3) / static_cast<std::uint32_t>(width);
    values[i] = static_cast<std::uint8_t>((x * 255 / static_cast<std::uint32_t>(width) + y / 2 +
                                           40 * ((x / 37 + y / 23) % 2) + rng.below(8)) &
                                          0xFFU);
  }
  return image;
}

std::string instruction_sets() {
  std::vector<std::string> found;
  const auto add = [&found](bool has, const char* name) {
    if (has) {
      found.emplace_back(name);
    }
  };
  add(__builtin_cpu_supports("sse4.2") != 0, "SSE4.2");
  add(__builtin_cpu_supports("avx2") != 0, "AVX2");
  add(__builtin_cpu_supports("fma") != 0, "FMA");
  add(__builtin_cpu_supports("avx512f") != 0, "AVX-512");
  add(__builtin_cpu_supports("avx512vnni") != 0, "VNNI");
  add(__builtin_cpu_supports("avx512bf16") != 0, "bf16");
  return found.empty() ? "none of those that help" : fmt::format("{}", fmt::join(found, " "));
}

double memory_gb() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) /
         1e9;
}

struct Speeds {
  double small_reads = 0.0;  // JPEG files of 32 x 32 a second, one thread
  double large_reads = 0.0;  // of 500 x 375
  double views = 0.0;        // of 32 x 32 a second, one thread
  double fp32 = 0.0;         // views a second through training steps, all threads
  double bf16 = 0.0;
};

// Training steps of the default run on 32 x 32 images, in views per second.
double step_rate(const RunConfig& config, bool bf16) {
  const auto images = make_image_list(
      std::vector<Image>(static_cast<std::size_t>(config.train.batch_size)));  // none is read
  const auto method = make_initial_method(config, *images);
  method->module().train();
  ViewBatch batch;
  batch.indices.resize(static_cast<std::size_t>(config.train.batch_size));
  batch.groups.push_back(empty_channels_last(config.method_entry().views * batch.size(),
                                             config.data.bands, config.view_size,
                                             config.view_size));
  batch.groups.front().normal_();
  TrainConfig settings = config.train;
  settings.precision = bf16 ? "bf16" : "fp32";
  settings.base_lr = 1e-3;  // noise has nothing to learn
  TrainingStep step(*method, settings, {.total_steps = 1, .steps_per_epoch = 1});
  const double steps = rate_of([&] { (void)step.run(batch, 0); });
  return steps * static_cast<double>(batch.views() * batch.size());
}

Speeds measure(const RunConfig& config) {
  Speeds speeds;
  const auto small = encode_jpeg(test_picture(32, 32), 90);
  const auto large = encode_jpeg(test_picture(375, 500), 90);
  speeds.small_reads = rate_of([&] { (void)decode_image(small); });
  speeds.large_reads = rate_of([&] { (void)decode_image(large); });
  const ViewPlan plan =
      make_view_plan(*config.recipe, config.method_entry().views, config.view_size);
  const Image source = test_picture(32, 32);
  std::uint32_t sample = 0;
  speeds.views = rate_of(
      [&] { (void)make_view(plan, source, {.seed = 1, .stream = "view", .sample = sample++}); });
  speeds.fp32 = step_rate(config, false);
  speeds.bf16 = step_rate(config, true);
  return speeds;
}

std::string verdict(const RunConfig& config, const Speeds& speeds) {
  const double network = uses_bf16(config.train.precision) ? speeds.bf16 : speeds.fp32;
  const double views = speeds.views * static_cast<double>(config.train.loader_threads);
  if (views < network) {
    return fmt::format(
        "views will limit: {} thread makes {:.0f} a second, the network takes {:.0f} (raise "
        "--train.loader_threads)",
        config.train.loader_threads, views, network);
  }
  return fmt::format(
      "the network will limit: it takes {:.0f} views a second, {} thread makes {:.0f} (smaller "
      "--encoder.width trains faster)",
      network, config.train.loader_threads, views);
}

}  // namespace

void doctor_command(Arguments arguments) {
  arguments.expect_empty({});
  constexpr std::int64_t kSize = 32;
  RunConfig config = read_run_config({}, kSize);
  config.data.bands = 3;
  config.train.threads = thread_count(0);
  at::set_num_threads(static_cast<int>(config.train.threads));
  fmt::print("cores:         {}\n", std::thread::hardware_concurrency());
  fmt::print("memory:        {:.1f} GB\n", memory_gb());
  fmt::print("instructions:  {}\n", instruction_sets());
  fmt::print("LibTorch:      {}, {}\n", TORCH_VERSION, at::get_mkldnn_version());
  for (const auto& limit : processor_limits()) {
    fmt::print("limit:         {}\n", limit);
  }
  fmt::print("threads:       {} for tensors, {} for views\n", config.train.threads,
             config.train.loader_threads);
  const Speeds speeds = measure(config);
  fmt::print("reads:         {:.0f} JPEG/s of 32 x 32, {:.0f} JPEG/s of 500 x 375 (one thread)\n",
             speeds.small_reads, speeds.large_reads);
  fmt::print("views:         {:.0f}/s of 32 x 32, recipe \"{}\" (one thread)\n", speeds.views,
             config.recipe_name);
  fmt::print("training:      {:.0f} views/s fp32, {:.0f} views/s bf16 ({}, width {}, {})\n",
             speeds.fp32, speeds.bf16, config.encoder.name, config.encoder.settings.width,
             config.method_name);
  fmt::print("precision:     train.precision = \"auto\" means {} here\n",
             uses_bf16("auto") ? "bf16" : "fp32");
  fmt::print("\n{}\n", verdict(config, speeds));
}

}  // namespace viewfold
