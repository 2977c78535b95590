// Tests of files that claim what would cost much memory, as fuzzing found them.
#include <string>

#include "image/sample_files.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/image/codec.hpp"

namespace viewfold {
namespace {

using testing::ByteVector;
using testing::reason_of;

TEST(HostilePng, AChunkOfTwoGigabytesIsRefusedBeforeMemoryIsTakenForIt) {
  ByteVector png = encode_png(testing::noise(5, 5, 3));
  constexpr std::ptrdiff_t kBehindHeader = 33;  // of signature and IHDR
  const ByteVector chunk = testing::bytes_of(
      "\x7F\xFF\xFF\xF0"
      "eXIfII*");
  png.insert(png.begin() + kBehindHeader, chunk.begin(), chunk.end());
  EXPECT_EQ(reason_of(png), "png: truncated: a chunk claims 2147483632 bytes");
}

// 20 x 1000 pixels of 8 bits, packed, with as many samples to a pixel.
ByteVector tiff_of_samples(int samples) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "image.tiff";
  TIFF* const tiff = TIFFOpen(path.c_str(), "w");
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 1000);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 20);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, samples);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
  TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 20);
  ByteVector strip(64, std::byte{'x'});
  TIFFWriteRawStrip(tiff, 0, strip.data(), 64);
  TIFFClose(tiff);
  return testing::load_bytes(path);
}

// A gigabyte for a strip, of which the file holds 64 bytes.
TEST(HostileTiff, SamplesWithoutNumberAreRefusedBeforeMemoryIsTakenForThem) {
  EXPECT_EQ(reason_of(tiff_of_samples(60000)), "tiff: 60000 samples to a pixel are not supported");
}

// OpenCV would say on the terminal that the header ends behind the file, or that its size is
// negative.
TEST(HostileBmp, AHeaderThatIsLongerThanItsFileIsRefusedWithoutAWordOnTheTerminal) {
  ::testing::internal::CaptureStderr();
  for (const std::uint32_t size : {5000U, 0x80000028U}) {
    ByteVector bmp = testing::encode_bmp(testing::noise(5, 6, 3));
    for (std::size_t i = 0; i < 4; ++i) {
      bmp[14 + i] = static_cast<std::byte>(size >> (8 * i));
    }
    EXPECT_EQ(reason_of(bmp), fmt::format("bmp: truncated: {} bytes, its header claims {}",
                                          bmp.size(), 14 + std::uint64_t{size}));
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace viewfold
