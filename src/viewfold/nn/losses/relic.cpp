// Implements the loss of ReLIC from the logits of all pairs, of which each row keeps its
// candidates.
#include "viewfold/nn/losses/relic.hpp"

#include <tuple>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/losses/common.hpp"

namespace viewfold {
namespace {

void check_rows(const RelicRows& rows, const at::Tensor& negatives) {
  check_pairs(rows.online, rows.target);
  check_pairs(rows.all_online, rows.all_targets);
  check(
      rows.all_online.size(1) == rows.online.size(1),
      fmt::format("a batch of rows [{}] does not fit pairs [{}]",
                  fmt::join(rows.all_online.sizes(), ", "), fmt::join(rows.online.sizes(), ", ")));
  check(negatives.dim() == 2 && negatives.size(0) == rows.online.size(0) &&
            negatives.scalar_type() == at::kLong,
        fmt::format("{} pairs need int64 negatives [N, n_e], not [{}]", rows.online.size(0),
                    fmt::join(negatives.sizes(), ", ")));
}

}  // namespace

at::Tensor draw_negatives(std::int64_t batch, std::int64_t count) {
  check(batch >= 1 && count >= 1,
        fmt::format("{} negatives cannot be drawn for a batch of {}", count, batch));
  const auto others = batch - 1;
  // The largest of random numbers stand at random places, none of them twice.
  const auto drawn =
      count >= others
          ? at::arange(others, at::kLong).expand({batch, others})
          : std::get<1>(at::rand({batch, others}, at::kFloat).topk(count, 1, true, false));
  const auto self = at::arange(batch, at::kLong).unsqueeze(1);  // [B, 1]
  return drawn + drawn.ge(self);                                // steps over the image itself
}

RelicTerms relic(const RelicRows& rows,
                 const at::Tensor& negatives,
                 double temperature,
                 RelicStop stop) {
  check_rows(rows, negatives);
  check(temperature > 0, fmt::format("temperature {} must be positive", temperature));
  RECORD_USER_SCOPE(kLossScope);
  const FullPrecision full_precision;
  const auto o = unit_rows(rows.online);                                       // [N, D]
  const auto t = unit_rows(rows.target.detach());                              // [N, D]
  const auto positive = (o * t).sum(1, true).mul(1.0 / temperature);           // [N, 1]
  const auto log_shares = [&](const at::Tensor& own, const at::Tensor& all) {  // [N, 1 + n_e]
    const auto logits = own.mul(1.0 / temperature).mm(all.t());                // [N, B]
    return at::log_softmax(at::cat({positive, logits.gather(1, negatives)}, 1), 1);
  };
  const auto log_p = log_shares(o, unit_rows(rows.all_targets.detach()));
  const auto log_q = log_shares(t, unit_rows(rows.all_online));
  const auto p = log_p.exp();
  const auto minus_entropy = (p * log_p).sum(1).detach();  // [N]
  const auto weights = stop == RelicStop::kDistribution ? p.detach() : p;
  return {.nll = log_p.select(1, 0).mean().neg(),
          .kl = (minus_entropy - (weights * log_q).sum(1)).mean()};
}

}  // namespace viewfold
