// Tests of the reader of PyTorch checkpoints: what was saved comes back, nothing is run, and what
// is broken or lies is refused.
#include "viewfold/nn/pytorch_archive.hpp"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <tuple>
#include <utility>
#include <vector>

#include "core/test_folder.hpp"
#include "nn/pytorch_archive_writer.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"

namespace viewfold {
namespace {

using testing::ByteVector;
using testing::raw;
using testing::zip_checkpoint;
namespace pickle = testing::pickle;

using Floats = std::vector<float>;

PytorchArchive parse(const ByteVector& bytes) {
  return PytorchArchive::parse(bytes, "net.pt");
}

// Why the bytes are refused; "" where they are not.
std::string refusal(const ByteVector& bytes) {
  try {
    const auto archive = parse(bytes);
    for (std::size_t i = 0; i < archive.tensors().size(); ++i) {
      (void)archive.read(i);
    }
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

template <class Number>
std::vector<Number> values(const PytorchArchive& archive, std::size_t index) {
  const auto bytes = archive.read(index);
  std::vector<Number> numbers(bytes.size() / sizeof(Number));
  if (!bytes.empty()) {
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
  }
  return numbers;
}

std::vector<std::string> names(const PytorchArchive& archive) {
  std::vector<std::string> all;
  for (const auto& tensor : archive.tensors()) {
    all.push_back(tensor.name);
  }
  return all;
}

std::map<std::string, std::string> scalars(const PytorchArchive& archive) {
  std::map<std::string, std::string> all;
  for (const auto& scalar : archive.scalars()) {
    all[scalar.name] = scalar.value;
  }
  return all;
}

// {"epoch": 3, "state_dict": {"w": [[1, 2, 3], [4, 5, 6]], "t": the same transposed}}
ByteVector sample() {
  const std::string storage = pickle::storage("FloatStorage", "0", 6);
  const std::string weights = pickle::dict({{"w", pickle::tensor(storage, {2, 3}, {3, 1})},
                                            {"t", pickle::tensor(storage, {3, 2}, {1, 3})}});
  return zip_checkpoint(pickle::dict({{"epoch", pickle::number(3)}, {"state_dict", weights}}),
                        {{"0", raw(Floats{1, 2, 3, 4, 5, 6})}});
}

// A checkpoint of one tensor over a storage of six floats.
ByteVector with_tensor(const std::string& tensor) {
  return zip_checkpoint(pickle::dict({{"w", tensor}}), {{"0", raw(Floats{1, 2, 3, 4, 5, 6})}});
}

ByteVector with_place(const std::vector<std::int64_t>& shape,
                      const std::vector<std::int64_t>& strides,
                      std::int64_t offset = 0,
                      std::int64_t count = 6) {
  return with_tensor(
      pickle::tensor(pickle::storage("FloatStorage", "0", count), shape, strides, offset));
}

TEST(PytorchArchive, GivesBackNamesShapesValuesAndScalars) {
  const auto archive = parse(sample());
  EXPECT_EQ(archive.format(), PytorchFormat::kZip);
  EXPECT_EQ(names(archive), (std::vector<std::string>{"state_dict.w", "state_dict.t"}));
  EXPECT_EQ(archive.tensors()[1].shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_EQ(archive.tensors()[1].strides, (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(archive.tensors()[0].type, PytorchType::kFloat32);
  EXPECT_EQ(archive.tensors()[0].type_name, "float32");
  EXPECT_EQ(values<float>(archive, 0), (Floats{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values<float>(archive, 1), (Floats{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(scalars(archive), (std::map<std::string, std::string>{{"epoch", "3"}}));
}

TEST(PytorchArchive, ReadsEveryElementType) {
  const std::vector<std::tuple<std::string, PytorchType, std::size_t>> types{
      {"DoubleStorage", PytorchType::kFloat64, 8}, {"FloatStorage", PytorchType::kFloat32, 4},
      {"HalfStorage", PytorchType::kFloat16, 2},   {"BFloat16Storage", PytorchType::kBfloat16, 2},
      {"LongStorage", PytorchType::kInt64, 8},     {"IntStorage", PytorchType::kInt32, 4},
      {"ShortStorage", PytorchType::kInt16, 2},    {"CharStorage", PytorchType::kInt8, 1},
      {"ByteStorage", PytorchType::kUint8, 1},     {"BoolStorage", PytorchType::kBool, 1}};
  for (const auto& [storage, type, size] : types) {
    std::string bytes(3 * size, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(type == PytorchType::kBool ? i % 2 : 37 * i + 1);
    }
    const auto archive = parse(
        zip_checkpoint(pickle::tensor(pickle::storage(storage, "k", 3), {3}, {1}), {{"k", bytes}}));
    ASSERT_EQ(archive.tensors().size(), 1U) << storage;
    EXPECT_EQ(archive.tensors()[0].type, type) << storage;
    EXPECT_EQ(size_of(type), size) << storage;
    EXPECT_EQ(archive.read(0), testing::to_bytes(bytes)) << storage;
  }
}

TEST(PytorchArchive, CopiesStridedTensorsAsTheyAreIndexed) {
  const Floats data{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const std::vector<std::tuple<std::vector<std::int64_t>, std::vector<std::int64_t>, std::int64_t>>
      places{{{2, 3, 2}, {6, 2, 1}, 0},   {{2, 3, 2}, {1, 4, 2}, 0},
             {{2, 1, 3}, {5, 999, 2}, 1}, {{}, {}, 11},
             {{3, 2}, {1, 0}, 4},         {{0, 5}, {5, 1}, 0},
             {{1, 1}, {1 << 30, 7}, 2}};
  for (const auto& [shape, strides, offset] : places) {
    Floats expected;
    const auto at = [&](std::size_t d) { return d < shape.size() ? shape[d] : 1; };
    for (std::int64_t i = 0; i < at(0); ++i) {
      for (std::int64_t j = 0; j < at(1); ++j) {
        for (std::int64_t k = 0; k < at(2); ++k) {
          std::int64_t place = offset;
          const std::vector<std::int64_t> index{i, j, k};
          for (std::size_t d = 0; d < shape.size(); ++d) {
            place += index[d] * strides[d];
          }
          expected.push_back(data[static_cast<std::size_t>(place)]);
        }
      }
    }
    const auto archive = parse(zip_checkpoint(
        pickle::tensor(pickle::storage("FloatStorage", "0", 12), shape, strides, offset),
        {{"0", raw(data)}}));
    EXPECT_EQ(values<float>(archive, 0), expected) << fmt::format("{}", fmt::join(shape, ", "));
  }
}

TEST(PytorchArchive, ReadsArchivesOfAnyFolderNameAndOf64BitNumbers) {
  const std::string tensor = pickle::float_tensor("0", {2});
  for (const auto kind : {testing::ZipNumbers::k32, testing::ZipNumbers::k64}) {
    const auto files = testing::checkpoint_files(tensor, {{"0", raw(Floats{7, 8})}}, "my net (1)");
    const auto archive = parse(testing::to_bytes(testing::zip_of(files, kind)));
    EXPECT_EQ(values<float>(archive, 0), (Floats{7, 8}));
  }
}

TEST(PytorchArchive, FindsTheDirectoryBeforeAComment) {
  auto text = testing::zip_of(
      testing::checkpoint_files(pickle::float_tensor("0", {2}), {{"0", raw(Floats{7, 8})}}));
  text.replace(text.size() - 2, 2, testing::little(5, 2));
  EXPECT_EQ(values<float>(parse(testing::to_bytes(text + "hello")), 0), (Floats{7, 8}));
}

TEST(PytorchArchive, ReadsTheLegacyFormatWithPartsOfStorages) {
  const std::string part =
      pickle::tuple({pickle::text("part"), pickle::number(1), pickle::number(2)});
  const auto archive = parse(testing::legacy_checkpoint(
      pickle::dict(
          {{"w", pickle::float_tensor("140", {2, 2})},
           {"part", pickle::tensor(pickle::storage("LongStorage", "7", 4, part), {2}, {1})},
           {"all",
            pickle::tensor(pickle::storage("LongStorage", "7", 4, pickle::none()), {4}, {1})}}),
      {{"7", 4, raw(std::vector<std::int64_t>{5, 6, 7, 8})}, {"140", 4, raw(Floats{1, 2, 3, 4})}}));
  EXPECT_EQ(archive.format(), PytorchFormat::kLegacy);
  EXPECT_EQ(names(archive), (std::vector<std::string>{"w", "part", "all"}));
  EXPECT_EQ(values<float>(archive, 0), (Floats{1, 2, 3, 4}));
  EXPECT_EQ(values<std::int64_t>(archive, 1), (std::vector<std::int64_t>{6, 7}));
  EXPECT_EQ(values<std::int64_t>(archive, 2), (std::vector<std::int64_t>{5, 6, 7, 8}));
}

TEST(PytorchArchive, RefusesLegacyFilesThatLie) {
  const std::string object = pickle::dict({{"w", pickle::float_tensor("0", {2})}});
  const auto data = raw(Floats{1, 2});
  EXPECT_EQ(refusal(testing::legacy_checkpoint(object, {{"0", 2, data}})), "");
  EXPECT_NE(refusal(testing::legacy_checkpoint(object, {{"0", 3, data}})), "");
  EXPECT_NE(refusal(testing::legacy_checkpoint(object, {{"0", 2, data.substr(1)}})), "");
  EXPECT_NE(refusal(testing::legacy_checkpoint(object, {})), "");
  EXPECT_NE(refusal(testing::legacy_checkpoint(object, {{"1", 2, data}})), "");
  EXPECT_NE(refusal(testing::legacy_checkpoint(object, {{"0", 2, data}, {"0", 2, data}})), "");
  EXPECT_NE(refusal(testing::legacy_checkpoint(object, {{"0", 2, data}}, false)).find("big"),
            std::string::npos);
  const std::string outside =
      pickle::tuple({pickle::text("part"), pickle::number(1), pickle::number(2)});
  EXPECT_NE(refusal(testing::legacy_checkpoint(
                pickle::tensor(pickle::storage("FloatStorage", "0", 2, outside), {1}, {1}),
                {{"0", 2, data}})),
            "");
}

TEST(PytorchArchive, ReadsAttributesOfTorchScriptAndPartsOfModules) {
  const std::string conv = pickle::object("__torch__.torch.nn.modules.conv", "___torch_mangle_0",
                                          {{"weight", pickle::float_tensor("0", {2})}});
  auto files = testing::checkpoint_files(
      pickle::object("__torch__", "Net", {{"training", "\x89"}, {"conv1", conv}}),
      {{"0", raw(Floats{1, 2})}});
  files.push_back({"archive/code/__torch__.py", "import os; os.abort()", 8});
  files.push_back({"archive/constants.pkl", pickle::program(")")});
  const auto script = parse(testing::to_bytes(testing::zip_of(files)));
  EXPECT_EQ(script.format(), PytorchFormat::kTorchScript);
  EXPECT_EQ(names(script), (std::vector<std::string>{"conv1.weight"}));

  const std::string norm = pickle::object(
      "torch.nn.modules.batchnorm", "BatchNorm2d",
      {{"training", "\x88"},
       {"_parameters", pickle::dict({{"weight", pickle::float_tensor("0", {2})}})},
       {"_buffers", pickle::dict({{"running_mean", pickle::float_tensor("1", {2})}})}});
  const auto module =
      parse(zip_checkpoint(pickle::object("torchvision.models.resnet", "ResNet",
                                          {{"_modules", pickle::dict({{"bn1", norm}})}}),
                           {{"0", raw(Floats{1, 2})}, {"1", raw(Floats{3, 4})}}));
  EXPECT_EQ(names(module), (std::vector<std::string>{"bn1.weight", "bn1.running_mean"}));
}

TEST(PytorchArchive, LooksThroughParametersListsAndSettings) {
  const std::string tensor = pickle::float_tensor("0", {2});
  const std::string parameter = pickle::call(pickle::global("torch._utils", "_rebuild_parameter"),
                                             {tensor, "\x88", pickle::none()});
  const std::string typed = pickle::call(
      pickle::global("torch._utils", "_rebuild_tensor_v3"),
      {pickle::storage("UntypedStorage", "1", 8), pickle::number(0), pickle::numbers({4}),
       pickle::numbers({1}), "\x89", pickle::none(), pickle::global("torch", "float16")});
  const auto archive = parse(zip_checkpoint(
      pickle::dict({{"args", pickle::object("argparse", "Namespace",
                                            {{"arch", pickle::text("resnet18")},
                                             {"lr", "G?\xd0" + std::string(6, '\0')}})},
                    {"optimizer", pickle::object("torch.optim.sgd", "SGD", {{"state", "}"}})},
                    {"model", pickle::list({parameter, pickle::tuple({typed})})}}),
      {{"0", raw(Floats{1, 2})}, {"1", std::string(8, '\1')}}));
  EXPECT_EQ(names(archive), (std::vector<std::string>{"model.0", "model.1.0"}));
  EXPECT_EQ(archive.tensors()[1].type, PytorchType::kFloat16);
  EXPECT_EQ(scalars(archive),
            (std::map<std::string, std::string>{{"args.arch", "resnet18"}, {"args.lr", "0.25"}}));
}

TEST(PytorchArchive, RefusesClassesThatNoCheckpointNeedsAndRunsNothing) {
  const TestFolder folder("nothing_is_run");
  const auto proof = folder.path() / "was_run";
  const std::string command = pickle::text("touch " + proof.string());
  const std::vector<std::pair<std::string, std::string>> attacks{
      {"posix.system", pickle::call(pickle::global("posix", "system"), {command})},
      {"os.system", "(" + command + "ios\nsystem\n"},
      {"nt.system", "(" + pickle::global("nt", "system") + command + "o"},
      {"builtins.eval", pickle::call(pickle::global("__builtin__", "eval"), {command})},
      {"subprocess.Popen", pickle::global("subprocess", "Popen") + ")\x81"},
      {"posix.system", pickle::text("posix") + pickle::text("system") + "\x93" + ")R"},
      {"builtins.getattr", pickle::global("builtins", "getattr")},
      {"torch.nn.functional.os.system",
       pickle::text("torch.nn") + pickle::text("functional.os.system") + "\x93"},
      {"torch.hub.load", pickle::global("torch.hub", "load")},
      {"torchvision_evil.run", pickle::global("torchvision_evil", "run")},
      {"torch._utils.os", pickle::global("torch._utils", "os")},
      {"__main__.Net", pickle::global("__main__", "Net")}};
  for (const auto& [name, attack] : attacks) {
    for (const auto& bytes : {zip_checkpoint(pickle::dict({{"x", attack}}), {}),
                              testing::legacy_checkpoint(pickle::dict({{"x", attack}}), {})}) {
      const std::string reason = refusal(bytes);
      EXPECT_NE(reason.find("net.pt: mentions '"), std::string::npos) << name << ": " << reason;
      EXPECT_NE(reason.find("it was not run"), std::string::npos) << name << ": " << reason;
      EXPECT_NE(reason.find(name.substr(name.rfind('.') + 1)), std::string::npos) << reason;
    }
  }
  EXPECT_FALSE(std::filesystem::exists(proof));
}

TEST(PytorchArchive, RefusesShapesStridesAndOffsetsThatLeaveTheStorage) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  EXPECT_EQ(refusal(with_place({6}, {1})), "");
  EXPECT_EQ(refusal(with_place({1, 2}, {kHuge, 1}, 4)), "");
  EXPECT_EQ(refusal(with_place({kHuge, 0, kHuge}, {kHuge, kHuge, 1})), "");
  for (const auto& lie :
       {with_place({7}, {1}), with_place({6}, {1}, 1), with_place({2, 3}, {4, 1}),
        with_place({2}, {6}), with_place({2}, {kHuge}), with_place({5, 5}, {kHuge, kHuge}),
        with_place({kHuge}, {8}), with_place({1}, {1}, kHuge), with_place({1}, {1}, -1),
        with_place({-1}, {1}), with_place({2}, {-1}, 1), with_place({2, 3}, {1}),
        with_place({6}, {1}, 0, 7), with_place({1}, {1}, 0, kHuge), with_place({1}, {1}, 0, -6),
        with_place({kHuge}, {0}), with_place({1 << 20, 1 << 20}, {0, 0}),
        with_place(std::vector<std::int64_t>(17, 1), std::vector<std::int64_t>(17, 1))}) {
    EXPECT_NE(refusal(lie), "");
  }
}

TEST(PytorchArchive, RefusesArchivesThatLie) {
  const std::string tensor = pickle::float_tensor("0", {2});
  const auto data = raw(Floats{1, 2});
  const auto whole = testing::checkpoint_files(tensor, {{"0", data}});
  const auto refuses = [](const std::vector<testing::ZipFile>& files, const std::string& word) {
    const std::string reason = refusal(testing::to_bytes(testing::zip_of(files)));
    return reason.find(word) != std::string::npos;
  };
  auto files = whole;
  files[0].method = 8;
  EXPECT_TRUE(refuses(files, "compressed"));
  files = whole;
  files[2].method = 8;
  EXPECT_TRUE(refuses(files, "compressed"));
  files = whole;
  files[1].content = "big";
  EXPECT_TRUE(refuses(files, "byte order 'big'"));
  files = whole;
  files[2].content.pop_back();
  EXPECT_TRUE(refuses(files, "storage '0' is said to have 8 bytes"));
  files = whole;
  files[2].name = "archive/data/1";
  EXPECT_TRUE(refuses(files, "storage '0' is missing"));
  files.push_back(files[2]);
  EXPECT_TRUE(refuses(files, "one name"));
  files = whole;
  files.push_back({"other/data.pkl", "."});
  EXPECT_TRUE(refuses(files, "two files data.pkl"));
  EXPECT_TRUE(refuses({{"archive/model.json", "{}"}}, "no data.pkl"));
}

TEST(PytorchArchive, NoticesDamageByChecksumsWhereThereAreAny) {
  const std::string tensor = pickle::float_tensor("0", {2});
  auto files = testing::checkpoint_files(tensor, {{"0", raw(Floats{1, 2})}});
  const auto damaged = [&files] {
    auto text = testing::zip_of(files);
    text[text.find(raw(Floats{1, 2}))] = '\x55';
    return testing::to_bytes(text);
  };
  EXPECT_NE(refusal(damaged()).find("checksum"), std::string::npos);
  files[2].has_checksum = false;
  EXPECT_EQ(refusal(damaged()), "");
}

TEST(PytorchArchive, SaysWhatOtherFilesAre) {
  const auto says = [](const std::string& bytes, const std::string& word) {
    return refusal(testing::to_bytes(bytes)).find(word) != std::string::npos;
  };
  EXPECT_TRUE(says("", "neither as a zip archive nor as a pickle"));
  EXPECT_TRUE(says("<html>", "neither"));
  EXPECT_TRUE(says("version https://git-lfs.github.com/spec/v1\noid", "Git LFS"));
  EXPECT_TRUE(says(pickle::program("}"), "not one of torch.save()"));
  EXPECT_TRUE(says(std::string(257, 'x') + "ustar", "tar archive"));
  EXPECT_THROW((void)PytorchArchive::open("/nonexistent/net.pt"), DataError);
  EXPECT_THROW((void)PytorchArchive::open("/"), DataError);
}

TEST(PytorchArchive, ReadsWhatRefersToItself) {
  // d = {}; d["self"] = d; d["list"] = [d]; d["w"] = tensor
  const std::string self = "}q\1(" + pickle::text("self") + "h\1" + pickle::text("list") +
                           "](h\1e" + pickle::text("w") + pickle::float_tensor("0", {1}) + "u";
  const auto archive = parse(zip_checkpoint(self, {{"0", raw(Floats{1})}}));
  EXPECT_EQ(names(archive), (std::vector<std::string>{"w"}));
  // An object whose state is itself, and a tuple of a list of itself.
  EXPECT_EQ(refusal(zip_checkpoint(pickle::global("argparse", "Namespace") + ")\x81q\1h\1b", {})),
            "");
  EXPECT_EQ(refusal(zip_checkpoint("]q\1(h\1ta", {})), "");
}

// A dictionary of n levels, each holding the next one twice: 2^n paths lead to its tensor.
std::string doubling(int levels, const std::string& innermost) {
  std::string value = innermost;
  for (int i = 0; i < levels; ++i) {
    const auto memo = testing::little(static_cast<std::uint64_t>(i), 4);
    value +=
        "r" + memo + "0}(" + pickle::text("a") + "j" + memo + pickle::text("b") + "j" + memo + "u";
  }
  return value;
}

TEST(PytorchArchive, BoundsDepthAndSharedParts) {
  EXPECT_EQ(
      parse(zip_checkpoint(doubling(5, pickle::float_tensor("0", {1})), {{"0", raw(Floats{1})}}))
          .tensors()
          .size(),
      32U);
  EXPECT_NE(refusal(zip_checkpoint(doubling(50, pickle::float_tensor("0", {1})),
                                   {{"0", raw(Floats{1})}})),
            "");
  EXPECT_NE(refusal(zip_checkpoint(doubling(50, "}"), {})), "");
  const std::string deep = std::string(50'000, ']') + std::string(49'999, 'a');
  EXPECT_NE(refusal(zip_checkpoint(deep, {})).find("nested too deep"), std::string::npos);
  EXPECT_NE(refusal(zip_checkpoint(std::string(100'000, '('), {})).find("nested too deep"),
            std::string::npos);
}

TEST(PytorchArchive, RefusesBrokenPickles) {
  for (const std::string& broken :
       {std::string("0"),
        std::string("a"),
        std::string("t"),
        std::string("u"),
        std::string("h\5"),
        std::string("R"),
        std::string("}R"),
        std::string("(K\1u"),
        std::string("N)a"),
        std::string("}(K\1ud"),
        std::string("\x80\x06N"),
        std::string("\xff"),
        std::string("Q"),
        std::string("NQ"),
        std::string("X\xff\xff\xff\x7f"),
        "\x8d" + std::string(8, '\xff'),
        std::string("I1x\n"),
        std::string("Fx\n"),
        std::string("S'\n"),
        std::string("cposix"),
        pickle::text("torch") + "N\x93",
        "\x95" + std::string(8, '\xff'),
        std::string("(o"),
        std::string("\x82\1"),
        pickle::call(pickle::global("torch._utils", "_rebuild_tensor"), {}),
        pickle::storage("WideStorage", "0", 1),
        pickle::global("torch", "Size") + "NR"}) {
    EXPECT_NE(refusal(zip_checkpoint(broken, {})), "") << fmt::format("{:?>4}", broken.size());
  }
}

TEST(PytorchArchive, ReadsPicklesOfEveryProtocol) {
  const std::string storage_0 = "(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nL2L\ntp7\nQ";
  const std::string tensor_0 =
      "ctorch._utils\n_rebuild_tensor\n(" + storage_0 + "I0\n(I2\ntp1\n(I1\nttR";
  const std::string protocol_0 = "(dp0\nVw\n" + tensor_0 + "sVon\nI01\nsVx\nF0.5\ns(lp9\n0";
  const std::string short_text = std::string("\x8c\1") + "n";
  const std::string protocol_4 = std::string("\x95") + testing::little(3, 8) + "}\x94(" +
                                 short_text + "\x8c\5torch\x94\x8c\4Size\x94\x93K\2K\3\x86\x85R" +
                                 "\x8c\1b" + "C\2hi" + "\x8c\1s" + "\x8f(K\1\x90" + "\x8c\1m" +
                                 "\x8a\1\xff" + "u";
  const auto archive = parse(zip_checkpoint(protocol_0, {{"0", raw(Floats{1, 2})}}));
  EXPECT_EQ(values<float>(archive, 0), (Floats{1, 2}));
  EXPECT_EQ(scalars(archive), (std::map<std::string, std::string>{{"on", "True"}, {"x", "0.5"}}));
  const auto modern = scalars(parse(zip_checkpoint(protocol_4, {})));
  EXPECT_EQ(modern.at("m"), "-1");
}

TEST(PytorchArchive, NeverCrashesOnTruncatedFiles) {
  const std::string object = pickle::dict({{"w", pickle::float_tensor("0", {2})}});
  for (const auto& whole :
       {sample(), testing::legacy_checkpoint(object, {{"0", 2, raw(Floats{1, 2})}})}) {
    ASSERT_EQ(refusal(whole), "");
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const ByteVector cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_NE(refusal(cut), "") << size;
    }
  }
}

TEST(PytorchArchive, NeverCrashesOnAnyFlippedBitAndRarelyBelievesIt) {
  const std::string object = pickle::dict({{"w", pickle::float_tensor("0", {2})}});
  for (const auto& whole :
       {sample(), testing::legacy_checkpoint(object, {{"0", 2, raw(Floats{1, 2})}})}) {
    std::size_t refused = 0;
    for (std::size_t i = 0; i < 8 * whole.size(); ++i) {
      auto bytes = whole;
      bytes[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
      refused += refusal(bytes).empty() ? 0U : 1U;
    }
    EXPECT_GT(refused, whole.size());  // an eighth at least: most bytes matter
  }
}

// The exit code of a Python program, whose output goes to the test's.
int run_python(const std::filesystem::path& script) {
  const std::string command = "/usr/bin/python3 " + script.string();
  const int status = std::system(command.c_str());  // NOLINT(cert-env33-c): a fixed command
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr const char* kSaveAll = R"(
import argparse, collections, os, sys
try:
    import torch
except ImportError:
    sys.exit(77)
folder = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(1)
net = torch.nn.Sequential(collections.OrderedDict(
    conv=torch.nn.Conv2d(2, 3, 1, bias=False), norm=torch.nn.BatchNorm2d(3)))
with torch.no_grad():
    net.conv.weight.copy_(torch.arange(6.).reshape(3, 2, 1, 1))
optimizer = torch.optim.SGD(net.parameters(), 0.5, momentum=0.9)
net(torch.ones(2, 2, 1, 1)).square().sum().backward()
optimizer.step()
with torch.no_grad():
    net.conv.weight.copy_(torch.arange(6.).reshape(3, 2, 1, 1))
checkpoint = {
    "epoch": 7, "arch": "tiny", "args": argparse.Namespace(lr=0.5), "state_dict": net.state_dict(),
    "optimizer": optimizer.state_dict(), "half": torch.arange(4.).half().reshape(2, 2).t(),
    "scalar": torch.tensor(2.5, dtype=torch.float64), "flags": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3), "complex": torch.zeros(2, dtype=torch.complex64),
    "bfloat16": torch.ones(3, dtype=torch.bfloat16), "steps": torch.tensor([1, 2])[1:]}
torch.save(checkpoint, folder + "/zip.pt")
torch.save(checkpoint, folder + "/legacy.pt", _use_new_zipfile_serialization=False)
torch.save(checkpoint, folder + "/protocol4.pt", pickle_protocol=4)
torch.save(net, folder + "/module.pt")
torch.save(net, folder + "/legacy_module.pt", _use_new_zipfile_serialization=False)
torch.jit.script(net.eval()).save(folder + "/script.pt")
class Attack:
    def __reduce__(self):
        return os.system, ("touch " + folder + "/was_run",)
torch.save({"w": torch.zeros(1), "x": Attack()}, folder + "/attack.pt")
)";

void expect_checkpoint(const std::filesystem::path& path) {
  const auto archive = PytorchArchive::open(path);
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < archive.tensors().size(); ++i) {
    places[archive.tensors()[i].name] = i;
  }
  const auto at = [&](const std::string& name) { return places.at(name); };
  EXPECT_EQ(values<float>(archive, at("state_dict.conv.weight")), (Floats{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<std::int64_t>(archive, at("state_dict.norm.num_batches_tracked")),
            (std::vector<std::int64_t>{1}));
  EXPECT_TRUE(places.contains("optimizer.state.0.momentum_buffer"));
  EXPECT_EQ(values<std::uint16_t>(archive, at("half")),
            (std::vector<std::uint16_t>{0x0000, 0x4000, 0x3c00, 0x4200}));  // 0, 2, 1, 3
  EXPECT_EQ(values<double>(archive, at("scalar")), (std::vector<double>{2.5}));
  EXPECT_EQ(archive.read(at("flags")), (ByteVector{std::byte{1}, std::byte{0}}));
  EXPECT_EQ(archive.tensors()[at("empty")].shape, (std::vector<std::int64_t>{0, 3}));
  EXPECT_TRUE(archive.read(at("empty")).empty());
  EXPECT_EQ(values<std::uint16_t>(archive, at("bfloat16")),
            (std::vector<std::uint16_t>(3, 0x3f80)));
  EXPECT_EQ(values<std::int64_t>(archive, at("steps")), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(archive.tensors()[at("complex")].type, PytorchType::kOther);
  EXPECT_THROW((void)archive.read(at("complex")), DataError);
  EXPECT_EQ(scalars(archive).at("epoch"), "7");
  EXPECT_EQ(scalars(archive).at("arch"), "tiny");
  EXPECT_EQ(scalars(archive).at("args.lr"), "0.5");
}

TEST(PytorchArchive, ReadsWhatPyTorchSaves) {
  const TestFolder folder("torch_save");
  const auto script = folder.path() / "save.py";
  write_file_atomically(script, std::string_view(kSaveAll));
  const int code = run_python(script);
  if (code == 77 || code == 127) {
    GTEST_SKIP() << "PyTorch is not installed (Debian: python3-torch)";
  }
  ASSERT_EQ(code, 0);
  for (const char* const name : {"zip.pt", "legacy.pt", "protocol4.pt"}) {
    SCOPED_TRACE(name);
    expect_checkpoint(folder.path() / name);
  }
  const std::vector<std::string> parts{"conv.weight",      "norm.weight",
                                       "norm.bias",        "norm.running_mean",
                                       "norm.running_var", "norm.num_batches_tracked"};
  for (const char* const name : {"module.pt", "legacy_module.pt", "script.pt"}) {
    const auto archive = PytorchArchive::open(folder.path() / name);
    EXPECT_EQ(names(archive), parts) << name;
    EXPECT_EQ(values<float>(archive, 0), (Floats{0, 1, 2, 3, 4, 5})) << name;
  }
  EXPECT_THROW((void)PytorchArchive::open(folder.path() / "attack.pt"), DataError);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "was_run"));
}

}  // namespace
}  // namespace viewfold
