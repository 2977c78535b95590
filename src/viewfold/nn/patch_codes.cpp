// Implements the comparison of patches with a dictionary: products by oneDNN, a block of the
// dictionary at a time so that they stay in the cache, then one pass over them for every
// instruction set.
#include "viewfold/nn/patch_codes.hpp"

#include <algorithm>
#include <dnnl.hpp>

#include <ATen/ATen.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/aligned.hpp"
#include "viewfold/nn/fused/convolution.hpp"
#include "viewfold/nn/fused/onednn.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/nn/patch_codes.cpp"
// In this order, because the second is included once for every instruction set:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace viewfold::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Appends first + i to `found` for each i < count, a multiple of 16, with values[i] > threshold.
void find_above(const float* values,
                std::size_t count,
                float threshold,
                std::int32_t first,
                std::vector<std::int32_t>& found) {
  const hn::CappedTag<float, 16> d;
  const auto limit = hn::Set(d, threshold);
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < count; i += lanes) {
    const auto above = hn::Gt(hn::LoadU(d, values + i), limit);
    if (!hn::AllFalse(d, above)) {
      for (std::size_t j = i; j < i + lanes; ++j) {
        if (values[j] > threshold) {
          found.push_back(first + static_cast<std::int32_t>(j));
        }
      }
    }
  }
}

void sum_rows(std::span<const std::int32_t> elements, const float* rows, std::span<float> sum) {
  const hn::CappedTag<float, 16> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = sum.size();
  std::size_t k = 0;
  for (; k + 4 * lanes <= width; k += 4 * lanes) {
    auto s0 = hn::Zero(d);
    auto s1 = s0;
    auto s2 = s0;
    auto s3 = s0;
    for (const auto element : elements) {
      const float* row = rows + static_cast<std::size_t>(element) * width + k;
      s0 = hn::Add(s0, hn::LoadU(d, row));
      s1 = hn::Add(s1, hn::LoadU(d, row + lanes));
      s2 = hn::Add(s2, hn::LoadU(d, row + 2 * lanes));
      s3 = hn::Add(s3, hn::LoadU(d, row + 3 * lanes));
    }
    hn::StoreU(s0, d, sum.data() + k);
    hn::StoreU(s1, d, sum.data() + k + lanes);
    hn::StoreU(s2, d, sum.data() + k + 2 * lanes);
    hn::StoreU(s3, d, sum.data() + k + 3 * lanes);
  }
  for (; k < width; ++k) {
    float s = 0.0F;
    for (const auto element : elements) {
      s += rows[static_cast<std::size_t>(element) * width + k];
    }
    sum[k] = s;
  }
}

}  // namespace
}  // namespace viewfold::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace viewfold {
namespace {

HWY_EXPORT(find_above);
HWY_EXPORT(sum_rows);

using dnnl::memory;
using fused::engine;
using fused::stream;

// Elements of the dictionary compared at a time: with the 729 patches of an image of 32 pixels,
// their products take 0.75 MB, about a core's own cache.
constexpr std::int64_t kBlock = 256;

memory::data_type type_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? memory::data_type::bf16 : memory::data_type::f32;
}

}  // namespace

std::span<const std::int32_t> PatchCodes::of(std::size_t patch) const {
  const auto first = static_cast<std::size_t>(begin[patch]);
  return std::span(elements).subspan(first, static_cast<std::size_t>(begin[patch + 1]) - first);
}

PatchDictionary::PatchDictionary(const at::Tensor& elements, at::ScalarType type) {
  check(elements.dim() == 2 && elements.scalar_type() == at::kFloat &&
            (type == at::kFloat || type == at::kBFloat16),
        "a dictionary is [D, d] float32, compared as float32 or bfloat16");
  for (std::int64_t first = 0; first < elements.size(0); first += kBlock) {
    const auto count = std::min(kBlock, elements.size(0) - first);
    auto block = at::zeros({elements.size(1), kBlock}, type);
    block.narrow(1, 0, count).copy_(elements.narrow(0, first, count).t());
    blocks_.push_back(std::move(block));
  }
}

PatchCodes PatchDictionary::codes(const at::Tensor& patches, float threshold) const {
  check(patches.dim() == 2 && patches.is_contiguous() &&
            patches.size(1) == blocks_.front().size(0) &&
            patches.scalar_type() == blocks_.front().scalar_type() && threshold >= 0.0F,
        "patches do not fit the dictionary");
  const std::int64_t count = patches.size(0);
  const memory::desc left({count, patches.size(1)}, type_of(patches), memory::format_tag::ab);
  const memory::desc right({patches.size(1), kBlock}, type_of(patches), memory::format_tag::ab);
  const memory::desc product({count, kBlock}, memory::data_type::f32, memory::format_tag::ab);
  const fused::OneThreadGuard one_thread;  // a primitive runs on as many as it was planned for
  const dnnl::matmul multiply(
      dnnl::matmul::primitive_desc(dnnl::matmul::desc(left, right, product), engine()));

  thread_local AlignedVector<float> products;
  products.resize(static_cast<std::size_t>(count * kBlock));
  memory source(left, engine(), patches.data_ptr());
  memory target(product, engine(), products.data());
  // The codes of each patch in each block; put in the order of the patches at the end.
  std::vector<std::int32_t> found;
  std::vector<std::size_t> ends;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    memory weights(right, engine(), blocks_[b].data_ptr());
    multiply.execute(stream(),
                     {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, target}});
    stream().wait();
    for (std::int64_t l = 0; l < count; ++l) {
      HWY_DYNAMIC_DISPATCH(find_above)
      (products.data() + l * kBlock, kBlock, threshold,
       static_cast<std::int32_t>(static_cast<std::int64_t>(b) * kBlock), found);
      ends.push_back(found.size());
    }
  }
  PatchCodes codes;
  codes.begin.push_back(0);
  codes.elements.reserve(found.size());
  const auto patch_count = static_cast<std::size_t>(count);
  for (std::size_t l = 0; l < patch_count; ++l) {
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      const std::size_t at = b * patch_count + l;
      const std::size_t first = at == 0 ? 0 : ends[at - 1];
      codes.elements.insert(codes.elements.end(),
                            found.begin() + static_cast<std::ptrdiff_t>(first),
                            found.begin() + static_cast<std::ptrdiff_t>(ends[at]));
    }
    codes.begin.push_back(static_cast<std::int32_t>(codes.elements.size()));
  }
  return codes;
}

void sum_embeddings(std::span<const std::int32_t> elements,
                    const float* embedding,
                    std::span<float> sum) {
  HWY_DYNAMIC_DISPATCH(sum_rows)(elements, embedding, sum);
}

}  // namespace viewfold

#endif  // HWY_ONCE
