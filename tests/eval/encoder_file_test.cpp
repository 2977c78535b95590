// Tests of the encoder's way out of viewfold and back.
#include "viewfold/eval/encoder_file.hpp"

#include <fstream>
#include <functional>
#include <limits>

#include "core/test_folder.hpp"
#include "eval/small_sets.hpp"
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <torch/script.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

using nlohmann::ordered_json;
using testing::card_of;
using testing::small_spec;
using testing::used_encoder;

/// A small encoder on disk.
struct Written {
  explicit Written(const std::string& name, EncoderSpec spec_in = small_spec())
      : folder(name),
        spec(std::move(spec_in)),
        encoder(used_encoder(spec)),
        weights(folder.path() / "encoder.safetensors"),
        card(folder.path() / "card.json") {
    write_encoder(*encoder, card_of(*encoder, spec), weights, card);
  }

  [[nodiscard]] ordered_json content() const { return ordered_json::parse(read_text_file(card)); }

  TestFolder folder;
  EncoderSpec spec;
  std::shared_ptr<Encoder> encoder;
  std::filesystem::path weights;
  std::filesystem::path card;
};

at::Tensor input(const EncoderSpec& spec, std::int64_t n) {
  torch::manual_seed(2);
  return torch::randn({n, spec.in_channels, spec.input_size, spec.input_size});
}

// Message of the DataError that reading throws; "" when it throws none.
std::string reading_error(const Written& written) {
  try {
    (void)read_encoder(written.weights, written.card);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(EncoderFile, ComesBackWithTheSameFeatures) {
  const torch::NoGradGuard no_grad;
  for (const std::int64_t bands : {1, 3, 5}) {
    const Written written("roundtrip", small_spec(bands));
    const auto loaded = read_encoder(written.weights, written.card);
    const auto x = input(written.spec, 3);
    EXPECT_FALSE(loaded.encoder->is_training());
    EXPECT_TRUE(loaded.encoder->forward(x).equal(written.encoder->forward(x)));
  }
}

TEST(EncoderFile, ComesBackWithTheSameCard) {
  auto spec = small_spec();
  spec.name = "resnet50";
  spec.stem = "imagenet";
  spec.input_size = 65;
  spec.zero_init_residual = true;
  const Written written("card", spec);
  const auto card = read_encoder(written.weights, written.card).card;
  const auto expected = card_of(*written.encoder, spec);
  EXPECT_EQ(card.encoder.name, "resnet50");
  EXPECT_EQ(card.encoder.width, 4);
  EXPECT_EQ(card.encoder.stem, "imagenet");
  EXPECT_EQ(card.encoder.in_channels, 3);
  EXPECT_EQ(card.encoder.input_size, 65);
  EXPECT_TRUE(card.encoder.zero_init_residual);
  EXPECT_EQ(card.normalization.mean, expected.normalization.mean);
  EXPECT_EQ(card.normalization.std, expected.normalization.std);
  EXPECT_EQ(card.method, "simclr");
  EXPECT_EQ(card.data_fingerprint, expected.data_fingerprint);
  EXPECT_EQ(card.seed, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(card.feature_dim, 128);
  EXPECT_EQ(card.epochs, 20);
  EXPECT_EQ(card.version, "0.1.0");
}

TEST(EncoderFile, PreprocessesAsTheCardSays) {
  const Written written("preprocess", small_spec(2));
  const auto preprocess = read_encoder(written.weights, written.card).preprocess();
  EXPECT_EQ(preprocess.input_size, 8);
  EXPECT_EQ(preprocess.bands, 2);
  EXPECT_EQ(preprocess.normalization.std, (std::vector<double>{1.0 / 3.0, 1.0 / 3.0}));
}

TEST(EncoderFile, HoldsWeightsInAnyMemoryFormat) {
  const torch::NoGradGuard no_grad;
  const Written written("format");
  const auto before = read_file(written.weights);
  for (auto& parameter : written.encoder->parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  write_encoder(*written.encoder, card_of(*written.encoder, written.spec), written.weights,
                written.card);
  EXPECT_EQ(read_file(written.weights), before);
}

// Two encoders side by side on disk.
EncoderSpec fused_spec() {
  EncoderSpec second = small_spec();
  second.name = "resnet10";
  second.width = 2;
  EncoderSpec spec = small_spec();
  spec.name = kConcatenation;
  spec.parts = {small_spec(), second};
  return spec;
}

TEST(EncoderFile, HoldsEncodersSideBySide) {
  const torch::NoGradGuard no_grad;
  const Written written("fused", fused_spec());
  const auto loaded = read_encoder(written.weights, written.card);
  ASSERT_EQ(loaded.card.encoder.parts.size(), 2U);
  EXPECT_EQ(loaded.card.encoder.parts[1].name, "resnet10");
  EXPECT_EQ(loaded.card.encoder.parts[1].width, 2);
  EXPECT_EQ(loaded.card.encoder.parts[1].input_size, 8);
  const auto x = input(written.spec, 3);
  const auto expected = written.encoder->forward(x);
  EXPECT_TRUE(loaded.encoder->forward(x).equal(expected));
  const auto script = written.folder.path() / "encoder.pt";
  write_torchscript(*written.encoder, card_of(*written.encoder, written.spec), script);
  auto module = torch::jit::load(script.string());
  EXPECT_TRUE(module.forward({x}).toTensor().allclose(expected, 1e-4, 1e-5));
}

TEST(EncoderFile, NamesThePartThatIsWrong) {
  const Written written("fused_broken", fused_spec());
  const auto good = written.content();
  const auto expect_named = [&](const char* pointer, const ordered_json& value, const char* named) {
    auto content = good;
    content[ordered_json::json_pointer(pointer)] = value;
    write_file_atomically(written.card, content.dump());
    const auto error = reading_error(written);
    EXPECT_NE(error.find(std::string("\"") + named + "\""), std::string::npos) << error;
  };
  const std::string parts = "/architecture/parts";
  expect_named("/architecture/parts/1/width", 0, "architecture.parts.1.width");
  expect_named("/architecture/parts/1/name", "resnet19", "architecture.parts.1.name");
  expect_named("/architecture/parts/0", 5, "architecture.parts.0.name");
  expect_named("/architecture/parts/0", {{"parts", {{"0", 1}}}}, "architecture.parts.0.name");
  expect_named(parts.c_str(), ordered_json::object(), "architecture.parts");
  expect_named(parts.c_str(), ordered_json::array({1}), "architecture.parts");
  expect_named(parts.c_str(), {{"1", good["architecture"]["parts"]["1"]}},
               "architecture.parts.0.name");
  auto many = ordered_json::object();
  for (int i = 0; i < 65; ++i) {
    many[std::to_string(i)] = good["architecture"]["parts"]["0"];
  }
  expect_named(parts.c_str(), many, "architecture.parts");
  many.erase("64");
  expect_named(parts.c_str(), many, "architecture.parts");  // more than the file can fill
}

TEST(EncoderFile, NamesKeysInOneOrder) {
  const auto content = Written("order").content();
  std::vector<std::string> keys;
  for (const auto& [key, value] : content.items()) {
    keys.push_back(key);
  }
  EXPECT_EQ(keys,
            (std::vector<std::string>{"schema", "architecture", "input", "method", "epochs", "seed",
                                      "data_fingerprint", "version", "weights", "results"}));
}

TEST(EncoderFile, RefusesWeightsOfAnotherCard) {
  const Written written("hash");
  auto bytes = read_file(written.weights);
  bytes.back() ^= std::byte{1};
  write_file_atomically(written.weights, bytes);
  const auto error = reading_error(written);
  EXPECT_NE(error.find("encoder.safetensors"), std::string::npos) << error;
  EXPECT_NE(error.find("weights.sha256"), std::string::npos) << error;
}

TEST(EncoderFile, RefusesFilesThatAreMissing) {
  const Written written("missing");
  EXPECT_THROW((void)read_encoder(written.folder.path() / "no", written.card), DataError);
  EXPECT_THROW((void)read_encoder(written.weights, written.folder.path() / "no"), DataError);
  EXPECT_THROW((void)read_encoder(written.weights, written.folder.path()), DataError);
  EXPECT_THROW((void)read_encoder(written.weights, "/dev/zero"), DataError);
}

TEST(EncoderFile, RefusesToDescribeAnotherEncoder) {
  const Written written("other");
  auto card = card_of(*written.encoder, written.spec);
  card.feature_dim += 1;
  EXPECT_THROW(write_encoder(*written.encoder, card, written.weights, written.card),
               ContractViolation);
}

// A change to one key of a good card, and the key to be named.
struct Breakage {
  std::string pointer;
  ordered_json value;
  std::string named;
};

std::vector<Breakage> breakages() {
  std::vector<Breakage> all;
  const auto add = [&all](const std::string& key, const std::vector<ordered_json>& values) {
    std::string pointer = "/" + key;
    std::replace(pointer.begin(), pointer.end(), '.', '/');
    for (const auto& value : values) {
      all.push_back({pointer, value, key});
    }
  };
  const ordered_json object = ordered_json::object();
  const ordered_json list = ordered_json::array();
  add("schema", {0, 2, "1", nullptr, 1.0});
  add("architecture.name", {"resnet19", "", 18, nullptr, list});
  add("architecture.width",
      {0, -4, 4.0, 1025, 1024, "4", nullptr, 9223372036854775807, 18446744073709551615U, 1e30});
  add("architecture.stem", {"auto", "", 3, nullptr});
  add("architecture.in_channels", {0, -1, 4097, 18446744073709551615U, 3.5, "3"});
  add("architecture.feature_dim", {0, 31, 33, -1, 9223372036854775807, "32"});
  add("architecture.zero_init_residual", {0, "false", nullptr});
  add("input.size", {0, -8, 8.5, 65537, 18446744073709551615U, true});
  add("input.bands", {0, 1, 4, 2.5, list});
  add("input.mean", {0.5,
                     list,
                     {0.1, 0.2},
                     {0.1, 0.2, 0.3, 0.4},
                     {0.1, "0.2", 0.3},
                     {0.1, 1e200, 0.3},
                     {0.1, nullptr, 0.3}});
  add("input.std",
      {0.5, list, {0.1, 0.2}, {0.1, 0.0, 0.3}, {0.1, -0.2, 0.3}, {0.1, 1e-300, 0.3}, object});
  add("method", {1, nullptr, list});
  add("epochs", {-1, 1.5, "20", 18446744073709551615U});
  add("seed", {-1, 0.5, "1"});
  add("data_fingerprint", {1, nullptr});
  add("version", {1, object});
  add("weights.sha256", {1, nullptr});
  return all;
}

TEST(EncoderFile, NamesTheKeyThatIsWrong) {
  const Written written("broken");
  const auto good = written.content();
  const auto all = breakages();
  EXPECT_GE(all.size(), 40U);
  for (const auto& [pointer, value, named] : all) {
    SCOPED_TRACE(pointer + " = " + value.dump());
    auto content = good;
    content[ordered_json::json_pointer(pointer)] = value;
    write_file_atomically(written.card, content.dump());
    const auto error = reading_error(written);
    EXPECT_NE(error.find("card.json"), std::string::npos) << error;
    EXPECT_NE(error.find("\"" + named + "\""), std::string::npos) << error;
  }
}

TEST(EncoderFile, NamesTheKeyThatIsMissing) {
  const Written written("absent");
  const auto good = written.content();
  const auto flat = good.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    std::string key = pointer.substr(1);
    std::replace(key.begin(), key.end(), '/', '.');
    if (key == "input.pixels" || key == "weights.file" || key == "results") {
      continue;  // said to readers, not read
    }
    SCOPED_TRACE(key);
    auto content = good;
    const ordered_json::json_pointer place(pointer);
    if (good[place.parent_pointer()].is_array()) {
      content[place.parent_pointer()].erase(0);
      key = key.substr(0, key.rfind('.'));
    } else {
      content[place.parent_pointer()].erase(place.back());
    }
    write_file_atomically(written.card, content.dump());
    EXPECT_NE(reading_error(written).find("\"" + key + "\""), std::string::npos)
        << reading_error(written);
  }
}

TEST(EncoderFile, RefusesCardsThatAreNoObjects) {
  const Written written("text");
  const auto good = read_text_file(written.card);
  const std::vector<std::string> texts{"",
                                       "{",
                                       "[]",
                                       "1",
                                       "null",
                                       "{}",
                                       "\xff\xfe",
                                       std::string(1 << 21, ' '),
                                       std::string(100000, '['),
                                       "{\"schema\": 1, \"method\": " + std::string(50000, '['),
                                       good.substr(0, good.size() / 2),
                                       good + good};
  for (const auto& text : texts) {
    SCOPED_TRACE(text.substr(0, 40));
    write_file_atomically(written.card, text);
    const auto error = reading_error(written);
    EXPECT_NE(error.find("card.json"), std::string::npos) << error;
  }
}

TEST(EncoderFile, NamesTheTensorThatDoesNotFitTheCard) {
  const Written written("width");
  auto content = written.content();
  content["architecture"]["width"] = 5;
  write_file_atomically(written.card, content.dump());
  const auto error = reading_error(written);
  EXPECT_NE(error.find("encoder.safetensors: tensor 'conv1.weight'"), std::string::npos) << error;
}

TEST(EncoderFile, TakesNoMemoryForANetworkThatTheFileCannotFill) {
  const Written written("huge");
  auto content = written.content();
  content["architecture"]["name"] = "resnet50";
  content["architecture"]["width"] = 1024;  // 24 GB
  write_file_atomically(written.card, content.dump());
  const auto error = reading_error(written);
  EXPECT_NE(error.find("\"architecture.width\""), std::string::npos) << error;
}

TEST(CardResults, AreAddedAndReplacedByName) {
  const Written written("results");
  EvaluationResult result;
  result.numbers = {{"accuracy", 0.25}, {"train_accuracy", 0.5}};
  result.protocol = "once";
  add_result_to_card(written.card, "knn", result);
  add_result_to_card(written.card, "linear", result);
  result.numbers = {{"accuracy", 0.75}};
  result.protocol = "twice";
  add_result_to_card(written.card, "knn", result);
  const auto results = written.content()["results"];
  EXPECT_EQ(results["knn"], ordered_json::parse(R"({"numbers": {"accuracy": 0.75},
                                                    "protocol": "twice"})"));
  EXPECT_EQ(results["linear"]["numbers"]["train_accuracy"], 0.5);
  EXPECT_EQ(reading_error(written), "");
}

TEST(CardResults, LeaveTheRestOfTheCardAsItIs) {
  const Written written("rest");
  auto before = written.content();
  before["note"] = "by hand";
  write_file_atomically(written.card, before.dump());
  add_result_to_card(written.card, "knn",
                     {.numbers = {{"accuracy", 1.0}}, .protocol = "p", .confusion = {}});
  auto after = written.content();
  after["results"] = ordered_json::object();
  EXPECT_EQ(after, before);
}

TEST(CardResults, AreRefusedByABrokenCard) {
  const Written written("refused");
  write_file_atomically(written.card, R"({"schema": 1, "results": []})");
  EXPECT_THROW(add_result_to_card(written.card, "knn", {}), DataError);
  write_file_atomically(written.card, R"({"schema": 1})");
  EXPECT_THROW(add_result_to_card(written.card, "knn", {}), DataError);
}

TEST(TorchScript, GivesTheFeaturesOfTheEncoderForAnyNumberOfImages) {
  const torch::NoGradGuard no_grad;
  using Shape = std::pair<const char*, const char*>;
  for (const auto& [name, stem] :
       {Shape{"resnet18", "cifar"}, Shape{"resnet10", "half"}, Shape{"resnet50", "imagenet"}}) {
    SCOPED_TRACE(name);
    auto spec = small_spec(2);
    spec.name = name;
    spec.stem = stem;
    spec.input_size = 16;
    const Written written("script", spec);
    const auto path = written.folder.path() / "encoder.pt";
    write_torchscript(*written.encoder, card_of(*written.encoder, spec), path);
    auto script = torch::jit::load(path.string());
    for (const std::int64_t n : {1, 2, 7}) {
      const auto x = input(spec, n);
      EXPECT_TRUE(script.forward({x}).toTensor().allclose(written.encoder->forward(x), 1e-4, 1e-5));
    }
  }
}

TEST(TorchScript, HasTheNamesAndValuesOfTheEncoder) {
  const Written written("names");
  const auto path = written.folder.path() / "encoder.pt";
  write_torchscript(*written.encoder, card_of(*written.encoder, written.spec), path);
  const auto script = torch::jit::load(path.string());
  std::map<std::string, at::Tensor> found;
  for (const auto& item : script.named_parameters()) {
    found[item.name] = item.value;
  }
  EXPECT_EQ(found.size(), written.encoder->parameters().size());
  for (const auto& item : script.named_buffers()) {
    found[item.name] = item.value;
  }
  const auto state = module_state(*written.encoder);
  EXPECT_EQ(found.size(), state.size());
  for (const auto& item : state) {
    ASSERT_TRUE(found.contains(item.name)) << item.name;
    EXPECT_TRUE(found[item.name].equal(item.tensor)) << item.name;
  }
}

// The weights in the file are used, not copies of them inside the graph.
TEST(TorchScript, FollowsItsParameters) {
  const torch::NoGradGuard no_grad;
  const Written written("follows");
  const auto path = written.folder.path() / "encoder.pt";
  write_torchscript(*written.encoder, card_of(*written.encoder, written.spec), path);
  auto script = torch::jit::load(path.string());
  for (auto parameter : script.parameters()) {
    parameter.zero_();
  }
  EXPECT_TRUE(script.forward({input(written.spec, 2)}).toTensor().eq(0.0).all().item<bool>());
}

TEST(TorchScript, LeavesTheModeOfTheEncoder) {
  const Written written("mode");
  written.encoder->train();
  write_torchscript(*written.encoder, card_of(*written.encoder, written.spec),
                    written.folder.path() / "encoder.pt");
  EXPECT_TRUE(written.encoder->is_training());
}

/// Writes the size of the batch into its features.
class CountingEncoder final : public Encoder {
 public:
  at::Tensor forward(const at::Tensor& x) override {
    return x.flatten(1).narrow(1, 0, 2) * static_cast<double>(x.size(0));
  }
  [[nodiscard]] std::int64_t feature_dim() const override { return 2; }
};

TEST(TorchScript, RefusesAnEncoderThatCannotBeTraced) {
  const TestFolder folder("untraceable");
  const auto encoder = std::make_shared<CountingEncoder>();
  EXPECT_THROW(
      write_torchscript(*encoder, card_of(*encoder, small_spec()), folder.path() / "encoder.pt"),
      ContractViolation);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "encoder.pt"));
}

}  // namespace
}  // namespace viewfold
