// Applies operations with given parameters to given pictures: the viewfold side of
// tools/view_parity.py, which asks over standard input and reads the results from standard output.
//
// A request is a line and the bytes of the picture:
//   <operation> <uint8|float32> <height> <width> <bands> <settings> <key=value>... <values> <v>...
// The answer is a line and the bytes of the result:
//   <height> <width>
#include <iostream>
#include <span>
#include <sstream>

#include "augment/operations.hpp"

namespace viewfold {
namespace {

std::unique_ptr<Augmentation> read_operation(std::istringstream& head, const std::string& name) {
  const auto& entry = find_augmentation(name);
  ConfigSource source;
  std::size_t settings = 0;
  head >> settings;
  for (std::size_t i = 0; i < settings; ++i) {
    std::string setting;
    head >> setting;
    const std::size_t equals = setting.find('=');
    source.set(setting.substr(0, equals), setting.substr(equals + 1), "request");
  }
  const auto config = entry.config();
  read_config(*config, source);
  return entry.make(*config);
}

OpRecord read_record(std::istringstream& head, const std::string& name) {
  OpRecord record{.op = operation_id(name)};
  head >> record.count;
  check(record.count <= OpRecord::kMaxValues, "a record has no room for so many values");
  for (std::size_t i = 0; i < record.count; ++i) {
    head >> record.values[i];
  }
  check(!head.fail(), "a request that cannot be read");
  return record;
}

void answer(const std::string& line) {
  std::istringstream head(line);
  std::string name;
  std::string type;
  int height = 0;
  int width = 0;
  int bands = 0;
  head >> name >> type >> height >> width >> bands;
  const auto op = read_operation(head, name);
  const OpRecord record = read_record(head, name);
  Image image(height, width, bands, type == "uint8" ? PixelType::kUint8 : PixelType::kFloat32);
  const auto in = image.bytes();
  std::cin.read(reinterpret_cast<char*>(in.data()), static_cast<std::streamsize>(in.size()));
  const Image made = testing::applied(*op, record, image);
  std::cout << made.height() << ' ' << made.width() << '\n';
  const auto out = made.bytes();
  std::cout.write(reinterpret_cast<const char*>(out.data()),
                  static_cast<std::streamsize>(out.size()));
  std::cout.flush();
}

}  // namespace
}  // namespace viewfold

int main() {
  try {
    for (std::string line; std::getline(std::cin, line);) {
      viewfold::answer(line);
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
