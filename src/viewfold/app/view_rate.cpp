// Implements the timing of views: every thread makes samples by itself, as the loader's do.
#include "viewfold/app/view_rate.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <latch>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using Clock = std::chrono::steady_clock;

// Samples in a batch: as many as the loader's at small sizes, bounded in memory at large ones.
std::size_t batch_samples(std::size_t values_per_sample) {
  constexpr std::size_t kMost = 256;
  constexpr std::size_t kMemory = std::size_t{64} << 20U;
  return std::clamp<std::size_t>(kMemory / (values_per_sample * sizeof(float)), 1, kMost);
}

std::size_t values_of_view(const ViewGroup& group, std::int64_t bands) {
  return static_cast<std::size_t>(bands * group.size * group.size);
}

std::size_t values_of_sample(const ViewWork& work) {
  std::size_t values = 0;
  for (const auto& group : work.plan.groups) {
    values += static_cast<std::size_t>(group.views) * values_of_view(group, work.bands);
  }
  return values;
}

// What one thread owns, and keeps from round to round.
class Maker {
 public:
  Maker(const ViewWork& work, std::uint32_t first, std::uint32_t stride)
      : work_(work),
        next_(first),
        stride_(stride),
        records_(work.plan.ops_per_view()) {
    if (work.normalizer) {
      const std::size_t values = values_of_sample(work);
      batch_.resize(batch_samples(values) * values);
    }
  }

  /// Views a second while making views for at least `seconds`.
  double run(double seconds) {
    const auto start = Clock::now();
    double passed = 0.0;
    std::int64_t views = 0;
    while (passed < seconds) {
      // Looking at the clock takes as long as the fastest operations on small pictures.
      constexpr int kSamplesPerLook = 8;
      for (int i = 0; i < kSamplesPerLook; ++i) {
        make_sample();
      }
      views += kSamplesPerLook * work_.plan.views_per_sample();
      passed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    return static_cast<double>(views) / passed;
  }

 private:
  void make_sample() {
    const auto count = static_cast<std::uint32_t>(work_.indices.size());
    const std::uint32_t position = next_ % count;
    if (work_.images.empty()) {
      decoded_ = convert_bands(work_.dataset->image(work_.indices[position]),
                               static_cast<int>(work_.bands));
    }
    const Image& source = work_.images.empty() ? decoded_ : work_.images[position];
    RngKey key{
        .seed = 1, .stream = "view", .epoch = next_ / count, .sample = work_.indices[position]};
    for (const auto& group : work_.plan.groups) {
      for (std::int64_t i = 0; i < group.views; ++i, ++key.view) {
        make_view(work_.plan, source, key, canvas_, records_);
        write_view(values_of_view(group, work_.bands));
      }
    }
    next_ += stride_;
  }

  void write_view(std::size_t values) {
    if (!work_.normalizer) {
      return;
    }
    work_.normalizer->write(canvas_.image(), {batch_.data() + written_, values});
    written_ = (written_ + values) % batch_.size();
  }

  const ViewWork& work_;
  std::uint32_t next_;  // number of the sample
  std::uint32_t stride_;
  Image decoded_;
  Canvas canvas_;
  std::vector<OpRecord> records_;
  AlignedVector<float> batch_;
  std::size_t written_ = 0;  // values of it, until it is full and begun again
};

// All makers at once, each on a thread of its own; the sum of their rates.
double run_round(std::vector<Maker>& makers, double seconds) {
  std::latch start(static_cast<std::ptrdiff_t>(makers.size()));
  std::vector<std::future<double>> rates;
  rates.reserve(makers.size());
  for (auto& maker : makers) {
    rates.push_back(std::async(std::launch::async, [&start, &maker, seconds] {
      start.arrive_and_wait();
      return maker.run(seconds);
    }));
  }
  double sum = 0.0;
  for (auto& rate : rates) {
    sum += rate.get();
  }
  return sum;
}

}  // namespace

std::vector<double> time_views(const ViewWork& work, const ViewTiming& timing) {
  check(!work.indices.empty() && timing.threads >= 1, "timing needs an image and a thread");
  std::vector<Maker> makers;
  makers.reserve(static_cast<std::size_t>(timing.threads));
  for (std::int64_t t = 0; t < timing.threads; ++t) {
    makers.emplace_back(work, static_cast<std::uint32_t>(t),
                        static_cast<std::uint32_t>(timing.threads));
  }
  (void)run_round(makers, timing.seconds / 5.0);
  std::vector<double> rates;
  rates.reserve(static_cast<std::size_t>(timing.rounds));
  for (std::int64_t round = 0; round < timing.rounds; ++round) {
    rates.push_back(run_round(makers, timing.seconds));
  }
  return rates;
}

}  // namespace viewfold
