// Writes what the fuzz programs begin with, a folder for each corpus: small files of every format
// in as many variants as the decoders know, so that changes lead into all of their branches.
#include <array>
#include <cstdlib>
#include <string>
#include <vector>
#include <zlib.h>

#include "data/sample_sets.hpp"
#include "fuzz/cache_input.hpp"
#include "fuzz/reader_input.hpp"
#include "fuzz/seeds.hpp"
#include <fmt/format.h>

#include "viewfold/augment/recipe.hpp"
#include "viewfold/core/config.hpp"

namespace viewfold {
namespace {

namespace fs = std::filesystem;
using testing::ByteVector;
using testing::Corpus;
using testing::Reader;

ByteVector noise_bytes(std::size_t count, std::uint32_t sample = 0) {
  const Image image = testing::noise(1, static_cast<int>(count), 1, PixelType::kUint8, sample);
  return {image.bytes().begin(), image.bytes().end()};
}

// ---- JPEG ----

ByteVector jpeg_of(const Image& image, int subsampling, int flags) {
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), tjDestroy);
  unsigned char* out = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): type of the library's interface
  tjCompress2(encoder.get(), image.values<std::uint8_t>().data(), image.width(), 0, image.height(),
              image.bands() == 1 ? TJPF_GRAY : TJPF_RGB, &out, &size, subsampling, 75, flags);
  const ByteVector bytes = testing::bytes_of({reinterpret_cast<const char*>(out), size});
  tjFree(out);
  return bytes;
}

void write_jpegs(Corpus corpus) {
  const Image rgb = testing::ramp(17, 19, 3);
  corpus.add(jpeg_of(testing::ramp(9, 9, 1), TJSAMP_GRAY, 0));
  corpus.add(testing::encode_cmyk_jpeg(testing::ramp(9, 9, 4)));
  corpus.add(testing::with_orientation(encode_jpeg(rgb, 80), 6));
  for (const int subsampling : {TJSAMP_444, TJSAMP_422, TJSAMP_420, TJSAMP_411}) {
    corpus.add(jpeg_of(rgb, subsampling, 0));
    corpus.add(jpeg_of(rgb, subsampling, TJFLAG_PROGRESSIVE));
  }
  ::setenv("TJ_RESTART", "1", 1);
  corpus.add(jpeg_of(rgb, TJSAMP_420, 0));
  ::unsetenv("TJ_RESTART");
  ::setenv("TJ_ARITHMETIC", "1", 1);
  corpus.add(jpeg_of(rgb, TJSAMP_420, 0));
  corpus.add(jpeg_of(rgb, TJSAMP_420, TJFLAG_PROGRESSIVE));
  ::unsetenv("TJ_ARITHMETIC");
}

// ---- PNG ----

void add_chunk(ByteVector& png, std::string_view type, const ByteVector& content) {
  testing::append(png, testing::big_endian({static_cast<std::uint32_t>(content.size())}));
  const std::size_t begin = png.size();
  testing::append(png, testing::bytes_of(type));
  testing::append(png, content);
  const uLong sum =
      crc32(0, reinterpret_cast<const Bytef*>(&png[begin]), static_cast<uInt>(png.size() - begin));
  testing::append(png, testing::big_endian({static_cast<std::uint32_t>(sum)}));
}

ByteVector deflated(const ByteVector& bytes) {
  ByteVector packed(compressBound(bytes.size()));
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  packed.resize(size);
  return packed;
}

// A square of 5 x 5 pixels with more data than any kind needs.
ByteVector png_of(unsigned depth, unsigned colour, bool interlaced) {
  ByteVector png = testing::bytes_of("\x89PNG\r\n\x1A\n");
  ByteVector header = testing::big_endian({5, 5});
  for (const unsigned value : {depth, colour, 0U, 0U, interlaced ? 1U : 0U}) {
    header.push_back(static_cast<std::byte>(value));
  }
  add_chunk(png, "IHDR", header);
  if (colour == 3) {
    add_chunk(png, "PLTE", noise_bytes(std::size_t{3} << depth));
    add_chunk(png, "tRNS", noise_bytes(2));
  }
  add_chunk(png, "eXIf", testing::exif_of(5));
  add_chunk(png, "tEXt", testing::bytes_of(std::string_view("key\0text", 8)));
  ByteVector rows(400);  // filter 0, black
  add_chunk(png, "IDAT", deflated(rows));
  add_chunk(png, "IEND", {});
  return png;
}

void write_pngs(Corpus corpus) {
  for (const int bands : {1, 3, 4}) {
    for (const auto type : {PixelType::kUint8, PixelType::kUint16}) {
      corpus.add(encode_png(testing::noise(7, 6, bands, type)));
    }
  }
  constexpr std::array<std::pair<unsigned, unsigned>, 15> kKinds{{{1, 0},
                                                                  {2, 0},
                                                                  {4, 0},
                                                                  {8, 0},
                                                                  {16, 0},
                                                                  {8, 2},
                                                                  {16, 2},
                                                                  {1, 3},
                                                                  {2, 3},
                                                                  {4, 3},
                                                                  {8, 3},
                                                                  {8, 4},
                                                                  {16, 4},
                                                                  {8, 6},
                                                                  {16, 6}}};
  for (const auto& [depth, colour] : kKinds) {
    corpus.add(png_of(depth, colour, false));
    corpus.add(png_of(depth, colour, true));
  }
}

// ---- WebP ----

void write_webps(Corpus corpus) {
  const Image rgb = testing::ramp(9, 11, 3);
  const Image rgba = testing::noise(9, 11, 4);
  corpus.add(testing::encode_webp(rgb));
  corpus.add(testing::encode_webp(testing::noise(5, 7, 3)));
  corpus.add(testing::encode_animated_webp(rgb, testing::noise(9, 11, 3)));
  const auto add = [&corpus](std::uint8_t* out, std::size_t size) {
    corpus.add(testing::bytes_of({reinterpret_cast<const char*>(out), size}));
    WebPFree(out);
  };
  std::uint8_t* out = nullptr;
  std::size_t size = WebPEncodeRGB(rgb.values<std::uint8_t>().data(), 11, 9, 33, 60, &out);
  add(out, size);
  size = WebPEncodeRGBA(rgba.values<std::uint8_t>().data(), 11, 9, 44, 60, &out);
  add(out, size);
  size = WebPEncodeLosslessRGBA(rgba.values<std::uint8_t>().data(), 11, 9, 44, &out);
  add(out, size);
}

// ---- TIFF ----

struct TiffKind {
  int bits = 8;
  int samples = 1;
  int photometric = PHOTOMETRIC_MINISBLACK;
  int compression = COMPRESSION_NONE;
  int planes = PLANARCONFIG_CONTIG;
  bool tiled = false;
};

void set_fields(TIFF* tiff, const TiffKind& kind) {
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 18);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 17);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, kind.bits);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, kind.samples);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, kind.photometric);
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, kind.compression);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, kind.planes);
  if (kind.tiled) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 8);
  }
  if (kind.photometric == PHOTOMETRIC_PALETTE) {
    std::vector<std::uint16_t> colours(std::size_t{1} << static_cast<unsigned>(kind.bits), 7);
    TIFFSetField(tiff, TIFFTAG_COLORMAP, colours.data(), colours.data(), colours.data());
  }
}

ByteVector tiff_of(const TiffKind& kind) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "image.tiff";
  TIFF* const tiff = TIFFOpen(path.c_str(), "w");
  set_fields(tiff, kind);
  const std::uint32_t parts = kind.tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  for (std::uint32_t i = 0; i < parts; ++i) {
    const tmsize_t size =
        kind.tiled ? TIFFTileSize(tiff) : TIFFVStripSize(tiff, i % 3 == 2 ? 1 : 8);
    ByteVector content = noise_bytes(static_cast<std::size_t>(size));
    if (kind.tiled) {
      TIFFWriteEncodedTile(tiff, i, content.data(), size);
    } else {
      TIFFWriteEncodedStrip(tiff, i, content.data(), size);
    }
  }
  TIFFClose(tiff);
  return testing::load_bytes(path);
}

void write_tiffs(Corpus corpus) {
  for (const int compression :
       {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_PACKBITS, COMPRESSION_ADOBE_DEFLATE,
        COMPRESSION_LZMA, COMPRESSION_ZSTD, COMPRESSION_JPEG, COMPRESSION_WEBP}) {
    const int samples = compression == COMPRESSION_WEBP ? 3 : 1;
    const int photometric = samples == 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    corpus.add(
        tiff_of({.samples = samples, .photometric = photometric, .compression = compression}));
    corpus.add(tiff_of(
        {.samples = 3, .photometric = PHOTOMETRIC_RGB, .compression = compression, .tiled = true}));
  }
  for (const int compression :
       {COMPRESSION_CCITTRLE, COMPRESSION_CCITTFAX3, COMPRESSION_CCITTFAX4}) {
    corpus.add(
        tiff_of({.bits = 1, .photometric = PHOTOMETRIC_MINISWHITE, .compression = compression}));
  }
  for (const int bits : {1, 4, 8}) {
    corpus.add(tiff_of({.bits = bits, .photometric = PHOTOMETRIC_PALETTE}));
    corpus.add(tiff_of({.bits = bits}));
  }
  for (const bool tiled : {false, true}) {
    for (const int planes : {PLANARCONFIG_CONTIG, PLANARCONFIG_SEPARATE}) {
      corpus.add(tiff_of(
          {.samples = 3, .photometric = PHOTOMETRIC_RGB, .planes = planes, .tiled = tiled}));
      corpus.add(tiff_of(
          {.samples = 4, .photometric = PHOTOMETRIC_SEPARATED, .planes = planes, .tiled = tiled}));
      corpus.add(tiff_of({.bits = 16,
                          .samples = 3,
                          .photometric = PHOTOMETRIC_RGB,
                          .planes = planes,
                          .tiled = tiled}));
    }
  }
  corpus.add(tiff_of({.samples = 3, .photometric = PHOTOMETRIC_YCBCR}));
  corpus.add(tiff_of({.samples = 3, .photometric = PHOTOMETRIC_CIELAB}));
  corpus.add(tiff_of({.bits = 16, .samples = 2, .compression = COMPRESSION_LZW}));
  corpus.add(testing::encode_tiff(testing::noise(5, 4, 3), {.orientation = 6, .pages = 2}));
  corpus.add(testing::encode_tiff(testing::noise(5, 4, 1, PixelType::kUint16)));
}

// ---- BMP and PNM ----

// 5 x 5 pixels of noise.
ByteVector bmp_of(std::uint32_t bits, std::uint32_t compression, std::int32_t height) {
  const std::uint32_t colours = bits <= 8 ? 1U << bits : 0;
  const std::uint32_t masks = compression == 3 ? 12 : 0;
  const std::uint32_t offset = 54 + masks + 4 * colours;
  const std::uint32_t pixels = 5 * ((5 * bits + 31) / 32 * 4);
  ByteVector bytes = testing::bytes_of("BM");
  for (const std::uint32_t value :
       {offset + pixels, 0U, offset, 40U, 5U, static_cast<std::uint32_t>(height),
        1U | (bits << 16U), compression, pixels, 0U, 0U, colours, 0U}) {
    testing::append_u32(bytes, value);
  }
  if (masks > 0) {
    for (const std::uint32_t mask : {0xF800U, 0x07E0U, 0x001FU}) {
      testing::append_u32(bytes, mask);
    }
  }
  testing::append(bytes, noise_bytes(4 * colours + pixels));
  return bytes;
}

// The header of OS/2.
ByteVector old_bmp() {
  ByteVector bytes = testing::bytes_of("BM");
  for (const std::uint32_t value : {26U + 80U, 0U, 26U, 12U, 5U | (5U << 16U), 1U | (24U << 16U)}) {
    testing::append_u32(bytes, value);
  }
  testing::append(bytes, noise_bytes(80));
  return bytes;
}

void write_bmps(Corpus corpus) {
  corpus.add(testing::encode_bmp(testing::noise(5, 6, 3)));
  corpus.add(old_bmp());
  for (const std::uint32_t bits : {1U, 4U, 8U, 16U, 24U, 32U}) {
    corpus.add(bmp_of(bits, 0, bits == 24 ? -5 : 5));
  }
  corpus.add(bmp_of(16, 3, 5));
  corpus.add(bmp_of(32, 3, 5));
  corpus.add(bmp_of(8, 1, 5));
}

void write_pnms(Corpus corpus) {
  for (const int bands : {1, 3}) {
    for (const auto type : {PixelType::kUint8, PixelType::kUint16}) {
      corpus.add(testing::encode_pnm(testing::noise(4, 3, bands, type)));
    }
  }
  for (const std::string_view text :
       {"P1\n# bits\n3 2\n1 0 1\n010\n", "P2 2 2 9\n0 3\n6 9\n", "P3\n1 2\n255\n1 2 3\n255 0 7\n",
        "P4\n9 2\n\x55\x80\xAA\x7F", "P5 2 1 1000\n\x01\x02\x03\x04"}) {
    corpus.add(testing::bytes_of(text));
  }
}

// ---- readers, views ----

std::vector<testing::TarFile> archive_files() {
  return {{"train/a/1.png", encode_png(testing::sample(1))},
          {"train/b/1.cls", testing::bytes_of("3\n")},
          {"train/b/1.jpg", encode_jpeg(testing::sample(2), 80)},
          {"test/b/2.json", testing::bytes_of("{\"label\": 1}")},
          {"test/b/2.png", {}, "train/a/1.png"},
          {"test/" + std::string(90, 'n') + "/" + std::string(90, 'm') + ".ppm",
           testing::encode_pnm(testing::sample(3))}};
}

std::string dino_settings() {
  RecipeConfig config("dino", 32);
  return print_config(config);
}

void write_readers(Corpus corpus) {
  const auto add = [&corpus](Reader reader, const ByteVector& first,
                             const ByteVector& second = {}) {
    corpus.add(testing::join_reader_input(reader, first, second));
  };
  const auto text = [](std::string_view value) { return testing::bytes_of(value); };
  const ByteVector images = testing::idx_images({testing::noise(3, 2, 1), testing::noise(3, 2, 1)});
  const ByteVector labels = testing::idx_labels({1, 12});
  add(Reader::kIdx, images, labels);
  add(Reader::kIdxPacked, images, labels);
  add(Reader::kIdxGzip, testing::gzip(images), testing::gzip(labels));
  const Image small = testing::cifar_image(1);
  std::string names;
  for (int i = 0; i < 100; ++i) {
    names += fmt::format("class {}\r\n", i);
  }
  add(Reader::kCifar10, testing::cifar_records({small}, {{3}}), text(names.substr(0, 120)));
  add(Reader::kCifar100, testing::cifar_records({small}, {{3, 99}}), text(names));
  add(Reader::kStl10, testing::planar(testing::noise(96, 96, 3), true), {std::byte{10}});
  for (const char* const format : {"gnu", "pax"}) {
    add(Reader::kTar, testing::make_tar(archive_files(), format));
  }
  auto short_names = archive_files();
  short_names.pop_back();
  for (const char* const format : {"v7", "ustar"}) {
    add(Reader::kTar, testing::make_tar(short_names, format));
  }
  add(Reader::kList, text("\xEF\xBB\xBF"
                          "a.png\tx\r\nb/c.jpg\ty\n# no image\n\n/d.png\n"));
  add(Reader::kToml, text(dino_settings()));
  add(Reader::kToml, text("large.view1.solarize.probability = 1\n[small]\nviews = 3 # few\n"));
  add(Reader::kArguments, text("small.views=3\nlarge.view2.gaussian_blur.sigma_max= +1e-1\n"
                               "small.random_resized_crop.interpolation=bilinear\n"
                               "small.random_resized_crop.antialias=off\n"));
  const ByteVector cache = testing::good_cache(std::make_shared<testing::FourPictures>());
  add(Reader::kCache, cache);
  add(Reader::kCache, cache, text("x"));
}

void write_draws(Corpus corpus) {
  for (std::uint32_t i = 0; i < 200; ++i) {
    corpus.add(noise_bytes(64 + 2 * i, i));
  }
}

void write_all(const fs::path& folder) {
  TIFFSetErrorHandler(nullptr);  // not every libtiff has every compression
  TIFFSetWarningHandler(nullptr);
  write_jpegs(Corpus(folder / "decode_jpeg"));
  write_pngs(Corpus(folder / "decode_png"));
  write_webps(Corpus(folder / "decode_webp"));
  write_tiffs(Corpus(folder / "decode_tiff"));
  write_bmps(Corpus(folder / "decode_bmp"));
  write_pnms(Corpus(folder / "decode_pnm"));
  write_draws(Corpus(folder / "views"));
  write_readers(Corpus(folder / "readers"));
  testing::write_report_seeds(Corpus(folder / "report"));
  testing::write_checkpoint_seeds(Corpus(folder / "checkpoint"));
}

}  // namespace
}  // namespace viewfold

int main(int count, char** arguments) {
  if (count != 2) {
    fmt::print(stderr, "usage: {} FOLDER\n", arguments[0]);
    return 2;
  }
  viewfold::write_all(arguments[1]);
  return 0;
}
