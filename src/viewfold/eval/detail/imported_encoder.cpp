// Implements the search for a ResNet in a checkpoint. Names of layers as the authors' code has
// them: torchvision, MoCo (facebookresearch/moco, main_lincls.py), SimSiam, SwAV, DINO, Barlow
// Twins, VICReg, solo-learn, lightly, mmselfsup.
#include "viewfold/eval/imported_encoder.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "viewfold/core/error.hpp"
#include "viewfold/nn/pytorch_archive.hpp"
#include "viewfold/nn/safetensors.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::int64_t>;

constexpr std::size_t kMostKeys = 10;        // in a message
constexpr std::size_t kMostNetworks = 64;    // in a file
constexpr std::int64_t kMaxWidth = 1024;     // of EncoderConfig
constexpr std::int64_t kMaxChannels = 4096;  // of encoder_file.cpp
constexpr std::string_view kCounter = "num_batches_tracked";

// Text of a file as it may be shown on a terminal.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 100;
  std::string safe(text.substr(0, kMost));
  std::replace_if(
      safe.begin(), safe.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > kMost ? safe + "..." : safe;
}

std::string listed(const std::vector<std::string>& items) {
  std::vector<std::string> quoted;
  for (std::size_t i = 0; i < std::min(items.size(), kMostKeys); ++i) {
    quoted.push_back(fmt::format("'{}'", shown(items[i])));
  }
  const std::string more =
      items.size() > kMostKeys ? fmt::format(" and {} more", items.size() - kMostKeys) : "";
  return fmt::format("{}{}", fmt::join(quoted, ", "), more);
}

std::vector<std::string> words_of(std::string_view prefix) {
  std::vector<std::string> words;
  while (!prefix.empty()) {
    const std::size_t dot = std::min(prefix.find('.'), prefix.size());
    words.emplace_back(prefix.substr(0, dot));
    prefix.remove_prefix(std::min(dot + 1, prefix.size()));
  }
  return words;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 4 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// ---- The tensors of a file ----

at::ScalarType scalar_type(PytorchType type) {
  switch (type) {
    case PytorchType::kFloat64:
      return at::kDouble;
    case PytorchType::kFloat32:
      return at::kFloat;
    case PytorchType::kFloat16:
      return at::kHalf;
    case PytorchType::kBfloat16:
      return at::kBFloat16;
    case PytorchType::kInt64:
      return at::kLong;
    case PytorchType::kInt32:
      return at::kInt;
    case PytorchType::kInt16:
      return at::kShort;
    case PytorchType::kInt8:
      return at::kChar;
    case PytorchType::kUint8:
      return at::kByte;
    default:
      return at::kBool;
  }
}

class WeightFile {
 public:
  explicit WeightFile(const fs::path& path) {
    if (path.extension() == ".safetensors") {
      safetensors_ = read_safetensors(path);
      for (const auto& item : safetensors_->tensors) {
        add(item.name, item.tensor.sizes().vec());
      }
    } else {
      archive_ = PytorchArchive::open(path);
      for (const auto& tensor : archive_->tensors()) {
        add(tensor.name, tensor.shape);
      }
    }
    origin_ = path.string();
  }

  [[nodiscard]] const std::string& origin() const { return origin_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] bool has(const std::string& name) const { return places_.contains(name); }
  [[nodiscard]] bool is_torchscript() const {
    return archive_ && archive_->format() == PytorchFormat::kTorchScript;
  }

  /// nullptr when there is none. Throws DataError when there are two.
  [[nodiscard]] const Shape* shape(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) {
      return nullptr;
    }
    if (twice_.contains(name)) {
      throw DataError(fmt::format("{}: two tensors are called '{}' (save one of them alone)",
                                  origin_, shown(name)));
    }
    return &shapes_[found->second];
  }

  [[nodiscard]] at::Tensor load(const std::string& name) const {
    const std::size_t place = places_.at(name);
    if (safetensors_) {
      return safetensors_->tensors[place].tensor;
    }
    const auto bytes = archive_->read(place);
    auto tensor = at::empty(
        shapes_[place], at::TensorOptions().dtype(scalar_type(archive_->tensors()[place].type)));
    if (!bytes.empty()) {
      std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
    }
    return tensor;
  }

  /// Whether a name begins so.
  [[nodiscard]] bool has_below(const std::string& prefix) const {
    return std::any_of(names_.begin(), names_.end(),
                       [&prefix](const std::string& name) { return name.starts_with(prefix); });
  }

  [[nodiscard]] bool mentions(std::string_view text) const {
    return std::any_of(names_.begin(), names_.end(), [text](const std::string& name) {
      return name.find(text) != std::string::npos;
    });
  }

  /// What the file says of its training: "epoch 200, arch resnet50".
  [[nodiscard]] std::string facts() const {
    constexpr std::array<std::string_view, 6> kFacts{"epoch",     "arch",         "global_step",
                                                     "args.arch", "args.dataset", "meta.epoch"};
    std::vector<std::string> facts;
    for (const auto& scalar : archive_ ? archive_->scalars() : std::vector<PytorchScalar>()) {
      if (std::find(kFacts.begin(), kFacts.end(), scalar.name) != kFacts.end()) {
        facts.push_back(fmt::format("{} {}", scalar.name, shown(scalar.value)));
      }
    }
    return fmt::format("{}", fmt::join(facts, ", "));
  }

 private:
  void add(const std::string& name, Shape shape) {
    if (!places_.emplace(name, names_.size()).second) {
      twice_.insert(name);
    }
    names_.push_back(name);
    shapes_.push_back(std::move(shape));
  }

  std::string origin_;
  std::optional<PytorchArchive> archive_;
  std::optional<SafetensorsFile> safetensors_;
  std::vector<std::string> names_;
  std::vector<Shape> shapes_;
  std::unordered_map<std::string, std::size_t> places_;
  std::unordered_set<std::string> twice_;
};

// ---- Where in it there are ResNets ----

// A network in the file, and what it calls its layers.
struct Candidate {
  std::string prefix;
  std::optional<std::int64_t> first_stage = {};  // number of its first stage, where layers have one
  std::string projection = "downsample";
  int rank = 0;  // the lowest is preferred

  /// The name in the file of what torchvision calls `name`.
  [[nodiscard]] std::string in_file(std::string_view name) const {
    std::string rest(name);
    if (const auto at = rest.find("downsample"); at != std::string::npos) {
      rest.replace(at, std::string_view("downsample").size(), projection);
    }
    if (!first_stage) {
      return prefix + rest;
    }
    const std::size_t dot = rest.find('.');
    const std::string layer = rest.substr(0, dot);
    const std::int64_t number = layer == "conv1" ? 0
                                : layer == "bn1" ? 1
                                                 : *first_stage + (layer.back() - '1');
    return fmt::format("{}{}{}", prefix, number, rest.substr(dot));
  }
};

// `prefix` where a stage "`prefix``number`." begins with a block.
std::optional<std::pair<std::string, std::int64_t>> numbered_stage(std::string_view name) {
  constexpr std::string_view kBlock = ".0.conv1.weight";
  if (!name.ends_with(kBlock)) {
    return std::nullopt;
  }
  name.remove_suffix(kBlock.size());
  const std::size_t begin = name.rfind('.') + 1;  // 0 where there is none
  const std::string_view number = name.substr(begin);
  if (!is_number(number)) {
    return std::nullopt;
  }
  return std::pair(std::string(name.substr(0, begin)), std::stoll(std::string(number)));
}

std::vector<Candidate> find_candidates(const WeightFile& file) {
  constexpr std::string_view kFirstBlock = "layer1.0.conv1.weight";
  std::vector<Candidate> candidates;
  std::map<std::string, std::set<std::int64_t>> stages;
  for (const std::string& name : file.names()) {
    if (name.ends_with(kFirstBlock)) {
      const std::string prefix = name.substr(0, name.size() - kFirstBlock.size());
      if (prefix.empty() || prefix.ends_with('.')) {
        candidates.push_back({.prefix = prefix});
      }
    } else if (const auto stage = numbered_stage(name)) {
      stages[stage->first].insert(stage->second);
    }
  }
  for (const auto& [prefix, numbers] : stages) {
    const std::int64_t first = *numbers.begin();
    if (numbers.size() == 4 && *numbers.rbegin() == first + 3 && first >= 2 &&
        file.has(prefix + "0.weight")) {
      candidates.push_back({.prefix = prefix, .first_stage = first});
    }
  }
  for (auto& candidate : candidates) {
    Candidate other = candidate;
    other.projection = "shortcut";  // lightly's ResNetGenerator and other code for CIFAR
    if (file.has(other.in_file("layer2.0.downsample.0.weight"))) {
      candidate = other;
    }
  }
  return candidates;
}

bool has_word(const Candidate& candidate, std::string_view word) {
  const auto words = words_of(candidate.prefix);
  return std::any_of(words.begin(), words.end(),
                     [word](const std::string& w) { return w.find(word) != std::string::npos; });
}

// Whether its name says that it is a running mean of a trained network.
bool is_running_mean(const Candidate& candidate) {
  const auto words = words_of(candidate.prefix);
  const bool by_ending = std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word.ends_with("_k") || word == "ema" || word.starts_with("ema_") ||
           word.ends_with("_ema");
  });
  constexpr std::array<std::string_view, 5> kWords{"momentum", "teacher", "target", "key_",
                                                   "averaged"};
  return by_ending || std::any_of(kWords.begin(), kWords.end(), [&candidate](std::string_view w) {
           return has_word(candidate, w);
         });
}

void rank(std::vector<Candidate>& candidates, const WeightFile& file) {
  const auto some = [&candidates](std::string_view word) {
    return std::any_of(candidates.begin(), candidates.end(),
                       [word](const Candidate& c) { return has_word(c, word); });
  };
  const bool is_dino =
      some("teacher") && some("student") && (file.mentions("last_layer") || file.mentions("dino"));
  for (auto& candidate : candidates) {
    const bool is_mean = is_running_mean(candidate);
    candidate.rank = is_dino ? (has_word(candidate, "teacher") ? 0 : 1) : (is_mean ? 1 : 0);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return std::pair(a.rank, a.prefix.size()) < std::pair(b.rank, b.prefix.size());
                   });
}

// ---- What it is called ----

struct Layout {
  std::string_view words;    // the prefix without numbers and words of containers
  std::string_view sibling;  // what else is beside the network; "": anything
  std::string_view description;
};

constexpr std::array kLayouts{
    Layout{"encoder_q", "encoder_k.", "query encoder of MoCo"},
    Layout{"encoder_q", "", "query encoder"},
    Layout{"encoder_k", "encoder_q.", "key encoder of MoCo, the running mean of its query encoder"},
    Layout{"base_encoder", "momentum_encoder.", "base encoder of MoCo v3"},
    Layout{"teacher.backbone", "", "teacher of DINO"},
    Layout{"student.backbone", "", "student of DINO"},
    Layout{"teacher_backbone", "", "teacher backbone"},
    Layout{"student_backbone", "", "student backbone"},
    Layout{"online_network.encoder", "", "online encoder of BYOL"},
    Layout{"encoder", "predictor.", "encoder of SimSiam"},
    Layout{"encoder", "classifier.", "encoder of solo-learn"},
    Layout{"encoder", "", "encoder"},
    Layout{"backbone", "backbone_momentum.", "backbone of lightly, with a momentum copy beside it"},
    Layout{"backbone", "momentum_backbone.",
           "backbone of solo-learn, with a momentum copy beside it"},
    Layout{"backbone", "classifier.", "backbone of solo-learn"},
    Layout{"backbone", "projector.", "backbone of Barlow Twins or VICReg"},
    Layout{"backbone", "projection_head.", "backbone of lightly"},
    Layout{"backbone", "neck.", "backbone of mmselfsup"},
    Layout{"backbone", "", "backbone"},
    Layout{"trunk._feature_blocks", "", "trunk of VISSL"},
    Layout{"_feature_blocks", "", "trunk of VISSL"},
    Layout{"", "prototypes", "network of SwAV"},
    Layout{"", "fc.", "ResNet as torchvision and timm save it, with a classifier"},
    Layout{"", "", "ResNet as torchvision and timm save it"}};

// Words of a prefix that say only how it was saved.
bool is_container(std::string_view word) {
  constexpr std::array<std::string_view, 8> kContainers{
      "state_dict",       "model",       "module",    "net", "network",
      "model_state_dict", "model_state", "base_model"};
  return is_number(word) ||
         std::find(kContainers.begin(), kContainers.end(), word) != kContainers.end();
}

std::string describe(const Candidate& candidate, const WeightFile& file) {
  std::vector<std::string> words;
  std::string parent;
  std::string last;
  for (const std::string& word : words_of(candidate.prefix)) {
    if (!is_container(word)) {
      parent += last;
      last = word + ".";
      words.push_back(word);
    } else {
      (words.empty() ? parent : last) += word + ".";
    }
  }
  const std::string core = fmt::format("{}", fmt::join(words, "."));
  const auto* const layout = std::find_if(kLayouts.begin(), kLayouts.end(), [&](const Layout& row) {
    return row.words == core &&
           (row.sibling.empty() || file.has_below(parent + std::string(row.sibling)));
  });
  std::string description = layout != kLayouts.end()
                                ? std::string(layout->description)
                                : fmt::format("ResNet called '{}'", shown(candidate.prefix));
  if (candidate.first_stage) {
    description += ", with numbered layers";
  }
  return file.is_torchscript() ? description + ", from TorchScript" : description;
}

// ---- Whether it is one of ours ----

struct Depth {
  std::string_view name;
  bool has_bottlenecks;
  std::array<std::int64_t, 4> blocks;
};

constexpr std::array kDepths{
    Depth{"resnet10", false, {1, 1, 1, 1}}, Depth{"resnet18", false, {2, 2, 2, 2}},
    Depth{"resnet34", false, {3, 4, 6, 3}}, Depth{"resnet50", true, {3, 4, 6, 3}}};

struct Expected {
  std::string name;  // torchvision's
  Shape shape;
};

void expect_norm(std::vector<Expected>& all, const std::string& name, std::int64_t channels) {
  for (const char* const part : {"weight", "bias", "running_mean", "running_var"}) {
    all.push_back({fmt::format("{}.{}", name, part), {channels}});
  }
  all.push_back({fmt::format("{}.{}", name, kCounter), {}});
}

void expect_layer(std::vector<Expected>& all,
                  const std::string& conv,
                  const std::string& norm,
                  const Shape& shape) {
  all.push_back({conv + ".weight", shape});
  expect_norm(all, norm, shape[0]);
}

// All parameters and buffers of a ResNet (arXiv:1512.03385, Table 1).
std::vector<Expected> expected_state(const Depth& depth, const Shape& conv1) {
  std::vector<Expected> all;
  expect_layer(all, "conv1", "bn1", conv1);
  std::int64_t in = conv1[0];
  for (std::size_t stage = 0; stage < depth.blocks.size(); ++stage) {
    const std::int64_t width = conv1[0] << stage;
    const std::int64_t out = depth.has_bottlenecks ? 4 * width : width;
    for (std::int64_t i = 0; i < depth.blocks[stage]; ++i) {
      const std::string block = fmt::format("layer{}.{}.", stage + 1, i);
      const std::vector<Shape> chain =
          depth.has_bottlenecks
              ? std::vector<Shape>{{width, in, 1, 1}, {width, width, 3, 3}, {out, width, 1, 1}}
              : std::vector<Shape>{{width, in, 3, 3}, {width, width, 3, 3}};
      for (std::size_t k = 0; k < chain.size(); ++k) {
        expect_layer(all, fmt::format("{}conv{}", block, k + 1),
                     fmt::format("{}bn{}", block, k + 1), chain[k]);
      }
      if (i == 0 && (stage > 0 || in != out)) {
        expect_layer(all, block + "downsample.0", block + "downsample.1", {out, in, 1, 1});
      }
      in = out;
    }
  }
  return all;
}

// A candidate that was looked at: what it is, or why it is none of ours.
struct Fit {
  const Depth* depth = nullptr;
  Shape conv1 = {};
  std::string reason = {};                                      // "" where it fits
  std::vector<std::pair<std::string, std::string>> names = {};  // the encoder's, the file's
  std::vector<std::string> missing = {};                        // counters
};

class Fitter {
 public:
  Fitter(const WeightFile& file, const Candidate& candidate) : file_(file), candidate_(candidate) {}

  [[nodiscard]] Fit fit() const {
    Fit fit;
    fit.reason = stem_problem(fit);
    if (fit.reason.empty()) {
      fit.reason = block_problem(fit);
    }
    if (fit.reason.empty()) {
      compare(fit);
    }
    return fit;
  }

 private:
  [[nodiscard]] const Shape* shape(std::string_view name) const {
    return file_.shape(candidate_.in_file(name));
  }

  [[nodiscard]] std::string stem_problem(Fit& fit) const {
    const Shape* const conv1 = shape("conv1.weight");
    if (candidate_.first_stage == 2) {
      return "its layers are those of an nn.Sequential without the rectification behind the first "
             "batch norm (lightly's ResNetGenerator taken apart by children()): the encoder of "
             "viewfold has it and would compute something else";
    }
    if (candidate_.first_stage && *candidate_.first_stage > 4) {
      return fmt::format("its first stage is layer {} of an nn.Sequential, at most 4 is known",
                         *candidate_.first_stage);
    }
    if (conv1 == nullptr || conv1->size() != 4) {
      return fmt::format("'{}' is no convolution: its stem is not that of a plain ResNet",
                         shown(candidate_.in_file("conv1.weight")));
    }
    fit.conv1 = *conv1;
    const std::int64_t kernel = fit.conv1[2];
    if (fit.conv1[3] != kernel || (kernel != 3 && kernel != 7) ||
        (kernel == 7 && candidate_.first_stage == 3)) {
      return fmt::format(
          "its first convolution is [{}]: only 7x7 with pooling and 3x3 without are "
          "known",
          fmt::join(fit.conv1, ", "));
    }
    if (fit.conv1[0] < 1 || fit.conv1[0] > kMaxWidth || fit.conv1[1] < 1 ||
        fit.conv1[1] > kMaxChannels) {
      return fmt::format(
          "its first convolution is [{}]: up to {} channels of up to {} bands are "
          "known",
          fmt::join(fit.conv1, ", "), kMaxWidth, kMaxChannels);
    }
    return "";
  }

  [[nodiscard]] std::int64_t block_count(std::size_t stage) const {
    constexpr std::int64_t kMost = 64;
    std::int64_t count = 0;
    while (count < kMost && file_.has(candidate_.in_file(
                                fmt::format("layer{}.{}.conv1.weight", stage + 1, count)))) {
      ++count;
    }
    return count;
  }

  [[nodiscard]] std::string block_problem(Fit& fit) const {
    const bool has_bottlenecks = shape("layer1.0.conv3.weight") != nullptr;
    const Shape* const first = shape("layer1.0.conv1.weight");
    const Shape* const second = shape("layer1.0.conv2.weight");
    if (first == nullptr || second == nullptr || first->size() != 4 || second->size() != 4) {
      return "its first block has no two convolutions";
    }
    if ((*second)[1] != (*first)[0]) {
      return fmt::format(
          "it is a ResNeXt: the convolutions in its blocks have groups, of {} of {} "
          "channels",
          (*second)[1], (*first)[0]);
    }
    if ((*first)[0] != fit.conv1[0]) {
      return fmt::format(
          "it is a Wide ResNet: its blocks have {} channels inside, not the {} of "
          "its stem",
          (*first)[0], fit.conv1[0]);
    }
    std::array<std::int64_t, 4> blocks{};
    for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
      blocks[stage] = block_count(stage);
    }
    const auto* const depth = std::find_if(kDepths.begin(), kDepths.end(), [&](const Depth& row) {
      return row.has_bottlenecks == has_bottlenecks && row.blocks == blocks;
    });
    if (depth == kDepths.end()) {
      return fmt::format(
          "it has [{}] {} blocks; ResNet-10, 18 and 34 ([1, 1, 1, 1], [2, 2, 2, 2], [3, 4, 6, 3], "
          "basic) and ResNet-50 ([3, 4, 6, 3], bottleneck) can be read",
          fmt::join(blocks, ", "), has_bottlenecks ? "bottleneck" : "basic");
    }
    fit.depth = depth;
    return "";
  }

  void compare(Fit& fit) const {
    std::unordered_set<std::string> used;
    std::vector<std::string> problems;
    for (const Expected& item : expected_state(*fit.depth, fit.conv1)) {
      const std::string name = candidate_.in_file(item.name);
      const Shape* const found = file_.shape(name);
      used.insert(name);
      if (found == nullptr && item.name.ends_with(kCounter)) {
        fit.missing.push_back(item.name);
      } else if (found == nullptr) {
        problems.push_back(fmt::format("'{}' is missing", shown(name)));
      } else if (*found != item.shape) {
        problems.push_back(fmt::format("'{}' is [{}] instead of [{}]", shown(name),
                                       fmt::join(*found, ", "), fmt::join(item.shape, ", ")));
      } else {
        fit.names.emplace_back(item.name, name);
      }
    }
    const std::string further = further_layers(used);
    if (!problems.empty()) {
      const std::size_t count = problems.size();
      problems.resize(std::min(count, kMostKeys));
      fit.reason =
          fmt::format("{}{}", fmt::join(problems, ", "),
                      count > kMostKeys ? fmt::format(" and {} more", count - kMostKeys) : "");
    } else if (!further.empty()) {
      fit.reason = "it has layers that a plain ResNet has not: " + further;
    }
  }

  // Names within its stem and stages that are none of a ResNet's.
  [[nodiscard]] std::string further_layers(const std::unordered_set<std::string>& used) const {
    std::vector<std::string> further;
    for (const char* const layer : {"conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."}) {
      const std::string prefix = candidate_.in_file(layer);
      for (const std::string& name : file_.names()) {
        if (name.starts_with(prefix) && !used.contains(name)) {
          further.push_back(name);
        }
      }
    }
    return listed(further);
  }

  const WeightFile& file_;
  const Candidate& candidate_;
};

// ---- The choice ----

std::vector<std::string> prefixes_of(const std::vector<Candidate>& candidates) {
  std::vector<std::string> prefixes;
  for (const Candidate& candidate : candidates) {
    prefixes.push_back(candidate.prefix);
  }
  return prefixes;
}

[[noreturn]] void refuse_without_candidate(const WeightFile& file) {
  const auto& names = file.names();
  const bool has_attention = file.mentions("attn.") || file.mentions("attention.");
  throw DataError(fmt::format(
      "{}: holds no ResNet: no name ends in 'layer1.0.conv1.weight'{}; {} (the encoders that can "
      "be read are ResNet-10, 18, 34 and 50)",
      file.origin(), has_attention ? ", but there is attention, as in a vision transformer" : "",
      names.empty() ? "there are no tensors at all" : "there are " + listed(names)));
}

// Those that the user means.
std::vector<Candidate> with_prefix(const std::vector<Candidate>& candidates,
                                   std::string prefix,
                                   const WeightFile& file) {
  if (!prefix.ends_with('.')) {
    prefix += '.';
  }
  std::vector<Candidate> chosen;
  for (const Candidate& candidate : candidates) {
    if (candidate.prefix == prefix) {
      return {candidate};
    }
    if (candidate.prefix.ends_with("." + prefix)) {
      chosen.push_back(candidate);
    }
  }
  if (chosen.size() == 1) {
    return chosen;
  }
  throw UsageError(fmt::format("{}: {} networks have the prefix '{}'; there are {}", file.origin(),
                               chosen.empty() ? "no" : "several", shown(prefix),
                               listed(prefixes_of(candidates))));
}

bool have_equal_weights(const WeightFile& file, const Fit& a, const Fit& b) {
  if (a.names.size() != b.names.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.names.size(); ++i) {
    if (a.names[i].first != b.names[i].first ||
        !file.load(a.names[i].second).equal(file.load(b.names[i].second))) {
      return false;
    }
  }
  return true;
}

struct Choice {
  Candidate candidate;
  Fit fit;
};

// Of the networks of the lowest rank the one that fits. Two that fit must be one network.
Choice choose(const std::vector<Candidate>& candidates, const WeightFile& file) {
  std::optional<Choice> choice;
  std::string reason;
  for (const Candidate& candidate : candidates) {
    if (candidate.rank != candidates.front().rank) {
      break;
    }
    Fit fit = Fitter(file, candidate).fit();
    if (!fit.reason.empty()) {
      reason = reason.empty() ? fit.reason : reason;
    } else if (!choice) {
      choice = {candidate, std::move(fit)};
    } else if (!have_equal_weights(file, choice->fit, fit)) {
      throw DataError(
          fmt::format("{}: holds several networks: {} (say by its prefix which one is meant)",
                      file.origin(), listed({choice->candidate.prefix, candidate.prefix})));
    }
  }
  if (!choice) {
    throw DataError(fmt::format(
        "{}: its {} cannot be read: {} (prefixes tried: {}; the file has for example {})",
        file.origin(), describe(candidates.front(), file), reason, listed(prefixes_of(candidates)),
        listed({file.names().begin(),
                file.names().begin() +
                    static_cast<std::ptrdiff_t>(std::min<std::size_t>(file.names().size(), 3))})));
  }
  return std::move(*choice);
}

EncoderSpec spec_of(const Fit& fit, const ImportOptions& options, const WeightFile& file) {
  constexpr std::int64_t kImageNetSize = 224;
  constexpr std::int64_t kCifarSize = 32;
  const bool is_large = fit.conv1[2] == 7;
  const std::string stem = options.stem != "auto" ? options.stem : is_large ? "imagenet" : "cifar";
  if ((stem == "imagenet") != is_large) {
    throw UsageError(fmt::format("{}: its first convolution is {}x{}, which no stem '{}' has",
                                 file.origin(), fit.conv1[2], fit.conv1[3], stem));
  }
  const std::int64_t usual_size = is_large ? kImageNetSize : kCifarSize;
  return {.name = std::string(fit.depth->name),
          .width = fit.conv1[0],
          .stem = stem,
          .in_channels = fit.conv1[1],
          .input_size = options.input_size > 0 ? options.input_size : usual_size,
          .zero_init_residual = false};
}

// All weights, by the encoder's names: read before an encoder is made, whose memory a file that
// repeats values could not fill.
std::map<std::string, at::Tensor> load_weights(const Fit& fit, const WeightFile& file) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& [own, name] : fit.names) {
    const auto tensor = file.load(name);
    const bool is_counter = own.ends_with(kCounter);
    const bool is_whole = at::isIntegralType(tensor.scalar_type(), /*includeBool=*/false);
    if (is_counter ? !is_whole : !tensor.is_floating_point()) {
      throw DataError(fmt::format("{}: '{}' is of type {}, which its layer cannot have",
                                  file.origin(), shown(name), at::toString(tensor.scalar_type())));
    }
    const auto value = tensor.to(is_counter ? at::kLong : at::kFloat);
    if (!is_counter && !at::isfinite(value).all().item<bool>()) {
      throw DataError(fmt::format(
          "{}: '{}' holds values that are not finite in float32 (take a checkpoint from before the "
          "training diverged)",
          file.origin(), shown(name)));
    }
    weights.emplace(own, value);
  }
  return weights;
}

void fill(Encoder& encoder, const std::map<std::string, at::Tensor>& weights) {
  const at::NoGradGuard no_grad;
  std::size_t filled = 0;
  for (auto& item : module_state(encoder)) {
    const auto found = weights.find(item.name);
    if (found != weights.end()) {
      check(found->second.sizes() == item.tensor.sizes(), item.name + " has another shape");
      item.tensor.copy_(found->second);
      ++filled;
    } else {
      check(item.name.ends_with(kCounter), item.name + " is not expected of a ResNet");
      item.tensor.zero_();
    }
  }
  check(filled == weights.size(), "a weight has no place in the encoder");
}

std::vector<std::string> notes_of(const Choice& choice,
                                  const std::vector<Candidate>& candidates,
                                  const EncoderSpec& spec,
                                  const WeightFile& file) {
  std::vector<std::string> notes;
  std::vector<std::string> others = prefixes_of(candidates);
  std::erase(others, choice.candidate.prefix);
  if (!others.empty()) {
    notes.push_back(fmt::format("The network under '{}' was taken; there are also {}.",
                                shown(choice.candidate.prefix), listed(others)));
  }
  notes.emplace_back(
      spec.stem == "imagenet"
          ? "A checkpoint holds no strides: the 7x7 stem is taken to have stride 2 and max pooling."
      : spec.stem == "cifar"
          ? "A checkpoint holds no strides: the 3x3 stem is taken to have stride 1, padding 1 and "
            "no pooling. That of solo-learn for CIFAR has padding 2: its features differ a little."
          : "A checkpoint holds no strides: the 3x3 stem is taken to have stride 2, padding 1 and "
            "no pooling.");
  notes.emplace_back(
      "A checkpoint does not say how its images were normalised: give it those means and standard "
      "deviations.");
  if (!choice.fit.missing.empty()) {
    notes.push_back(fmt::format("{} counters of batches are not in the file and are 0.",
                                choice.fit.missing.size()));
  }
  if (const std::string facts = file.facts(); !facts.empty()) {
    notes.push_back(fmt::format("The file says: {}.", facts));
  }
  return notes;
}

}  // namespace

ImportedEncoder import_encoder(const fs::path& path, const ImportOptions& options) {
  (void)resolve_stem(options.stem, 1);  // a word that is none is said before the file is read
  check(options.input_size >= 0, "an image has no negative size");
  const WeightFile file(path);
  auto candidates = find_candidates(file);
  if (candidates.empty()) {
    refuse_without_candidate(file);
  }
  if (candidates.size() > kMostNetworks) {
    throw DataError(fmt::format("{}: holds {} ResNets, up to {} are looked at (save one alone)",
                                file.origin(), candidates.size(), kMostNetworks));
  }
  rank(candidates, file);
  const Choice choice = choose(
      options.prefix.empty() ? candidates : with_prefix(candidates, options.prefix, file), file);
  ImportedEncoder imported{.encoder = nullptr,
                           .spec = spec_of(choice.fit, options, file),
                           .prefix = choice.candidate.prefix,
                           .described_as = describe(choice.candidate, file)};
  const auto weights = load_weights(choice.fit, file);
  imported.encoder = make_encoder(imported.spec);
  fill(*imported.encoder, weights);
  imported.encoder->eval();
  std::unordered_set<std::string_view> used;
  for (const auto& [own, name] : choice.fit.names) {
    imported.matched.push_back(name);
    used.insert(name);
  }
  std::copy_if(file.names().begin(), file.names().end(), std::back_inserter(imported.unused),
               [&used](const std::string& name) { return !used.contains(name); });
  imported.missing = choice.fit.missing;
  imported.notes = notes_of(choice, candidates, imported.spec, file);
  return imported;
}

}  // namespace viewfold
