// Implements mixtures of images.
#include "viewfold/nn/mixing.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

void check_images(const at::Tensor& first, const at::Tensor& second, double share) {
  check(first.dim() == 4 && first.sizes() == second.sizes() &&
            first.scalar_type() == second.scalar_type(),
        "only images of equal shape and type can be mixed");
  check(share >= 0.0 && share <= 1.0, fmt::format("a share of {} is not in [0, 1]", share));
}

// Pixels [first, last) of a side.
struct Span {
  std::int64_t first = 0;
  std::int64_t last = 0;

  [[nodiscard]] std::int64_t size() const { return last - first; }
};

// `length` of `side` pixels around a random one, cut at both ends.
Span draw_span(std::int64_t side, std::int64_t length) {
  const auto centre = at::randint(side, {1}, at::kLong).item<std::int64_t>();
  return {.first = std::clamp<std::int64_t>(centre - length / 2, 0, side),
          .last = std::clamp<std::int64_t>(centre + length / 2, 0, side)};
}

}  // namespace

double draw_share(double beta) {
  check(beta > 0.0, fmt::format("beta {} must be positive", beta));
  const auto shares = at::_sample_dirichlet(at::full({1, 2}, beta, at::kDouble));
  return std::clamp(shares[0][0].item<double>(), 0.0, 1.0);
}

Mixture blend(const at::Tensor& first, const at::Tensor& second, double share) {
  check_images(first, second, share);
  return {.images = first.mul(share).add(second, 1.0 - share), .share = share};
}

Mixture paste_box(const at::Tensor& first, const at::Tensor& second, double share) {
  check_images(first, second, share);
  const double cut = std::sqrt(1.0 - share);  // of each side
  const auto height = first.size(2);
  const auto width = first.size(3);
  const Span rows = draw_span(height, static_cast<std::int64_t>(static_cast<double>(height) * cut));
  const Span columns =
      draw_span(width, static_cast<std::int64_t>(static_cast<double>(width) * cut));
  auto images = first.clone();
  const auto box = [&](const at::Tensor& of) {
    return of.narrow(2, rows.first, rows.size()).narrow(3, columns.first, columns.size());
  };
  box(images).copy_(box(second));
  const auto pasted = static_cast<double>(rows.size() * columns.size());
  return {.images = images, .share = 1.0 - pasted / static_cast<double>(height * width)};
}

at::Tensor reversed_images(const at::Tensor& images, const Communicator& processes) {
  const auto n = images.size(0) * processes.size();
  return processes.size() == 1
             ? images.flip(0)
             : processes.exchange_rows(images, at::arange(n - 1, -1, -1, at::kLong));
}

at::Tensor reversed_rows(const at::Tensor& rows, const Communicator& processes) {
  return processes.all_gather(rows).flip(0).narrow(0, processes.rank() * rows.size(0),
                                                   rows.size(0));
}

}  // namespace viewfold
