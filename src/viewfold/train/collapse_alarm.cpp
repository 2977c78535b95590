// Implements the collapse alarm.
#include "viewfold/train/collapse_alarm.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "viewfold/core/error.hpp"

namespace viewfold {

SpreadStatistics spread_statistics(const at::Tensor& embedding) {
  check(embedding.dim() == 2 && embedding.size(0) >= 2, "spread needs an embedding [N >= 2, D]");
  const at::NoGradGuard no_grad;
  const auto z = embedding.detach().to(at::kDouble);               // [N, D]
  const auto unit = z.div(z.norm(2, {1}, true).clamp_min(1e-12));  // [N, D]
  const auto centred = unit.sub(unit.mean(0, true));               // [N, D]
  const double width = static_cast<double>(z.size(1));
  SpreadStatistics out;
  out.std = centred.pow(2).mean(0).sqrt().mean().item<double>() * std::sqrt(width);
  // The smaller Gram matrix has the squares of all non-zero singular values.
  const auto gram = z.size(0) < z.size(1) ? centred.mm(centred.t()) : centred.t().mm(centred);
  const auto singular = at::linalg_eigvalsh(gram).clamp_min(0.0).sqrt();
  const double total = singular.sum().item<double>();
  if (total > 1e-9) {
    const auto p = singular.div(total).clamp_min(1e-12);
    out.effective_rank = std::exp(-p.mul(p.log()).sum().item<double>());
  }
  return out;
}

CollapseAlarm::CollapseAlarm(std::vector<KnownConstant> constants)
    : constants_(std::move(constants)) {
  signs_.push_back(
      {.what = "the outputs of all images are the same (their standard deviation is nearly 0): "
               "likely a missing stop-gradient, predictor or negative, or a learning rate that is "
               "too high"});
  signs_.push_back(
      {.what = fmt::format("the outputs of all images lie in a narrow cone (their standard "
                           "deviation stays below {} of that of a full sphere): likely a missing "
                           "stop-gradient, predictor or negative",
                           kConeStd),
       .patience = kConePatience});
  signs_.push_back(
      {.what = "the outputs use fewer than two directions (effective rank below 1.5): likely too "
               "strong a learning rate or weight decay, or views that share nothing but one "
               "shortcut"});
  for (const auto& constant : constants_) {
    signs_.push_back({.what = fmt::format("the loss stands at {} = {:.4f}: {}", constant.name,
                                          constant.value, constant.cause)});
  }
}

std::optional<std::string> CollapseAlarm::update(Sign& sign, bool present, std::int64_t step) {
  if (!present) {
    sign.standing = 0;
    return std::nullopt;
  }
  if (sign.standing++ == 0) {
    sign.since = step;
  }
  if (sign.standing < sign.patience || sign.raised) {
    return std::nullopt;
  }
  sign.raised = true;
  return fmt::format("collapse since step {}: {}", sign.since, sign.what);
}

std::optional<std::string> CollapseAlarm::observe(std::int64_t step,
                                                  double loss,
                                                  const SpreadStatistics& spread) {
  std::vector<bool> present{spread.std < kMinStd, spread.std >= kMinStd && spread.std < kConeStd,
                            spread.effective_rank < kMinRank};
  for (const auto& constant : constants_) {
    present.push_back(std::abs(loss - constant.value) <
                      kLossBand * std::max(1.0, std::abs(constant.value)));
  }
  std::optional<std::string> message;
  for (std::size_t i = 0; i < signs_.size(); ++i) {
    if (const auto next = update(signs_[i], present[i], step)) {
      message = message ? *message + "; " + *next : *next;
    }
  }
  return message;
}

at::Tensor CollapseAlarm::state() const {
  auto state = at::zeros({static_cast<std::int64_t>(signs_.size()), 3}, at::kLong);
  auto values = state.accessor<std::int64_t, 2>();
  for (std::size_t i = 0; i < signs_.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    values[row][0] = signs_[i].since;
    values[row][1] = signs_[i].standing;
    values[row][2] = signs_[i].raised ? 1 : 0;
  }
  return state;
}

void CollapseAlarm::load_state(const at::Tensor& state) {
  const auto count = static_cast<std::int64_t>(signs_.size());
  if (state.scalar_type() != at::kLong || state.dim() != 2 || state.size(0) != count ||
      state.size(1) != 3) {
    throw DataError(fmt::format("the state of the collapse alarm is not [{}, 3] int64", count));
  }
  const auto values = state.accessor<std::int64_t, 2>();
  for (std::int64_t i = 0; i < count; ++i) {
    auto& sign = signs_[static_cast<std::size_t>(i)];
    sign.since = values[i][0];
    sign.standing = values[i][1];
    sign.raised = values[i][2] != 0;
  }
}

bool CollapseAlarm::raised() const {
  return std::any_of(signs_.begin(), signs_.end(), [](const Sign& sign) { return sign.raised; });
}

}  // namespace viewfold
