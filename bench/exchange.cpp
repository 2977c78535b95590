// What several processes cost each other: times sums over all of them, small and large, and
// training steps with and without exchange. Start it as training is started (docs/scaling.md):
//   torchrun --no-python --nproc_per_node 2 build/release/bench/bench_exchange [METHOD] [IMAGES]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/methods/method.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kSide = 32;

// Median seconds of a call; all processes begin each together.
template <class Action>
double median_seconds(const Communicator& processes, int rounds, const Action& action) {
  std::vector<double> seconds;
  for (int i = 0; i < rounds + 2; ++i) {
    processes.barrier();
    const auto start = std::chrono::steady_clock::now();
    action();
    if (i >= 2) {  // the first ones fill allocators and caches
      seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  std::ranges::sort(seconds);
  return seconds[seconds.size() / 2];
}

double sum_seconds(const Communicator& processes, std::int64_t count, int rounds) {
  const auto values = at::zeros({count});
  return median_seconds(processes, rounds, [&] { processes.all_reduce_sum(values); });
}

struct StepTime {
  double seconds = 0.0;
  std::int64_t parameters = 0;
};

StepTime step_seconds(const MethodEntry& entry,
                      std::int64_t images,
                      const Communicator& processes) {
  torch::manual_seed(1);
  const auto method = entry.make(*entry.config(ImageScale::kSmall),
                                 {.encoder = {.name = "resnet18", .width = 16, .stem = "cifar"}});
  TrainConfig config;
  entry.train_defaults(ImageScale::kSmall, config);
  TrainingStep step(
      *method, config,
      {.seed = 1, .total_steps = 100, .steps_per_epoch = 100, .communicator = processes});
  const auto views =
      at::randn({entry.views * images, 3, kSide, kSide}).contiguous(at::MemoryFormat::ChannelsLast);
  StepTime time;
  for (const auto& parameter : method->module().parameters()) {
    time.parameters += parameter.requires_grad() ? parameter.numel() : 0;
  }
  time.seconds = median_seconds(processes, 9, [&] {
    ViewBatch batch;
    batch.groups.push_back(views);
    batch.indices.resize(static_cast<std::size_t>(images));
    (void)step.run(batch, 50);
  });
  return time;
}

void measure(const std::string& name, std::int64_t images) {
  const auto processes = Communicator::join(read_process_place(process_environment));
  const double small = sum_seconds(processes, 256, 200);
  const double large = sum_seconds(processes, GradientSum::kBucket, 20);
  const auto& method = find_method(name);
  const auto with_exchange = step_seconds(method, images, processes);
  const auto without = step_seconds(method, images, {});
  processes.barrier();
  if (processes.rank() == 0) {
    fmt::print(
        "{{\"processes\": {}, \"method\": \"{}\", \"images_each\": {}, \"parameters\": {}, "
        "\"sum_1kb_us\": {:.0f}, \"sum_4mb_ms\": {:.2f}, \"step_ms\": {:.1f}, "
        "\"step_without_exchange_ms\": {:.1f}}}\n",
        processes.size(), name, images, with_exchange.parameters, 1e6 * small, 1e3 * large,
        1e3 * with_exchange.seconds, 1e3 * without.seconds);
  }
}

}  // namespace
}  // namespace viewfold

int main(int argc, char** argv) {
  mallopt(M_MMAP_MAX, 0);  // as the program does
  mallopt(M_TRIM_THRESHOLD, -1);
  viewfold::measure(argc > 1 ? argv[1] : "simclr", argc > 2 ? std::atoll(argv[2]) : 128);
  return 0;
}
