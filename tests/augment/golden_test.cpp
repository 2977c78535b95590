// Compares every operation with what Pillow and torchvision made of the same images
// (tools/make_golden_views.py).
#include <functional>
#include <map>
#include <sstream>

#include "augment/operations.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/files.hpp"
#include "viewfold/image/kernels/blur.hpp"
#include "viewfold/image/resample.hpp"

namespace viewfold {
namespace {

using testing::applied;
using testing::make_operation;

struct Case {
  std::string op;
  Image input;
  Image expected;
  std::vector<float> numbers;

  [[nodiscard]] int integer(std::size_t i) const { return static_cast<int>(numbers.at(i)); }
};

class GoldenFile {
 public:
  explicit GoldenFile(const std::filesystem::path& path) : text_(read_text_file(path)) {
    while (at_ < text_.size()) {
      const std::size_t end = text_.find('\n', at_);
      std::istringstream head(text_.substr(at_, end - at_));
      at_ = end + 1;
      std::string kind;
      std::string name;
      head >> kind >> name;
      if (kind == "image") {
        images_[name] = take_image(head);
      } else {
        cases.push_back(take_case(name, head));
      }
    }
  }

  std::vector<Case> cases;

 private:
  Image take_image(std::istringstream& head) {
    int height = 0;
    int width = 0;
    int bands = 0;
    head >> height >> width >> bands;
    Image image(height, width, bands);
    std::ranges::copy(std::as_bytes(std::span(text_)).subspan(at_, image.value_count()),
                      image.bytes().begin());
    at_ += image.value_count();
    return image;
  }

  Case take_case(const std::string& op, std::istringstream& head) {
    std::string input;
    head >> input;
    Case made{.op = op, .input = images_.at(input), .expected = take_image(head), .numbers = {}};
    std::size_t count = 0;
    head >> count;
    made.numbers.resize(count);
    for (float& number : made.numbers) {
      head >> number;
    }
    return made;
  }

  std::string text_;
  std::size_t at_ = 0;
  std::map<std::string, Image> images_;
};

std::vector<Case> cases_of(std::string_view op) {
  static const std::array files = {
      GoldenFile(VIEWFOLD_SOURCE_DIR "/tests/augment/golden/views.golden"),
      GoldenFile(VIEWFOLD_SOURCE_DIR "/tests/augment/golden/operations.golden")};
  std::vector<Case> cases;
  for (const auto& file : files) {
    std::ranges::copy_if(file.cases, std::back_inserter(cases),
                         [&](const Case& each) { return each.op == op; });
  }
  return cases;
}

using Operation = std::function<Image(const Case&)>;

// Runs all cases of one operation: no value may be more than one grey level off, and at most
// `share` of the values of an image may be off at all.
void expect_golden(std::string_view op, std::size_t count, double share, const Operation& run) {
  const auto cases = cases_of(op);
  EXPECT_EQ(cases.size(), count) << op;
  for (const Case& each : cases) {
    const Image made = run(each);
    ASSERT_EQ(made.height(), each.expected.height());
    ASSERT_EQ(made.width(), each.expected.width());
    ASSERT_EQ(made.bands(), each.expected.bands());
    const auto found = testing::difference(made, each.expected);
    const auto what = fmt::format("{} {} of {} x {} x {}", op, fmt::join(each.numbers, " "),
                                  each.input.height(), each.input.width(), each.input.bands());
    EXPECT_LE(found.largest, 1) << what;
    EXPECT_LE(found.share, share) << what;
  }
}

Interpolation interpolation_of(const Case& each) {
  return each.integer(5) == 1 ? Interpolation::kBicubic : Interpolation::kBilinear;
}

// Pillow rounds to 8 bits between its two passes, viewfold once at the end. That first rounding
// moves a value by a fifth of a grey level or so, which changes the second in about as many cases.
constexpr double kResized = 0.25;

TEST(Golden, ResizingABox) {
  expect_golden("resize_box", 28, kResized, [](const Case& each) {
    const int size = each.integer(4);
    return resize_crop(each.input,
                       {each.integer(0), each.integer(1), each.integer(2), each.integer(3)}, size,
                       size, interpolation_of(each));
  });
}

TEST(Golden, RandomResizedCrop) {
  expect_golden("resized_crop", 28, kResized, [](const Case& each) {
    const auto& n = each.numbers;
    const auto op = make_operation("random_resized_crop",
                                   {{"size", std::to_string(each.integer(4))},
                                    {"interpolation", n[5] == 1.0F ? "bicubic" : "bilinear"}});
    return applied(*op, "random_resized_crop",
                   {n[0], n[1], n[2], n[3], static_cast<float>(each.input.height()),
                    static_cast<float>(each.input.width())},
                   each.input);
  });
}

TEST(Golden, CenterCrop) {
  expect_golden("center_crop", 6, kResized, [](const Case& each) {
    const auto op = make_operation("center_crop", {{"size", std::to_string(each.integer(0))}});
    return applied(*op, "center_crop", {}, each.input);
  });
}

Image jittered(const Image& image, std::initializer_list<float> values) {
  return applied(*make_operation("color_jitter"), "color_jitter", values, image);
}

// Levels have 8 bits after the point, so that those near the middle between two may round
// otherwise.
constexpr double kColored = 0.04;

TEST(Golden, Brightness) {
  expect_golden("brightness", 9, kColored, [](const Case& each) {
    return jittered(each.input, {1, 1234, each.numbers[0], 1, 1, 0});
  });
}

TEST(Golden, Contrast) {
  expect_golden("contrast", 9, kColored, [](const Case& each) {
    return jittered(each.input, {1, 1234, 1, each.numbers[0], 1, 0});
  });
}

TEST(Golden, Saturation) {
  expect_golden("saturation", 9, kColored, [](const Case& each) {
    return jittered(each.input, {1, 1234, 1, 1, each.numbers[0], 0});
  });
}

TEST(Golden, Hue) {
  expect_golden("hue", 8, kColored, [](const Case& each) {
    return jittered(each.input, {1, 1234, 1, 1, 1, each.numbers[0]});
  });
}

TEST(Golden, ColorJitterInItsOrder) {
  expect_golden("jitter", 6, kColored, [](const Case& each) {
    const auto& n = each.numbers;
    return jittered(each.input, {1, n[0], n[1], n[2], n[3], n[4]});
  });
}

TEST(Golden, Grayscale) {
  expect_golden("grayscale", 2, kColored, [](const Case& each) {
    return applied(*make_operation("grayscale"), "grayscale", {1}, each.input);
  });
}

TEST(Golden, Solarize) {
  expect_golden("solarize", 3, 0.0, [](const Case& each) {
    return applied(*make_operation("solarize"), "solarize", {1}, each.input);
  });
}

TEST(Golden, HorizontalFlip) {
  expect_golden("flip", 3, 0.0, [](const Case& each) {
    return applied(*make_operation("horizontal_flip"), "horizontal_flip", {1}, each.input);
  });
}

TEST(Golden, GaussianBlur) {
  expect_golden("blur", 12, 0.0, [](const Case& each) {
    Image image = each.input;
    Scratch scratch;
    gaussian_blur(image, scratch, each.integer(0), each.numbers[1]);
    return image;
  });
}

TEST(Golden, Rotation) {
  // Turned by 90 degrees, each value of the gray image is a mean of four. One in four lies in the
  // middle between two grey levels, and torch rounds half of these down (to even).
  expect_golden("rotation", 9, 0.125, [](const Case& each) {
    return applied(*make_operation("rotation"), "rotation", {1, each.numbers[0]}, each.input);
  });
}

// Operation `name` with its defaults and the numbers of the case behind the flag.
Operation with_numbers(std::string_view name) {
  return [name](const Case& each) {
    OpRecord record = make_record(OperationId(operation_id(name)), {1});
    record.count = static_cast<std::uint16_t>(1 + each.numbers.size());
    std::ranges::copy(each.numbers, record.values.begin() + 1);
    return applied(*make_operation(name), record, each.input);
  };
}

TEST(Golden, VerticalFlip) {
  expect_golden("vertical_flip", 3, 0.0, with_numbers("vertical_flip"));
}

TEST(Golden, Invert) {
  expect_golden("invert", 3, 0.0, with_numbers("invert"));
}

TEST(Golden, Posterize) {
  expect_golden("posterize", 9, 0.0, with_numbers("posterize"));
}

TEST(Golden, Equalize) {
  expect_golden("equalize", 3, 0.0, with_numbers("equalize"));
}

// What cuts fractions off differs in half of the cases from what rounds.
constexpr double kCut = 0.6;

TEST(Golden, Autocontrast) {
  expect_golden("autocontrast", 3, kCut, with_numbers("autocontrast"));
}

TEST(Golden, Gamma) {
  expect_golden("gamma", 9, kCut, with_numbers("gamma"));
}

TEST(Golden, Sharpness) {
  expect_golden("sharpness", 9, kCut, with_numbers("sharpness"));
}

TEST(Golden, RandomErasing) {
  expect_golden("erase", 6, 0.0, with_numbers("random_erasing"));
}

TEST(Golden, Resize) {
  // On a gradient, where most values lie between two levels, the two roundings of Pillow (which is
  // the reference of the antialiased bicubic filter) show more often.
  expect_golden("resize", 24, 0.3, [](const Case& each) {
    const auto op =
        make_operation("resize", {{"size", std::to_string(each.integer(0))},
                                  {"interpolation", each.integer(1) == 1 ? "bicubic" : "bilinear"},
                                  {"antialias", each.integer(2) == 1 ? "true" : "false"}});
    return applied(*op, "resize", {}, each.input);
  });
}

TEST(Golden, Affine) {
  expect_golden("affine", 9, 0.03, with_numbers("affine"));
}

}  // namespace
}  // namespace viewfold
