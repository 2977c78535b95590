// Tests of conditions and neighbourhoods as a file.
#include "viewfold/manifold/local_manifold.hpp"

#include "core/test_folder.hpp"
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/nn/safetensors.hpp"

namespace viewfold {
namespace {

LocalManifold some_manifold() {
  torch::manual_seed(3);
  auto manifold = make_local_manifold(at::randn({12, 5}) * 4.0, at::randn({12, 5}), 3);
  manifold.data_fingerprint = "abc";
  manifold.condition = "pixels";
  return manifold;
}

TEST(LocalManifold, HasUnitConditions) {
  const auto manifold = some_manifold();
  EXPECT_LT((manifold.features.norm(2, 1) - 1.0).abs().max().item<double>(), 1e-5);
  EXPECT_LT((manifold.flipped.norm(2, 1) - 1.0).abs().max().item<double>(), 1e-5);
}

TEST(LocalManifold, ComesBackFromItsFile) {
  const TestFolder folder("local_manifold");
  const auto path = folder.path() / "n.safetensors";
  const auto manifold = some_manifold();
  write_local_manifold(manifold, path);
  const auto read = read_local_manifold(path);
  EXPECT_TRUE(read.features.equal(manifold.features));
  EXPECT_TRUE(read.flipped.equal(manifold.flipped));
  EXPECT_TRUE(read.neighbourhoods.index.equal(manifold.neighbourhoods.index));
  EXPECT_TRUE(read.neighbourhoods.similarity.equal(manifold.neighbourhoods.similarity));
  EXPECT_TRUE(read.confidence.equal(manifold.confidence));
  EXPECT_EQ(read.data_fingerprint, "abc");
  EXPECT_EQ(read.condition, "pixels");
}

// Everything that can be wrong with one tensor of the file.
TEST(LocalManifold, IsRefusedWhereItsPartsDoNotFit) {
  const TestFolder folder("local_manifold");
  const auto path = folder.path() / "n.safetensors";
  const auto good = some_manifold();
  const auto write = [&](const at::Tensor& features, const at::Tensor& index) {
    write_file_atomically(
        path,
        write_safetensors({{"features", features},
                           {"neighbour_index", index},
                           {"neighbour_similarity", good.neighbourhoods.similarity},
                           {"confidence", good.confidence}},
                          {{"data_fingerprint", "abc"}, {"condition", "pixels"}, {"recall", "1"}}));
  };
  write(good.features, good.neighbourhoods.index);
  EXPECT_FALSE(read_local_manifold(path).flipped.defined());
  auto outside = good.neighbourhoods.index.clone();
  outside[0][0] = 12;
  write(good.features, outside);
  EXPECT_THROW((void)read_local_manifold(path), DataError);
  write(good.features.narrow(0, 0, 11), good.neighbourhoods.index);
  EXPECT_THROW((void)read_local_manifold(path), DataError);
  auto broken = good.features.clone();
  broken[3][1] = std::numeric_limits<float>::quiet_NaN();
  write(broken, good.neighbourhoods.index);
  EXPECT_THROW((void)read_local_manifold(path), DataError);
  write(good.features.to(at::kDouble), good.neighbourhoods.index);
  EXPECT_THROW((void)read_local_manifold(path), DataError);
}

}  // namespace
}  // namespace viewfold
