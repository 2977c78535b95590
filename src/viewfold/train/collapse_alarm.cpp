// Implements the collapse alarm.
#include "viewfold/train/collapse_alarm.hpp"

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
  for (const auto& constant : constants_) {
    loss_signs_.push_back({.what = fmt::format("the loss stands at {} = {:.4f}: {}", constant.name,
                                               constant.value, constant.cause)});
  }
  std_sign_.what =
      "the outputs of all images are the same (their standard deviation is nearly 0): likely a "
      "missing "
      "stop-gradient, predictor or negative, or a learning rate that is too high";
  cone_sign_.what = fmt::format(
      "the outputs of all images lie in a narrow cone (their standard deviation stays below {} of "
      "that of a full sphere): likely a missing stop-gradient, predictor or negative",
      kConeStd);
  cone_sign_.patience = kConePatience;
  rank_sign_.what =
      "the outputs use fewer than two directions (effective rank below 1.5): likely too strong a "
      "learning rate or weight decay, or views that share nothing but one shortcut";
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
  std::optional<std::string> message;
  const auto add = [&message](const std::optional<std::string>& next) {
    if (next) {
      message = message ? *message + "; " + *next : *next;
    }
  };
  add(update(std_sign_, spread.std < kMinStd, step));
  add(update(cone_sign_, spread.std >= kMinStd && spread.std < kConeStd, step));
  add(update(rank_sign_, spread.effective_rank < kMinRank, step));
  for (std::size_t i = 0; i < constants_.size(); ++i) {
    const double value = constants_[i].value;
    const bool near = std::abs(loss - value) < kLossBand * std::max(1.0, std::abs(value));
    add(update(loss_signs_[i], near, step));
  }
  return message;
}

}  // namespace viewfold
