// Times one training step on small images, and its parts, on OMP_NUM_THREADS threads. On a busy
// machine compare CPU times of one thread: waiting threads of OpenMP count as busy ones.
#include <malloc.h>

#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "viewfold/methods/method.hpp"
#include "viewfold/train/training_step.hpp"

namespace viewfold {
namespace {

constexpr std::int64_t kImages = 256;
constexpr std::int64_t kSide = 32;

ViewBatch random_batch() {
  ViewBatch batch;
  batch.groups.push_back(
      at::randn({2 * kImages, 3, kSide, kSide}).contiguous(at::MemoryFormat::ChannelsLast));
  batch.indices.resize(kImages);
  return batch;
}

// What the trainer holds for one run.
struct Step {
  explicit Step(std::string_view name) {
    torch::manual_seed(1);
    const auto& entry = find_method(name);
    method = entry.make(*entry.config(ImageScale::kSmall),
                        {.encoder = {.name = "resnet18", .width = 16, .stem = "cifar"}});
    for (auto& parameter : method->module().parameters()) {
      if (parameter.dim() == 4) {
        parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
    entry.train_defaults(ImageScale::kSmall, config);
    optimizer = std::make_unique<Optimizer>(*method, config);
    batch = random_batch();
  }

  at::Tensor forward(bool bf16) {
    const AutocastGuard autocast(bf16);
    return method->training_step(batch, {.step = 0, .total_steps = 100}).loss;
  }

  std::unique_ptr<Method> method;
  TrainConfig config;
  std::unique_ptr<Optimizer> optimizer;
  ViewBatch batch;
};

void whole_step(benchmark::State& state, const char* method) {
  Step step(method);
  step.config.precision = state.range(0) != 0 ? "bf16" : "fp32";
  step.config.base_lr = 1e-3;
  TrainingStep training(*step.method, step.config, {.total_steps = 100, .steps_per_epoch = 1});
  const auto take = [&step, &training] { (void)training.run(step.batch, 0); };
  take();  // the first step plans convolutions and gets memory
  for (auto _ : state) {
    take();
  }
}

void forward_only(benchmark::State& state, const char* method) {
  Step step(method);
  benchmark::DoNotOptimize(step.forward(state.range(0) != 0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(step.forward(state.range(0) != 0));
  }
}

void optimizer_only(benchmark::State& state) {
  Step step("simclr");
  step.forward(false).backward();
  for (auto _ : state) {
    step.optimizer->step(1e-9, 1e-9);
  }
}

void in_both_precisions(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("bf16")
      ->Arg(0)
      ->Arg(1)
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime();
}

BENCHMARK_CAPTURE(whole_step, simclr, "simclr")->Apply(in_both_precisions);
BENCHMARK_CAPTURE(forward_only, simclr, "simclr")->Apply(in_both_precisions);
BENCHMARK_CAPTURE(whole_step, moco_v2, "moco_v2")->Apply(in_both_precisions);
BENCHMARK_CAPTURE(whole_step, simsiam, "simsiam")->Apply(in_both_precisions);
BENCHMARK(optimizer_only)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

}  // namespace
}  // namespace viewfold

int main(int argc, char** argv) {
  // As the program does (app/main.cpp); its GOMP_SPINCOUNT=20000 must come from the environment.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
