// Tests of decoding and encoding, and of what becomes of damaged files.
#include "viewfold/image/codec.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <tuple>

#include "image/sample_files.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"

namespace viewfold {
namespace {

using testing::ByteVector;
using testing::reason_of;

int largest_difference(const Image& a, const Image& b) {
  const auto x = a.values<std::uint8_t>();
  const auto y = b.values<std::uint8_t>();
  EXPECT_EQ(x.size(), y.size());
  int largest = 0;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    largest = std::max(largest, std::abs(int{x[i]} - int{y[i]}));
  }
  return largest;
}

TEST(Codec, LosslessFormatsGiveBackEveryValue) {
  for (const int bands : {1, 3}) {
    for (const auto type : {PixelType::kUint8, PixelType::kUint16}) {
      const Image image = testing::noise(7, 5, bands, type);
      EXPECT_EQ(decode_image(encode_png(image)), image);
      EXPECT_EQ(decode_image(testing::encode_tiff(image)), image);
      EXPECT_EQ(decode_image(testing::encode_pnm(image)), image);
    }
  }
  const Image image = testing::noise(9, 5, 3);
  EXPECT_EQ(decode_image(testing::encode_webp(image)), image);
  EXPECT_EQ(decode_image(testing::encode_bmp(image)), image);
}

TEST(Codec, ReadsHeadersOfAllFormatsWithoutDecoding) {
  const Image image = testing::noise(9, 5, 3);
  const std::vector<std::pair<std::string, ByteVector>> files{
      {"jpeg", encode_jpeg(image, 90)},      {"png", encode_png(image)},
      {"webp", testing::encode_webp(image)}, {"bmp", testing::encode_bmp(image)},
      {"tiff", testing::encode_tiff(image)}, {"pnm", testing::encode_pnm(image)},
  };
  for (const auto& [format, bytes] : files) {
    const ImageHeader header = read_image_header(bytes);
    EXPECT_EQ(header.format, format);
    EXPECT_EQ(header.height, 9);
    EXPECT_EQ(header.width, 5);
  }
}

TEST(Codec, JpegKeepsColoursAndGrayApart) {
  for (const int bands : {1, 3}) {
    const Image image = testing::ramp(24, 16, bands);
    const Image back = decode_image(encode_jpeg(image, 98));
    ASSERT_EQ(back.bands(), bands);
    EXPECT_LE(largest_difference(back, image), 8);  // quantisation, and halved chroma
  }
}

// Brightness that grows from the upper left to the lower right corner.
Image slope(int height, int width) {
  Image image(height, width, 3);
  auto value = image.values<std::uint8_t>().begin();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      value = std::fill_n(value, 3, static_cast<std::uint8_t>(40 + 2 * y + x));
    }
  }
  return image;
}

TEST(Codec, AJpegIsDecodedSmallerWhereItsChoiceAllowsIt) {
  const Image image = slope(37, 50);
  const auto encoded = encode_jpeg(image, 100);
  for (const int smaller : {1, 2, 4, 8}) {
    int height = 0;
    int width = 0;
    const Image decoded = decode_image(encoded, [&](int h, int w) {
      height = h;
      width = w;
      return smaller;
    });
    EXPECT_EQ(height, 37);
    EXPECT_EQ(width, 50);
    ASSERT_EQ(decoded.height(), (37 + smaller - 1) / smaller);
    ASSERT_EQ(decoded.width(), (50 + smaller - 1) / smaller);
    // A pixel stands for smaller x smaller of them: it has the value of their middle.
    for (int y = 0; y + 1 < decoded.height(); ++y) {
      for (int x = 0; x + 1 < decoded.width(); ++x) {
        const double expected = 40 + 1.5 * (smaller - 1) + smaller * (2 * y + x);
        const auto i = static_cast<std::size_t>(3 * (y * decoded.width() + x));
        EXPECT_NEAR(decoded.values<std::uint8_t>()[i], expected, 3.0) << y << " " << x;
      }
    }
  }
  EXPECT_THROW((void)decode_image(encoded, [](int, int) { return 3; }), ContractViolation);
}

TEST(Codec, OtherFormatsAreNotAskedHowSmallTheyMayBe) {
  const Image image = slope(37, 50);
  const auto never = [](int, int) -> int { throw ContractViolation("asked"); };
  EXPECT_EQ(decode_image(encode_png(image), never), image);
}

TEST(Codec, AlphaIsDropped) {
  const Image with_alpha = testing::noise(4, 4, 4);
  const Image image = decode_image(encode_png(with_alpha));
  ASSERT_EQ(image.bands(), 3);
  for (std::size_t i = 0; i < image.value_count(); ++i) {
    EXPECT_EQ(image.bytes()[i], with_alpha.bytes()[i / 3 * 4 + i % 3]);
  }
}

TEST(Codec, CmykWithAnAdobeMarkerIsInverted) {
  Image cmyk(16, 16, 4);
  auto values = cmyk.values<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = std::array<std::uint8_t, 4>{255, 128, 0, 200}[i % 4];  // paper is 255
  }
  const Image image = decode_image(testing::encode_cmyk_jpeg(cmyk));
  ASSERT_EQ(image.bands(), 3);
  EXPECT_NEAR(image.values<std::uint8_t>()[0], 200, 4);
  EXPECT_NEAR(image.values<std::uint8_t>()[1], 100, 4);
  EXPECT_NEAR(image.values<std::uint8_t>()[2], 0, 4);
}

TEST(Codec, OrientationOfExifIsApplied) {
  // Two rows of 8 x 8 blocks, three columns; the first pixel's block is the only white one.
  Image stored(16, 24, 1);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      stored.values<std::uint8_t>()[static_cast<std::size_t>(y * 24 + x)] = 255;
    }
  }
  const ByteVector jpeg = encode_jpeg(stored, 95);
  // Where row 0 meets column 0 (EXIF 2.3, Section 4.6.4): top-left, top-right, bottom-right,
  // bottom-left, then the same with the axes exchanged.
  const std::vector<std::tuple<int, bool, bool>> corners{
      {1, false, false}, {2, false, true}, {3, true, true}, {4, true, false},
      {5, false, false}, {6, false, true}, {7, true, true}, {8, true, false}};
  for (const auto& [orientation, bottom, right] : corners) {
    const Image image = decode_image(testing::with_orientation(jpeg, orientation));
    ASSERT_EQ(image.height(), orientation < 5 ? 16 : 24);
    const int y = bottom ? image.height() - 1 : 0;
    const int x = right ? image.width() - 1 : 0;
    const auto values = image.values<std::uint8_t>();
    EXPECT_GT(values[static_cast<std::size_t>(y * image.width() + x)], 200) << orientation;
    const auto light = std::count_if(values.begin(), values.end(), [](auto v) { return v > 128; });
    EXPECT_NEAR(static_cast<double>(light), 64.0, 4.0);
  }
}

TEST(Codec, OrientationsOfTiffAreApplied) {
  const Image image = testing::noise(3, 5, 3);
  for (const int orientation : {1, 2, 3, 4, 5, 6, 7, 8}) {
    const Image deep = convert_type(image, PixelType::kUint16);
    const Image a = decode_image(testing::encode_tiff(image, {.orientation = orientation}));
    const Image b = decode_image(testing::encode_tiff(deep, {.orientation = orientation}));
    EXPECT_EQ(a, convert_type(b, PixelType::kUint8)) << orientation;
    EXPECT_EQ(a.height(), orientation < 5 ? 3 : 5);
    EXPECT_EQ(a == image, orientation == 1);
  }
}

TEST(Codec, FirstOfSeveralFramesIsTaken) {
  const Image first = testing::noise(6, 8, 3, PixelType::kUint8, 1);
  const Image second = testing::noise(6, 8, 3, PixelType::kUint8, 2);
  EXPECT_EQ(decode_image(testing::encode_animated_webp(first, second)), first);
  EXPECT_EQ(decode_image(testing::encode_tiff(first, {.pages = 2})), first);
}

TEST(Codec, TextAndBitVariantsOfPnmAreRead) {
  const Image bits = decode_image(testing::bytes_of("P1 3 1 # a comment\n0 1 0"));
  EXPECT_EQ(bits.values<std::uint8_t>()[0], 255);
  EXPECT_EQ(bits.values<std::uint8_t>()[1], 0);
  EXPECT_EQ(decode_image(testing::bytes_of("P1 3 1\n010")), bits);
  EXPECT_EQ(decode_image(testing::bytes_of("P4 3 1\n\x40")), bits);
  const Image gray = decode_image(testing::bytes_of("P2 2 1 100 50 100"));
  EXPECT_EQ(gray.values<std::uint8_t>()[0], 128);  // 50 of 100, rounded up
  EXPECT_EQ(gray.values<std::uint8_t>()[1], 255);
  EXPECT_EQ(decode_image(testing::bytes_of("P3 1 1 255 1 2 3")).bands(), 3);
}

TEST(Codec, OnePixelIsAnImage) {
  const Image image = testing::noise(1, 1, 3);
  EXPECT_EQ(decode_image(encode_png(image)), image);
  EXPECT_EQ(decode_image(encode_jpeg(image, 90)).value_count(), 3U);
}

TEST(Codec, SaysWhatIsWrong) {
  EXPECT_EQ(reason_of({}), "file is empty");
  EXPECT_EQ(reason_of(testing::bytes_of("GIF89a....")),
            "gif: not supported; formats are jpeg, png, webp, bmp, tiff, pnm");
  EXPECT_EQ(reason_of(testing::bytes_of("hello")),
            "not an image: not supported; formats are jpeg, png, webp, bmp, tiff, pnm");
  EXPECT_NE(reason_of(testing::bytes_of("P6 2 2 255\nabc")).find("truncated"), std::string::npos);
}

TEST(Codec, EveryTruncationIsAnError) {
  const Image image = testing::noise(40, 30, 3);
  const std::vector<ByteVector> files{encode_jpeg(image, 80),      encode_png(image),
                                      testing::encode_webp(image), testing::encode_bmp(image),
                                      testing::encode_tiff(image), testing::encode_pnm(image)};
  for (const ByteVector& bytes : files) {
    for (std::size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 97) {
      const ByteVector cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_THROW((void)decode_image(cut), DataError)
          << size << " of " << bytes.size() << " bytes of " << read_image_header(bytes).format;
    }
    const ByteVector cut(bytes.begin(), bytes.end() - 1);
    EXPECT_THROW((void)decode_image(cut), DataError) << read_image_header(bytes).format;
  }
}

TEST(Codec, JpegWithAnEndButWithoutItsMiddleIsAnError) {
  ByteVector bytes = encode_jpeg(testing::noise(64, 64, 3), 80);
  bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2), bytes.end() - 2);
  EXPECT_NE(reason_of(bytes).find("truncated"), std::string::npos);
}

// Writes `height` and `width` as 16-bit numbers into the frame header.
ByteVector claim_size(ByteVector jpeg, std::uint32_t height, std::uint32_t width) {
  for (std::size_t i = 0; i + 8 < jpeg.size(); ++i) {
    if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xC0}) {
      jpeg[i + 5] = static_cast<std::byte>(height >> 8U);
      jpeg[i + 6] = static_cast<std::byte>(height);
      jpeg[i + 7] = static_cast<std::byte>(width >> 8U);
      jpeg[i + 8] = static_cast<std::byte>(width);
      break;
    }
  }
  return jpeg;
}

TEST(Codec, SizesThatCannotBeTrueCostNoMemory) {
  const ByteVector jpeg = encode_jpeg(testing::ramp(16, 16, 3), 90);
  EXPECT_NE(reason_of(claim_size(jpeg, 65535, 65535)).find("more than"), std::string::npos);
  EXPECT_NE(reason_of(claim_size(jpeg, 13000, 13000)).find("too many for"), std::string::npos);
  EXPECT_NE(reason_of(claim_size(jpeg, 0, 16)).find("no pixels"), std::string::npos);
  ByteVector png = encode_png(testing::ramp(16, 16, 3));
  png[17] = std::byte{0xFF};
  png[21] = std::byte{0xFF};
  EXPECT_NE(reason_of(png).find("more than"), std::string::npos);
  EXPECT_NE(reason_of(testing::bytes_of("P5 99999 99999 255\n")).find("more than"),
            std::string::npos);
  EXPECT_NE(reason_of(testing::bytes_of("P5 9999 9999 255\n")).find("truncated"),
            std::string::npos);
}

TEST(Codec, DamageNeverCrashesAndNeverPrints) {
  const Image image = testing::noise(20, 20, 3);
  const std::vector<ByteVector> files{
      encode_jpeg(image, 80),
      encode_png(image),
      testing::encode_webp(image),
      testing::encode_bmp(image),
      testing::encode_tiff(image),
      testing::encode_pnm(image),
      testing::encode_animated_webp(image, image),
      testing::encode_cmyk_jpeg(testing::noise(16, 16, 4)),
      testing::with_orientation(encode_jpeg(image, 80), 6),
      testing::encode_tiff(testing::noise(20, 20, 3, PixelType::kUint16)),
      testing::encode_tiff(image, {.compression = COMPRESSION_NONE})};
  Rng rng({.seed = 3, .stream = "damage"});
  ::testing::internal::CaptureStderr();
  for (const ByteVector& bytes : files) {
    for (int round = 0; round < 200; ++round) {
      ByteVector damaged = bytes;
      // Half of the flips in the first bytes, where the header is.
      const auto range = round % 2 == 0 ? std::min<std::size_t>(bytes.size(), 120) : bytes.size();
      const std::uint32_t at = rng.below(static_cast<std::uint32_t>(range));
      damaged[at] ^= static_cast<std::byte>(1U << rng.below(8));
      (void)reason_of(damaged);
    }
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(ReadImage, NamesThePath) {
  const testing::TemporaryFolder folder;
  testing::write_bytes(folder / "empty.png", {});
  std::filesystem::create_directory(folder / "folder.jpg");
  ASSERT_EQ(::mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  for (const auto* name : {"empty.png", "folder.jpg", "pipe.jpg", "missing.jpg"}) {
    try {
      (void)read_image(folder / name);
      ADD_FAILURE() << name << " was read";
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
  const Image image = testing::noise(3, 4, 3);
  testing::write_bytes(folder / "good.png", encode_png(image));
  EXPECT_EQ(read_image(folder / "good.png"), image);
}

TEST(Encode, RefusesWhatTheFormatCannotHold) {
  EXPECT_THROW((void)encode_png(Image(1, 1, 2)), ContractViolation);
  EXPECT_THROW((void)encode_png(Image(1, 1, 1, PixelType::kFloat32)), ContractViolation);
  EXPECT_THROW((void)encode_jpeg(Image(1, 1, 4), 90), ContractViolation);
  EXPECT_THROW((void)encode_jpeg(Image(1, 1, 1, PixelType::kUint16), 90), ContractViolation);
  EXPECT_THROW((void)encode_jpeg(Image(1, 1, 1), 0), ContractViolation);
}

}  // namespace
}  // namespace viewfold
