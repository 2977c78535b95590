// Implements the profile with the callbacks that LibTorch runs around every operation.
#include "viewfold/train/step_profile.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

struct Row {
  StepPart part = StepPart::kOther;
  bool keeps_all = false;
};

// Operations without "aten::" and nodes of the graph as LibTorch 1.13 and 2.x call them; scopes of
// ours whole.
const std::unordered_map<std::string_view, Row>& rows() {
  constexpr Row kConvolution{StepPart::kConvolution};
  constexpr Row kBatchNorm{StepPart::kBatchNorm};
  constexpr Row kReluAdd{StepPart::kReluAdd};
  constexpr Row kCopy{StepPart::kCopy};
  constexpr Row kLinear{StepPart::kLinear};
  static const std::unordered_map<std::string_view, Row> kRows{
      {"conv2d", kConvolution},
      {"convolution", kConvolution},
      {"mkldnn_convolution", kConvolution},
      {"thnn_conv2d", kConvolution},
      {"convolution_backward", kConvolution},
      {"ConvolutionBackward0", kConvolution},
      {"batch_norm", kBatchNorm},
      {"native_batch_norm", kBatchNorm},
      {"native_batch_norm_backward", kBatchNorm},
      {"NativeBatchNormBackward0", kBatchNorm},
      {"relu", kReluAdd},
      {"relu_", kReluAdd},
      {"threshold_backward", kReluAdd},
      {"ReluBackward0", kReluAdd},
      {"add", kReluAdd},
      {"add_", kReluAdd},
      {"AddBackward0", kReluAdd},
      {"to", kCopy},
      {"copy_", kCopy},
      {"clone", kCopy},
      {"contiguous", kCopy},
      {"cat", kCopy},
      {"index_select", kCopy},
      {"ToCopyBackward0", kCopy},
      {"linear", kLinear},
      {"addmm", kLinear},
      {"mm", kLinear},
      {"AddmmBackward0", kLinear},
      {"MmBackward0", kLinear},
      {"viewfold::update", {StepPart::kUpdate, true}},
      {"viewfold::momentum", {StepPart::kUpdate, true}},
      {"viewfold::loss", {StepPart::kLoss, true}},
      {"viewfold::fused_forward", {StepPart::kFused, true}},
      {"viewfold::fused_backward", {StepPart::kFused, true}},
  };
  return kRows;
}

Row row_of(std::string_view name, const Row& caller) {
  constexpr std::string_view kPrefix = "aten::";
  if (name.starts_with(kPrefix)) {
    name.remove_prefix(kPrefix.size());
  }
  const auto found = rows().find(name);
  return found == rows().end() ? caller : found->second;
}

}  // namespace

std::string_view name_of(StepPart part) {
  constexpr std::array<std::string_view, kStepParts> kNames{"convolution", "batch_norm", "relu_add",
                                                            "copy",        "linear",     "update",
                                                            "loss",        "fused",      "other"};
  return kNames.at(static_cast<std::size_t>(part));
}

// LibTorch takes plain functions, which find the profile of their thread here.
struct StepProfile::Callbacks {
  static thread_local StepProfile* profile;

  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    if (profile != nullptr) {
      profile->begin(function);
    }
    return nullptr;
  }
  static void end(const at::RecordFunction& /*function*/, at::ObserverContext* /*context*/) {
    if (profile != nullptr) {
      profile->end();
    }
  }
};

thread_local StepProfile* StepProfile::Callbacks::profile = nullptr;

StepProfile::StepProfile() {
  check(Callbacks::profile == nullptr, "a thread has one profile at a time");
  Callbacks::profile = this;
  handle_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(Callbacks::begin, Callbacks::end)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION,
                   at::RecordScope::USER_SCOPE}));
}

StepProfile::~StepProfile() {
  at::removeCallback(handle_);
  Callbacks::profile = nullptr;
}

void StepProfile::begin(const at::RecordFunction& function) {
  Row row;
  if (!running_.empty()) {
    row = {running_.back().part, running_.back().keeps_all};
  }
  if (!row.keeps_all) {
    row = row_of(function.name(), row);
  }
  // A node of the graph has the number that was next when its operation ran.
  const auto node = static_cast<std::uint64_t>(function.seqNr());
  if (function.scope() == at::RecordScope::BACKWARD_FUNCTION &&
      std::any_of(loss_nodes_.begin(), loss_nodes_.end(), [node](const auto& range) {
        return node >= range.first && node < range.second;
      })) {
    row = {StepPart::kLoss, true};
  }
  running_.push_back({.part = row.part,
                      .keeps_all = row.keeps_all,
                      .first_node = at::sequence_number::peek(),
                      .start = Clock::now(),
                      .called = 0.0});
}

void StepProfile::end() {
  if (running_.empty()) {
    return;  // it began before the profile
  }
  const Running done = running_.back();
  running_.pop_back();
  const double passed = std::chrono::duration<double>(Clock::now() - done.start).count();
  seconds_.at(static_cast<std::size_t>(done.part)) += passed - done.called;
  if (!running_.empty()) {
    running_.back().called += passed;
  }
  const auto last_node = at::sequence_number::peek();
  if (done.part == StepPart::kLoss && last_node > done.first_node) {
    loss_nodes_.emplace_back(done.first_node, last_node);
  }
}

}  // namespace viewfold
