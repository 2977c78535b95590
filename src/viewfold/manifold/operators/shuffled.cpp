// The control of learned views: samples from the local manifold of somebody else.
#include <filesystem>

#include "viewfold/manifold/manifold.hpp"

namespace viewfold::operators {
namespace {

class Shuffled final : public Manifold {
 public:
  explicit Shuffled(const ManifoldContext& context)
      : others_(other_samples(static_cast<std::uint32_t>(context.manifold->size()), context.seed)) {
    const bool generates = std::filesystem::exists(generator_file(context.folder));
    inner_ = find_manifold(generates ? "ic_gan" : "neighbour").make(context);
  }

  void sample(std::span<const std::uint32_t> samples,
              const RngKey& key,
              std::span<Image> images) const override {
    std::vector<std::uint32_t> others;
    others.reserve(samples.size());
    for (const auto sample : samples) {
      others.push_back(others_[sample]);
    }
    inner_->sample(others, key, images);
  }

 private:
  std::vector<std::uint32_t> others_;  // of each sample
  std::unique_ptr<Manifold> inner_;
};

}  // namespace

ManifoldEntry shuffled_entry() {
  return {.name = "shuffled",
          .summary =
              "control: what ic_gan (neighbour, where there is no generator) gives for "
              "another image",
          .is_costly = true,
          .make = [](const ManifoldContext& context) -> std::unique_ptr<Manifold> {
            return std::make_unique<Shuffled>(context);
          }};
}

}  // namespace viewfold::operators
