// Implements the extraction of frozen features.
#include "viewfold/eval/features.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/thread_pool.hpp"
#include "viewfold/eval/detail/evaluation_mode.hpp"
#include "viewfold/image/resample.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

void check_preprocess(const Preprocess& preprocess) {
  constexpr std::int64_t kMost = 1 << 16;
  check(preprocess.input_size >= 1 && preprocess.input_size <= kMost && preprocess.bands >= 1 &&
            preprocess.bands <= kMost,
        fmt::format("{} bands of {} pixels a side are no input", preprocess.bands,
                    preprocess.input_size));
}

std::size_t values_per_image(const Preprocess& preprocess) {
  return static_cast<std::size_t>(preprocess.input_size * preprocess.input_size * preprocess.bands);
}

// One image in HWC order.
void write_input(const Dataset& dataset,
                 std::size_t index,
                 const Preprocess& preprocess,
                 std::span<float> out) {
  Image buffer;
  const Image& image = read_with_bands(dataset, index, static_cast<int>(preprocess.bands), buffer);
  const auto size = static_cast<int>(preprocess.input_size);
  if (image.height() == size && image.width() == size) {
    write_normalized(image, preprocess.normalization, out);
  } else {
    write_normalized(resize_center_crop(image, size), preprocess.normalization, out);
  }
}

std::vector<NamedTensor> copy_state(const torch::nn::Module& module) {
  auto state = module_state(module);
  for (auto& item : state) {
    item.tensor = item.tensor.cpu().clone(at::MemoryFormat::Contiguous);
  }
  return state;
}

// By bits: a NaN equals itself, and zeros of different sign differ.
bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         (a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0);
}

void check_unmoved(const std::vector<NamedTensor>& before, const torch::nn::Module& module) {
  const auto after = copy_state(module);
  check(before.size() == after.size(), "evaluation changed what the encoder consists of");
  for (std::size_t i = 0; i < before.size(); ++i) {
    check(before[i].name == after[i].name && same_bits(before[i].tensor, after[i].tensor),
          fmt::format("evaluation changed '{}' of the encoder", before[i].name));
  }
}

// [count, C, S, S]
at::Tensor read_batch(const Dataset& dataset,
                      std::size_t first,
                      std::size_t count,
                      const Preprocess& preprocess,
                      int threads) {
  auto batch = empty_channels_last(static_cast<std::int64_t>(count), preprocess.bands,
                                   preprocess.input_size, preprocess.input_size);
  const std::size_t values = values_per_image(preprocess);
  auto* const data = batch.data_ptr<float>();
  parallel_for(count, threads, [&](std::size_t i) {
    write_input(dataset, first + i, preprocess, {data + i * values, values});
  });
  return batch;
}

}  // namespace

at::Tensor labels_of(const Dataset& dataset) {
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const auto label = dataset.label(i);
    if (!label) {
      return {};
    }
    labels.push_back(*label);
  }
  return labels.empty() ? at::Tensor() : at::tensor(labels, at::kLong);
}

FeatureSet extract_features(Encoder& encoder,
                            const Dataset& dataset,
                            const Preprocess& preprocess,
                            std::int64_t batch_size,
                            int threads) {
  check_preprocess(preprocess);
  check(batch_size >= 1, fmt::format("a batch of {} images cannot be", batch_size));
  const at::NoGradGuard no_grad;
  const auto before = copy_state(encoder);
  const EvaluationMode mode(encoder);
  const auto device =
      before.empty() ? at::Device(at::kCPU) : module_state(encoder)[0].tensor.device();
  const std::size_t size = dataset.size();
  auto features = at::empty({static_cast<std::int64_t>(size), encoder.feature_dim()}, at::kFloat);
  for (std::size_t first = 0; first < size; first += static_cast<std::size_t>(batch_size)) {
    const std::size_t count = std::min(static_cast<std::size_t>(batch_size), size - first);
    const auto batch = read_batch(dataset, first, count, preprocess, threads);
    auto rows = features.narrow(0, static_cast<std::int64_t>(first),
                                static_cast<std::int64_t>(count));  // [count, D]
    const auto out = encoder.forward(batch.to(device));
    check(out.sizes() == rows.sizes(), fmt::format("the encoder gave {} where {} were to be",
                                                   shape_text(out), shape_text(rows)));
    rows.copy_(out);
  }
  check_unmoved(before, encoder);
  return {.features = features, .labels = labels_of(dataset)};
}

FeatureSet pixel_features(const Dataset& dataset, const Preprocess& preprocess, int threads) {
  check_preprocess(preprocess);
  const std::size_t values = values_per_image(preprocess);
  auto features = at::empty(
      {static_cast<std::int64_t>(dataset.size()), static_cast<std::int64_t>(values)}, at::kFloat);
  auto* const data = features.data_ptr<float>();
  parallel_for(dataset.size(), threads, [&](std::size_t i) {
    write_input(dataset, i, preprocess, {data + i * values, values});
  });
  return {.features = features, .labels = labels_of(dataset)};
}

}  // namespace viewfold
