// The verbs that hand over: features of images, and the encoder itself.
#include <bit>
#include <cstdio>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/app/commands.hpp"
#include "viewfold/app/pretraining.hpp"
#include "viewfold/app/terminal.hpp"
#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/core/run_dir.hpp"
#include "viewfold/data/subset.hpp"
#include "viewfold/eval/encoder_file.hpp"
#include "viewfold/eval/features.hpp"

namespace viewfold {
namespace {

// NumPy's format 1.0 (numpy.lib.format): magic, version, header length, a Python literal padded so
// that the data begin at a multiple of 64, then the rows.
std::vector<std::byte> npy_bytes(const at::Tensor& matrix) {
  static_assert(std::endian::native == std::endian::little);
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", matrix.size(0),
                  matrix.size(1));
  constexpr std::size_t kPrefix = 10;
  constexpr std::size_t kAlignment = 64;
  const std::size_t length =
      (kPrefix + header.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  header.resize(length - kPrefix - 1, ' ');
  header += '\n';
  const auto low = static_cast<char>(header.size() & 0xFFU);
  const auto high = static_cast<char>(header.size() >> 8U);
  const std::string prefix = std::string("\x93NUMPY\x01\x00", 8) + low + high;
  const auto values = matrix.contiguous();
  const std::size_t data_bytes = values.nbytes();
  std::vector<std::byte> bytes(length + data_bytes);
  std::memcpy(bytes.data(), prefix.data(), kPrefix);
  std::memcpy(bytes.data() + kPrefix, header.data(), header.size());
  std::memcpy(bytes.data() + length, values.data_ptr<float>(), data_bytes);
  return bytes;
}

std::string names_as_lines(const Dataset& dataset) {
  std::string lines;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    nlohmann::ordered_json line{{"row", i}, {"name", dataset.name(i)}};
    if (const auto label = dataset.label(i)) {
      line["class"] = dataset.class_names()[static_cast<std::size_t>(*label)];
    }
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace

void embed_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN (the run directory)"));
  const std::string spec = arguments.take_positional("DATA (a folder, an archive or a name)");
  const std::filesystem::path out = arguments.take("out").value_or("embeddings.npy");
  const std::string split = arguments.take("split").value_or("train");
  const bool skip_bad = arguments.take_flag("skip-bad");
  const int threads = thread_count(arguments.take_integer("threads", 0));
  arguments.expect_empty({"out", "split", "skip-bad", "threads"});
  at::set_num_threads(threads);
  const LoadedEncoder loaded = read_finished_encoder(run);
  Progress progress = terminal_progress();
  TerminalLog log(progress);
  std::shared_ptr<const Dataset> dataset = open_dataset({.spec = spec, .split = split});
  if (skip_bad) {
    const Preloaded good = preload(std::move(dataset), 0, std::uint64_t{4} << 30U, 1.0, threads);
    for (const auto& bad : good.bad) {
      log.warning("left out: " + bad.reason);
    }
    dataset = good.dataset;
  }
  constexpr std::int64_t kBatch = 64;
  const auto features =
      extract_features(*loaded.encoder, *dataset, loaded.preprocess(), kBatch, threads).features;
  auto names = out;
  names.replace_extension(".jsonl");
  write_file_atomically(names, names_as_lines(*dataset));
  write_file_atomically(out, npy_bytes(features));
  fmt::print("{}: {} images, {} features each; names in row order: {}\n", out.string(),
             features.size(0), features.size(1), names.string());
}

void export_command(Arguments arguments) {
  const RunDir run = RunDir::open(arguments.take_positional("RUN (the run directory)"));
  const std::string formats = arguments.take("format").value_or("safetensors,torchscript");
  const std::filesystem::path out =
      arguments.take("out").value_or((run.path() / "export").string());
  arguments.expect_empty({"format", "out"});
  const auto chosen = split_list(formats);
  for (const auto& format : chosen) {
    if (format != "safetensors" && format != "torchscript") {
      throw UsageError(
          fmt::format("--format knows safetensors and torchscript, not \"{}\"", format));
    }
  }
  const LoadedEncoder loaded = read_finished_encoder(run);
  std::error_code failure;
  std::filesystem::create_directories(out, failure);
  if (failure) {
    throw DataError(fmt::format("{}: {}", out.string(), failure.message()));
  }
  write_file_atomically(out / "card.json", read_text_file(run.card()));
  fmt::print("{}\n", (out / "card.json").string());
  for (const auto& format : chosen) {
    const auto file = out / (format == "safetensors" ? "encoder.safetensors" : "encoder.pt");
    if (format == "safetensors") {
      write_file_atomically(file, read_file(run.encoder()));
    } else {
      write_torchscript(*loaded.encoder, loaded.card, file);
    }
    fmt::print("{}\n", file.string());
  }
}

}  // namespace viewfold
