// The empirical manifold: a real image, drawn from the neighbourhood.
#include "viewfold/core/error.hpp"
#include "viewfold/manifold/manifold.hpp"

namespace viewfold::operators {
namespace {

class Neighbour final : public Manifold {
 public:
  explicit Neighbour(const ManifoldContext& context) : context_(context) {}

  void sample(std::span<const std::uint32_t> samples,
              const RngKey& key,
              std::span<Image> images) const override {
    const auto& index = context_.manifold->neighbourhoods.index;
    const auto neighbours = index.accessor<std::int64_t, 2>();
    const auto k = static_cast<std::uint32_t>(index.size(1));
    Image buffer;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      RngKey own = key;
      own.sample = samples[i];
      const auto chosen = neighbours[samples[i]][Rng(own).below(k)];
      try {
        images[i] = read_with_bands(*context_.images, static_cast<std::size_t>(chosen),
                                    static_cast<int>(context_.bands), buffer);
      } catch (const DataError&) {
        images[i] = Image();  // the loader counts it as unreadable when its own turn comes
      }
    }
  }

 private:
  ManifoldContext context_;
};

}  // namespace

ManifoldEntry neighbour_entry() {
  return {.name = "neighbour",
          .summary = "a random one of the k nearest real images",
          .is_costly = false,
          .make = [](const ManifoldContext& context) -> std::unique_ptr<Manifold> {
            return std::make_unique<Neighbour>(context);
          }};
}

}  // namespace viewfold::operators
