// Runs the program as a user does, and makes pictures for it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <vector>

#include "core/test_folder.hpp"
#include <fmt/format.h>

#include "viewfold/core/files.hpp"
#include "viewfold/core/rng.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold::testing {

struct Ended {
  int code = 0;  // exit code, or 128 + signal
  std::string out;
  std::string err;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::string program() {
  return VIEWFOLD_BINARY_DIR "/viewfold";
}

inline std::string quoted(const std::vector<std::string>& words) {
  std::string line = fmt::format("'{}'", program());
  for (const auto& word : words) {
    line += fmt::format(" '{}'", word);
  }
  return line;
}

/// Runs a line of the shell in `folder`, where its output is kept too.
inline Ended run_line(const TestFolder& folder, const std::string& commands) {
  const auto out = folder.path() / "stdout.txt";
  const auto err = folder.path() / "stderr.txt";
  const std::string line = fmt::format("cd '{}' && ( {} ) > '{}' 2> '{}'", folder.path().string(),
                                       commands, out.string(), err.string());
  const int status = std::system(line.c_str());
  return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = read_text_file(out),
          .err = read_text_file(err)};
}

/// Runs `viewfold words...` in `folder`.
inline Ended run_program(const TestFolder& folder, const std::vector<std::string>& words) {
  return run_line(folder, quoted(words));
}

/// Writes `per_class` pictures of 16 x 16 pixels into each of two folders: stripes and spots, with
/// noise.
inline void write_pictures(const std::filesystem::path& folder, int per_class) {
  constexpr int kSide = 16;
  for (const std::string name : {"spots", "stripes"}) {
    std::filesystem::create_directories(folder / name);
    for (int n = 0; n < per_class; ++n) {
      Rng rng({.seed = 7, .stream = name, .sample = static_cast<std::uint32_t>(n)});
      Image image(kSide, kSide, 3);
      auto values = image.values<std::uint8_t>();
      const auto period = 3 + rng.below(4);
      for (std::uint32_t i = 0; i < values.size(); ++i) {
        const auto x = i / 3 % kSide;
        const auto y = i / 3 / kSide;
        const bool light =
            name == "stripes" ? (x / period) % 2 == 0 : (x / period + y / period) % 2 == 0;
        values[i] = static_cast<std::uint8_t>((light ? 150U : 40U) + rng.below(60));
      }
      write_file_atomically(folder / name / fmt::format("{:03d}.png", n), encode_png(image));
    }
  }
}

/// Settings that train in about a second.
inline std::vector<std::string> small_run(const std::string& data, const std::string& out) {
  return {"pretrain", data, "--out",           out, "--epochs",  "2",
          "--batch",  "16", "--encoder.width", "4", "--threads", "1"};
}

inline std::vector<std::string> with(std::vector<std::string> words,
                                     const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace viewfold::testing
