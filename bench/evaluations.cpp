// Times one evaluation on features that a folder holds as NumPy files, as bench/pytorch/
// evaluations.py writes them, and prints what it gave as JSON:
//   bench_evaluations FOLDER EVALUATION [THREADS [KEY=VALUE ...]]
// FOLDER has train.npy and test.npy ([M, D] float32), train_labels.npy and test_labels.npy ([M]
// int64); KEY is a setting of the evaluation (k=20).
#include <chrono>
#include <cstdlib>
#include <malloc.h>
#include <regex>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/input_file.hpp"
#include "viewfold/eval/evaluation.hpp"

namespace viewfold {
namespace {

std::string text_at(const InputFile& file, std::uint64_t offset, std::uint64_t count) {
  const auto bytes = file.read_at(offset, count);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What NumPy's format 1.0 (numpy.lib.format) says before the data, which are of one type and order.
std::vector<std::int64_t> read_shape(const InputFile& file,
                                     const std::string& header,
                                     const std::string& type) {
  static const std::regex shape_pattern("'shape': \\((\\d+), ?(\\d*)\\)");
  std::smatch found;
  const bool fits = header.find("'descr': '" + type + "'") != std::string::npos &&
                    header.find("'fortran_order': False") != std::string::npos &&
                    std::regex_search(header, found, shape_pattern);
  if (!fits) {
    throw DataError(
        fmt::format("{}: holds no {} of one or two dimensions in C order (write it "
                    "with numpy.save)",
                    file.path().string(), type));
  }
  std::vector<std::int64_t> shape{std::stoll(found[1])};
  if (found[2].length() > 0) {
    shape.push_back(std::stoll(found[2]));
  }
  return shape;
}

at::Tensor read_npy(const std::filesystem::path& path, at::ScalarType type) {
  constexpr std::uint64_t kPrefix = 10;
  const InputFile file(path);
  const auto prefix = text_at(file, 0, kPrefix);
  if (prefix.substr(0, 8) != std::string("\x93NUMPY\x01\x00", 8)) {
    throw DataError(fmt::format("{}: is no NumPy file of version 1.0", path.string()));
  }
  const auto low = static_cast<unsigned char>(prefix[8]);
  const auto high = static_cast<unsigned char>(prefix[9]);
  const std::uint64_t length = low + 256ULL * high;
  const auto shape =
      read_shape(file, text_at(file, kPrefix, length), type == at::kFloat ? "<f4" : "<i8");
  std::uint64_t bytes = c10::elementSize(type);
  for (const auto side : shape) {
    bytes *= static_cast<std::uint64_t>(side);
  }
  if (file.size() != kPrefix + length + bytes) {
    throw DataError(fmt::format("{}: has {} bytes, not the {} that its shape says", path.string(),
                                file.size(), kPrefix + length + bytes));
  }
  auto values = at::empty(shape, at::TensorOptions(type));
  file.read_at(kPrefix + length, {static_cast<std::byte*>(values.data_ptr()), bytes});
  return values;
}

FeatureSet read_set(const std::filesystem::path& folder, const std::string& split) {
  return {.features = read_npy(folder / (split + ".npy"), at::kFloat),
          .labels = read_npy(folder / (split + "_labels.npy"), at::kLong)};
}

ConfigSource read_settings(std::span<char*> words) {
  ConfigSource source;
  for (const std::string word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) {
      throw UsageError(fmt::format("\"{}\": a setting is KEY=VALUE", word));
    }
    source.set(word.substr(0, equals), word.substr(equals + 1), "the command line");
  }
  return source;
}

void measure(std::span<char*> words) {
  if (words.size() < 3) {
    throw UsageError("usage: bench_evaluations FOLDER EVALUATION [THREADS [KEY=VALUE ...]]");
  }
  const int threads = words.size() > 3 ? std::atoi(words[3]) : at::get_num_threads();
  if (threads < 1) {
    throw UsageError(fmt::format("THREADS is a number from 1, not \"{}\"", words[3]));
  }
  at::set_num_threads(threads);
  const auto& entry = find_evaluation(words[2]);
  const auto config = entry.config();
  read_config(*config, read_settings(words.subspan(std::min<std::size_t>(words.size(), 4))));
  const EvaluationInput input{.train = read_set(words[1], "train"),
                              .test = read_set(words[1], "test"),
                              .classes = {},
                              .seed = 1};
  const auto start = std::chrono::steady_clock::now();
  const auto result = entry.run(input, *config);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  const nlohmann::ordered_json json{{"evaluation", entry.name},    {"seconds", passed.count()},
                                    {"threads", threads},          {"numbers", result.numbers},
                                    {"protocol", result.protocol}, {"confusion", result.confusion}};
  fmt::print("{}\n", json.dump());
}

}  // namespace
}  // namespace viewfold

int main(int argc, char** argv) {
  mallopt(M_MMAP_MAX, 0);  // as the program does
  mallopt(M_TRIM_THRESHOLD, -1);
  try {
    viewfold::measure({argv, static_cast<std::size_t>(argc)});
  } catch (const viewfold::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
  return 0;
}
