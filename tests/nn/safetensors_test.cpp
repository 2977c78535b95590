// Tests of the safetensors reader and writer: what is written comes back, what is broken is named.
#include "viewfold/nn/safetensors.hpp"

#include <cstring>
#include <functional>

#include "core/test_folder.hpp"
#include "tensor/normal_tensor.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/heads.hpp"
#include "viewfold/nn/state.hpp"

namespace viewfold {
namespace {

using Bytes = std::vector<std::byte>;

Bytes file_of(const std::string& header, std::size_t data_size) {
  Bytes bytes(8 + header.size() + data_size);
  const std::uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

Bytes sample_file() {
  return write_safetensors({{"weight", normal_tensor({3, 4}, 1, at::kFloat)},
                            {"bias", normal_tensor({4}, 2, at::kHalf)},
                            {"flags", at::ones({5}, at::kBool)},
                            {"steps", at::tensor(7, at::kLong)}},
                           {{"step", "7"}});
}

std::string header_of(const Bytes& bytes) {
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), 8);
  return {reinterpret_cast<const char*>(bytes.data()) + 8, size};
}

TEST(Safetensors, GivesBackEveryTypeAndShape) {
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kByte, at::kBool}) {
    for (const auto& shape :
         {std::vector<std::int64_t>{}, {1}, {7}, {2, 3}, {0, 4}, {2, 1, 3, 2}}) {
      const auto values = normal_tensor(shape, 3).mul(3.0);
      const auto tensor = type == at::kBool ? values.gt(0) : values.abs().to(type);
      const auto file = parse_safetensors(write_safetensors({{"t", tensor}}, {}), "t");
      ASSERT_EQ(file.tensors.size(), 1U);
      EXPECT_EQ(file.at("t").scalar_type(), type);
      EXPECT_EQ(file.at("t").sizes(), tensor.sizes());
      EXPECT_TRUE(file.at("t").equal(tensor)) << at::toString(type) << " " << tensor.sizes();
    }
  }
}

TEST(Safetensors, KeepsBitsThatAreNotNumbers) {
  const auto odd = at::tensor({std::nan(""), -0.0, 1.0 / 0.0, 5e-324});
  const auto back = parse_safetensors(write_safetensors({{"odd", odd}}, {}), "odd").at("odd");
  EXPECT_EQ(std::memcmp(back.data_ptr(), odd.data_ptr(), odd.nbytes()), 0);
}

TEST(Safetensors, StoresStridedTensorsInTheirLogicalOrder) {
  const auto x = normal_tensor({2, 3, 4, 5}, 4, at::kFloat);
  const auto strided = x.contiguous(at::MemoryFormat::ChannelsLast);
  const auto file =
      parse_safetensors(write_safetensors({{"x", strided}, {"part", x.select(1, 2)}}, {}), "x");
  EXPECT_TRUE(file.at("x").equal(x));
  EXPECT_TRUE(file.at("x").is_contiguous());
  EXPECT_TRUE(file.at("part").equal(x.select(1, 2)));
}

TEST(Safetensors, AlignsEachTensorAndKeepsMetadata) {
  const auto bytes = sample_file();
  EXPECT_EQ(header_of(bytes).size() % 8, 0U);
  const auto file = parse_safetensors(bytes, "sample");
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"step", "7"}}));
  std::vector<std::string> names;
  for (const auto& item : file.tensors) {
    names.push_back(item.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"steps", "weight", "bias", "flags"}));  // wider first
  EXPECT_THROW((void)file.at("missing"), DataError);
}

TEST(Safetensors, ReadsAFileAsTheFormatDescribesIt) {
  // The example of the format's documentation: header, then data from offset zero.
  auto bytes = file_of(R"({"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},)"
                       R"("__metadata__":{"format":"pt"}}  )",
                       4);
  bytes[bytes.size() - 4] = std::byte{0x01};
  bytes[bytes.size() - 1] = std::byte{0x80};
  const auto file = parse_safetensors(bytes, "a");
  EXPECT_TRUE(file.at("a").equal(at::tensor({1, -32768}, at::kShort)));
  EXPECT_EQ(file.metadata.at("format"), "pt");
}

TEST(Safetensors, RefusesToWriteWhatItCouldNotRead) {
  const auto one = at::ones({1});
  EXPECT_THROW((void)write_safetensors({{"a", one}, {"a", one}}, {}), ContractViolation);
  EXPECT_THROW((void)write_safetensors({{"__metadata__", one}}, {}), ContractViolation);
  EXPECT_THROW((void)write_safetensors({{"c", at::ones({1}, at::kComplexFloat)}}, {}),
               ContractViolation);
}

TEST(Safetensors, RefusesHeadersThatLie) {
  const std::vector<std::pair<std::string, std::size_t>> broken{
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4},  // too short for its shape
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8},  // bytes left over
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 2},  // beyond the end
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8},  // gap
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4},  // backwards
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],)"
       R"("data_offsets":[0,4]}})",
       4},  // overlap
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],)"
       R"("data_offsets":[4,8]}})",
       8},                                                               // repeated
      {R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4},  // unknown type
      {R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[0,9223372036854775807,9],"data_offsets":[0,0]}})", 0},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,"4"]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4},
      {R"({"a":[1,2,3]})", 0},
      {R"({"__metadata__":{"step":7}})", 0},
      {R"({"__metadata__":"text"})", 0},
      {R"([])", 0},
      {R"(7)", 0},
      {R"()", 0},
      {R"({"a")", 0},
      {"{\"\xff\":{}}", 0},  // not UTF-8
      {R"({} {})", 0},
      {std::string(100000, '['), 0},
      {"{\"a\":" + std::string(50000, '[') + std::string(50000, ']') + "}", 0},
      {std::string(16, '\0'), 0}};
  for (const auto& [header, data_size] : broken) {
    EXPECT_THROW((void)parse_safetensors(file_of(header, data_size), "broken"), DataError)
        << header.substr(0, 120);
  }
}

TEST(Safetensors, RefusesLengthsThatLieWithoutBelievingThem) {
  for (const std::uint64_t size : {std::uint64_t{9}, std::uint64_t{1} << 32, ~std::uint64_t{0},
                                   std::uint64_t{1} << 63, ~std::uint64_t{7}}) {
    Bytes bytes(16);
    std::memcpy(bytes.data(), &size, 8);
    EXPECT_THROW((void)parse_safetensors(bytes, "broken"), DataError) << size;
  }
  const auto whole = sample_file();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW((void)parse_safetensors(std::span(whole).first(size), "cut"), DataError) << size;
  }
}

TEST(Safetensors, RefusesABoolThatIsNeitherTrueNorFalse) {
  auto bytes = write_safetensors({{"flag", at::ones({1}, at::kBool)}}, {});
  bytes.back() = std::byte{2};
  EXPECT_THROW((void)parse_safetensors(bytes, "flag"), DataError);
}

TEST(Safetensors, NamesFileAndTensor) {
  try {
    (void)parse_safetensors(
        file_of(R"({"conv.w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4), "net.st");
    FAIL() << "the tensor is too short";
  } catch (const DataError& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.rfind("net.st: ", 0), 0U) << text;
    EXPECT_NE(text.find("conv.w"), std::string::npos) << text;
  }
}

// Random damage to a good file: it either still is a file of the same size, or DataError says why.
TEST(Safetensors, SurvivesRandomDamage) {
  const auto whole = sample_file();
  int refused = 0;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    Rng rng({.seed = 9, .stream = "damage", .sample = i});
    auto bytes = whole;
    const auto header_end = static_cast<std::uint32_t>(8 + header_of(whole).size());
    for (std::uint32_t k = 0; k <= rng.below(4); ++k) {
      bytes[rng.below(header_end)] = static_cast<std::byte>(rng.below(256));
    }
    if (rng.bernoulli(0.3)) {
      bytes.resize(rng.below(static_cast<std::uint32_t>(bytes.size())));
    }
    try {
      std::size_t total = 0;
      for (const auto& item : parse_safetensors(bytes, "damaged").tensors) {
        total += item.tensor.nbytes();
      }
      EXPECT_LE(total, bytes.size());
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 1000);  // most bytes of a header matter
}

TEST(Safetensors, ReadsFilesAndRefusesWhatIsNone) {
  const TestFolder folder("safetensors");
  const auto path = folder.path() / "net.safetensors";
  write_file_atomically(path, sample_file());
  EXPECT_EQ(read_safetensors(path).tensors.size(), 4U);
  EXPECT_EQ(read_safetensors(path).origin, path.string());
  EXPECT_THROW((void)read_safetensors(folder.path()), DataError);
  EXPECT_THROW((void)read_safetensors(folder.path() / "missing"), DataError);
}

Mlp small_head() {
  return Mlp({.in = 3, .widths = {4, 2}});
}

SafetensorsFile file_with(std::vector<NamedTensor> tensors) {
  return {.tensors = std::move(tensors), .metadata = {}, .origin = "file"};
}

TEST(ModuleState, MovesFromOneModuleToAnother) {
  auto a = small_head();
  auto b = small_head();
  (void)a.forward(normal_tensor({8, 3}, 5, at::kFloat));  // moves the running statistics
  load_module_state(b, parse_safetensors(write_safetensors(module_state(a), {}), "a"));
  const auto from = module_state(a);
  const auto to = module_state(b);
  ASSERT_EQ(from.size(), to.size());
  EXPECT_EQ(from.size(), 5U + 3U);
  for (std::size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].name, to[i].name);
    EXPECT_TRUE(from[i].tensor.equal(to[i].tensor)) << from[i].name;
  }
  EXPECT_TRUE(b.parameters()[0].requires_grad());
}

TEST(ModuleState, ChangesNothingUnlessNamesAndShapesAgree) {
  auto head = small_head();
  const auto before = head.parameters()[0].detach().clone();
  auto other = small_head();
  const auto good = module_state(other);
  const std::vector<std::function<void(std::vector<NamedTensor>&)>> damages{
      [](auto& tensors) { tensors.pop_back(); },
      [](auto& tensors) {
        tensors.push_back({"extra", at::ones({1})});
      },
      [](auto& tensors) { tensors.back().name = "renamed"; },
      [](auto& tensors) {
        tensors.back().tensor = at::ones({3, 3});
      },
      [](auto& tensors) { tensors[1].tensor = tensors[1].tensor.unsqueeze(0); }};
  for (const auto& damage : damages) {
    auto tensors = good;
    damage(tensors);
    EXPECT_THROW(load_module_state(head, file_with(tensors)), DataError);
    EXPECT_TRUE(head.parameters()[0].equal(before));
  }
}

}  // namespace
}  // namespace viewfold
