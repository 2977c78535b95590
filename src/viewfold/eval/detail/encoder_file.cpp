// Implements the encoder's weights and card; the card is a claim until it is checked.
#include "viewfold/eval/encoder_file.hpp"

#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/input_file.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;  // keys in the order of writing, for readers

constexpr std::int64_t kSchema = 1;
constexpr std::uint64_t kMaxCardBytes = 1 << 20;
constexpr const char* kPixels = "values in [0, 1] before (value - mean) / std";

// Bounds of what a card may ask for: far beyond sense, within memory.
constexpr std::int64_t kMaxWidth = 1024;
constexpr std::int64_t kMaxChannels = 4096;
constexpr std::int64_t kMaxInputSize = 1 << 16;
constexpr std::int64_t kMaxFeatures = 1 << 20;
constexpr std::size_t kMaxParts = 64;
constexpr std::int64_t kAnyCount = std::numeric_limits<std::int64_t>::max();

void write_json(const fs::path& path, const json& content) {
  // A file name may hold any bytes, JSON may not.
  write_file_atomically(path, content.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

std::vector<std::byte> read_whole(const fs::path& path, std::uint64_t most) {
  const InputFile file(path);
  if (file.size() > most) {
    throw DataError(
        fmt::format("{}: has {} bytes, a card has at most {}", path.string(), file.size(), most));
  }
  return file.read_at(0, file.size());
}

/// Looks values up by dotted key ("input.mean") and says what is wrong with one.
class CardReader {
 public:
  explicit CardReader(fs::path path) : path_(std::move(path)), card_(parse()) {
    (void)whole("schema", 1, kSchema);
  }

  [[nodiscard]] const json& card() const { return card_; }

  [[noreturn]] void fail(std::string_view key, std::string_view problem) const {
    throw DataError(fmt::format("{}: \"{}\" {} (write the card again with `viewfold export`)",
                                path_.string(), key, problem));
  }

  [[nodiscard]] const json& at(std::string_view key) const {
    const json* place = &card_;
    for (std::string_view rest = key; !rest.empty();) {
      const auto dot = rest.find('.');
      const std::string name(rest.substr(0, dot));
      if (!place->is_object() || !place->contains(name)) {
        fail(key, "is missing");
      }
      place = &(*place)[name];
      rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    }
    return *place;
  }

  [[nodiscard]] std::int64_t whole(std::string_view key, std::int64_t min, std::int64_t max) const {
    const json& value = at(key);
    // Beyond 2^63 the number is unsigned only, and get() would wrap.
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(max)
                          : value.is_number_integer();
    if (!fits || value.get<std::int64_t>() < min) {
      fail(key,
           fmt::format("must be a whole number from {} to {}, not {}", min, max, shown(value)));
    }
    return value.get<std::int64_t>();
  }

  [[nodiscard]] std::uint64_t seed(std::string_view key) const {
    const json& value = at(key);
    if (!value.is_number_unsigned()) {
      fail(key, fmt::format("must be a whole number from 0 on, not {}", shown(value)));
    }
    return value.get<std::uint64_t>();
  }

  [[nodiscard]] bool truth(std::string_view key) const {
    const json& value = at(key);
    if (!value.is_boolean()) {
      fail(key, fmt::format("must be true or false, not {}", shown(value)));
    }
    return value.get<bool>();
  }

  [[nodiscard]] std::string text(std::string_view key) const {
    const json& value = at(key);
    if (!value.is_string()) {
      fail(key, fmt::format("must be a text, not {}", shown(value)));
    }
    return value.get<std::string>();
  }

  [[nodiscard]] std::vector<double> numbers(std::string_view key,
                                            std::int64_t count,
                                            double min,
                                            double max) const {
    const json& value = at(key);
    if (!value.is_array() || value.size() != static_cast<std::size_t>(count)) {
      fail(key, fmt::format("must be a list of {} numbers, one for each band", count));
    }
    std::vector<double> numbers;
    for (const json& item : value) {
      if (!item.is_number() || !(item.get<double>() >= min && item.get<double>() <= max)) {
        fail(key, fmt::format("must hold numbers from {} to {}, not {}", min, max, shown(item)));
      }
      numbers.push_back(item.get<double>());
    }
    return numbers;
  }

 private:
  static std::string shown(const json& value) {
    constexpr std::size_t kMost = 40;
    const std::string text = value.is_structured() ? value.type_name() : value.dump();
    return text.size() <= kMost ? text : "a long " + std::string(value.type_name());
  }

  // Refuses nesting that would exhaust the stack of whoever walks through it.
  [[nodiscard]] json parse() const {
    constexpr int kMaxDepth = 16;
    const auto bytes = read_whole(path_, kMaxCardBytes);
    const auto* const begin = reinterpret_cast<const char*>(bytes.data());
    const auto is_shallow = [this](int depth, json::parse_event_t, json&) {
      if (depth > kMaxDepth) {
        throw DataError(fmt::format("{}: is nested too deep for a card", path_.string()));
      }
      return true;
    };
    try {
      json card = json::parse(begin, begin + bytes.size(), is_shallow);
      if (card.is_object()) {
        return card;
      }
    } catch (const json::exception&) {
      // Said below: for the reader both mean the same.
    }
    throw DataError(fmt::format("{}: is not a JSON object, as a card is", path_.string()));
  }

  fs::path path_;
  json card_;
};

std::string known_encoder(const CardReader& reader, const std::string& key) {
  auto name = reader.text(key);
  try {
    (void)find_encoder(name);
  } catch (const UsageError& error) {
    reader.fail(key, fmt::format("is an {}", error.what()));
  }
  return name;
}

// What stands under `key` into `spec`, whose bands and size are those of the whole.
void read_architecture(const CardReader& reader, const std::string& key, EncoderSpec& spec) {
  spec.name = known_encoder(reader, key + ".name");
  spec.width = reader.whole(key + ".width", 1, kMaxWidth);
  spec.stem = reader.text(key + ".stem");
  if (spec.stem != "cifar" && spec.stem != "half" && spec.stem != "imagenet") {
    reader.fail(key + ".stem", "must be \"cifar\", \"half\" or \"imagenet\"");
  }
  spec.zero_init_residual = reader.truth(key + ".zero_init_residual");
}

// The same for encoders side by side, of which none has parts itself.
void read_parts(const CardReader& reader, EncoderSpec& spec) {
  const std::string key = "architecture.parts";
  const auto& all = reader.at(key);
  if (!all.is_object() || all.empty() || all.size() > kMaxParts) {
    reader.fail(key, fmt::format("must hold 1 to {} encoders under \"0\", \"1\" ...", kMaxParts));
  }
  spec.name = kConcatenation;
  const EncoderSpec whole = spec;
  for (std::size_t i = 0; i < all.size(); ++i) {
    spec.parts.push_back(whole);
    read_architecture(reader, fmt::format("{}.{}", key, i), spec.parts.back());
  }
}

EncoderSpec read_spec(const CardReader& reader) {
  EncoderSpec spec;
  spec.in_channels = reader.whole("architecture.in_channels", 1, kMaxChannels);
  spec.input_size = reader.whole("input.size", 1, kMaxInputSize);
  if (reader.at("architecture").contains("parts")) {
    read_parts(reader, spec);
  } else {
    read_architecture(reader, "architecture", spec);
  }
  if (reader.whole("input.bands", 1, kMaxChannels) != spec.in_channels) {
    reader.fail("input.bands",
                fmt::format("must be architecture.in_channels, {}", spec.in_channels));
  }
  return spec;
}

EncoderCard read_card(const CardReader& reader) {
  constexpr double kMax = 1e9;  // keeps (value - mean) / std within float32
  EncoderCard card;
  card.encoder = read_spec(reader);
  const std::int64_t bands = card.encoder.in_channels;
  card.normalization = {.mean = reader.numbers("input.mean", bands, -kMax, kMax),
                        .std = reader.numbers("input.std", bands, 1.0 / kMax, kMax)};
  card.method = reader.text("method");
  card.data_fingerprint = reader.text("data_fingerprint");
  card.seed = reader.seed("seed");
  card.feature_dim = reader.whole("architecture.feature_dim", 1, kMaxFeatures);
  card.epochs = reader.whole("epochs", 0, kAnyCount);
  card.version = reader.text("version");
  return card;
}

// Without bands and features, which are those of the whole.
json architecture_json(const EncoderSpec& spec) {
  json object{{"name", spec.name}};
  if (spec.parts.empty()) {
    object["width"] = spec.width;
    object["stem"] = spec.stem;
    object["zero_init_residual"] = spec.zero_init_residual;
    return object;
  }
  for (std::size_t i = 0; i < spec.parts.size(); ++i) {
    object["parts"][fmt::format("{}", i)] = architecture_json(spec.parts[i]);
  }
  return object;
}

json card_json(const EncoderCard& info, const fs::path& weights, const std::string& hash) {
  const auto& spec = info.encoder;
  json architecture = architecture_json(spec);
  architecture["in_channels"] = spec.in_channels;
  architecture["feature_dim"] = info.feature_dim;
  return {{"schema", kSchema},
          {"architecture", std::move(architecture)},
          {"input",
           {{"size", spec.input_size},
            {"bands", spec.in_channels},
            {"mean", info.normalization.mean},
            {"std", info.normalization.std},
            {"pixels", kPixels}}},
          {"method", info.method},
          {"epochs", info.epochs},
          {"seed", info.seed},
          {"data_fingerprint", info.data_fingerprint},
          {"version", info.version},
          {"weights", {{"file", weights.filename().string()}, {"sha256", hash}}},
          {"results", json::object()}};
}

std::int64_t value_count(const std::vector<NamedTensor>& tensors) {
  std::int64_t count = 0;
  for (const auto& item : tensors) {
    count += item.tensor.numel();
  }
  return count;
}

// How many values a network has at least: from width to width their number grows by as much as
// between two small ones, or by more.
std::int64_t least_values(const EncoderSpec& spec) {
  constexpr std::int64_t kSmall = 8;
  const auto count_at = [&spec](std::int64_t width) {
    EncoderSpec small = spec;
    small.width = width;
    return value_count(module_state(*make_encoder(small)));
  };
  if (spec.width <= 2 * kSmall) {
    return count_at(spec.width);
  }
  const auto small = count_at(kSmall);
  const auto growth = (count_at(2 * kSmall) - small) / kSmall;
  return small + growth * (spec.width - kSmall);
}

// Before memory is taken for a network that the file cannot fill.
void check_size(const CardReader& reader, const EncoderSpec& spec, const SafetensorsFile& file) {
  constexpr std::int64_t kSmall = 16;  // one such network fills no memory
  const auto held = value_count(file.tensors);
  if (spec.parts.empty() && spec.width > kSmall && held < least_values(spec)) {
    reader.fail("architecture.width",
                fmt::format("is {}, for which {} holds too little", spec.width, file.origin));
  }
  std::int64_t needed = 0;
  for (const auto& part : spec.parts) {
    needed += least_values(part);
  }
  if (held < needed) {
    reader.fail("architecture.parts",
                fmt::format("are encoders for which {} holds too little", file.origin));
  }
}

}  // namespace

void write_encoder(const Encoder& encoder,
                   const EncoderCard& info,
                   const fs::path& weights,
                   const fs::path& card) {
  check((!info.encoder.parts.empty() || info.encoder.stem != "auto") &&
            info.feature_dim == encoder.feature_dim(),
        "a card describes the encoder as it is: stem resolved, its feature_dim");
  // Hugging Face tools read only files that say so.
  const auto bytes = write_safetensors(module_state(encoder), {{"format", "pt"}});
  write_file_atomically(weights, bytes);
  write_json(card, card_json(info, weights, hex_hash(bytes)));
}

Preprocess LoadedEncoder::preprocess() const {
  return {.input_size = card.encoder.input_size,
          .bands = card.encoder.in_channels,
          .normalization = card.normalization};
}

LoadedEncoder read_encoder(const fs::path& weights, const fs::path& card) {
  const CardReader reader(card);
  LoadedEncoder loaded{.encoder = nullptr, .card = read_card(reader)};
  const auto expected = reader.text("weights.sha256");
  const auto bytes = read_whole(weights, std::numeric_limits<std::uint64_t>::max());
  if (hex_hash(bytes) != expected) {
    throw DataError(fmt::format(
        "{}: these are not the weights that {} describes (\"weights.sha256\" differs: copy both "
        "files from the same run)",
        weights.string(), card.string()));
  }
  const auto file = parse_safetensors(bytes, weights.string());
  check_size(reader, loaded.card.encoder, file);
  loaded.encoder = make_encoder(loaded.card.encoder);
  load_module_state(*loaded.encoder, file);
  if (loaded.encoder->feature_dim() != loaded.card.feature_dim) {
    reader.fail(
        "architecture.feature_dim",
        fmt::format("must be {}, not {}", loaded.encoder->feature_dim(), loaded.card.feature_dim));
  }
  loaded.encoder->eval();
  return loaded;
}

void add_result_to_card(const fs::path& card,
                        const std::string& name,
                        const EvaluationResult& result) {
  const CardReader reader(card);
  if (!reader.at("results").is_object()) {
    reader.fail("results", "must be an object");
  }
  json numbers = json::object();
  for (const auto& [key, value] : result.numbers) {
    check(std::isfinite(value), fmt::format("{} of {} is not finite", key, name));
    numbers[key] = value;
  }
  json content = reader.card();
  content["results"][name] = {{"numbers", numbers}, {"protocol", result.protocol}};
  write_json(card, content);
}

}  // namespace viewfold
