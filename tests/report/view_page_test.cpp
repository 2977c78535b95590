// Tests of the page of captioned pictures as text.
#include "viewfold/report/view_page.hpp"

#include <regex>
#include <string>

#include "core/test_folder.hpp"
#include "report/page_text.hpp"
#include "report/sample_run.hpp"
#include <gtest/gtest.h>

#include "viewfold/core/error.hpp"
#include "viewfold/core/files.hpp"
#include "viewfold/image/codec.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold {
namespace {

using testing::count;
using testing::holds;

std::string written(const ViewPage& page) {
  const TestFolder folder("view_page");
  write_view_page(page, folder.path() / "views.html");
  return read_text_file(folder.path() / "views.html");
}

TEST(ViewPage, HasAFigureForEveryPictureInItsOrder) {
  const std::string page = written(testing::sample_view_page());
  EXPECT_EQ(count(page, "<section "), 2U);
  EXPECT_EQ(count(page, "<figure"), 8U);
  EXPECT_EQ(count(page, "src=\"data:image/png;base64,iVBOR"), 8U);
  EXPECT_LT(page.find(">first.png</h2>"), page.find("alt=\"original\""));
  EXPECT_LT(page.find("alt=\"original\""), page.find("alt=\"view 1, large\""));
  EXPECT_LT(page.find("alt=\"view 1, large\""), page.find("alt=\"view 3, small\""));
  EXPECT_LT(page.find("alt=\"view 3, small\""), page.find(">second.png</h2>"));
  EXPECT_TRUE(holds(page, "--columns: 4"));
}

TEST(ViewPage, SetsOffTheFirstWordAndWhatDidNotHappen) {
  const std::string page = written(testing::sample_view_page());
  EXPECT_EQ(
      count(page,
            "<li><b>gaussian_<wbr>blur</b> <span>radius 2,</span> <span>sigma 1.5</span></li>"),
      6U);
  EXPECT_EQ(count(page, "<li class=\"faint\"><b>invert</b> <span>not applied</span></li>"), 6U);
}

TEST(ViewPage, DrawsALineWhereAGroupBegins) {
  const std::string page = written(testing::sample_view_page());
  EXPECT_EQ(count(page, "class=\"starts-group\""), 4U);  // large and small, in two rows
}

TEST(ViewPage, ShowsViewsInProportionToEachOther) {
  const std::string page = written(testing::sample_view_page());
  EXPECT_EQ(count(page, "style=\"width: 100%\""), 6U);  // two originals, large views
  EXPECT_EQ(count(page, "style=\"width: 37.5%\""), 2U);
  EXPECT_EQ(count(page, "<p><span>large,</span> <span>32 x 32 px</span></p>"), 4U);
  EXPECT_EQ(count(page, "<p><span>small,</span> <span>12 x 12 px</span></p>"), 2U);
}

TEST(ViewPage, PixelsStayVisibleOfSmallPicturesOnly) {
  ViewPage page{.title = "t", .sentences = {}, .rows = {{.name = "n", .pictures = {}}}};
  for (const int side : {8, 64, 65}) {
    page.rows[0].pictures.push_back(
        {.image = Image(side, 8, 1), .title = "p", .group = "", .caption = {}});
  }
  EXPECT_EQ(count(written(page), "<img class=\"small\""), 2U);
}

TEST(ViewPage, HoldsTheBytesOfAPictureAndASmallerOneOfALargePicture) {
  Image image(3, 2, 3);
  image.values<std::uint8_t>()[7] = 200;
  ViewPage page{.title = "t", .sentences = {}, .rows = {{.name = "n", .pictures = {}}}};
  page.rows[0].pictures.push_back({.image = image, .title = "p", .group = "", .caption = {}});
  page.rows[0].pictures.push_back(
      {.image = Image(300, 1024, 3), .title = "p", .group = "", .caption = {}});
  const std::string text = written(page);
  EXPECT_TRUE(
      holds(text, "base64," + report::base64(encode_png(image)) + "\" width=\"2\" height=\"3\""));
  EXPECT_TRUE(holds(text, "width=\"512\" height=\"150\""));
  EXPECT_TRUE(holds(text, "<p><span>300 x 1024 px</span></p>"));
}

TEST(ViewPage, TextsStayTexts) {
  const std::string hostile = "</style></title><script>alert(1)</script>'\"><img src=x onerror=y>";
  ViewPage page = testing::sample_view_page();
  page.title = hostile;
  page.sentences = {hostile};
  page.rows[0].name = "<script>.png";
  page.rows[1].name = "caf\xE9.png";
  page.rows[0].pictures[0].title = hostile;
  page.rows[0].pictures[1].group = hostile;
  page.rows[0].pictures[1].caption = {{.text = hostile, .faint = false},
                                      {.text = "", .faint = true}};
  const std::string text = written(page);
  EXPECT_FALSE(holds(text, "<script"));
  EXPECT_FALSE(holds(text, "<img src=x"));
  EXPECT_EQ(count(text, "</style>"), 1U);
  EXPECT_TRUE(holds(text, ">&lt;script&gt;.png</h2>"));
  EXPECT_TRUE(holds(text, "caf\xEF\xBF\xBD.png"));
}

TEST(ViewPage, RefersToNothingOutsideOfItselfAndRunsNothing) {
  std::string page = written(testing::sample_view_page());
  const std::string data = "base64,";  // of pictures, may look like anything
  for (auto at = page.find(data); at != std::string::npos; at = page.find(data, at + 1)) {
    page.erase(at + data.size(), page.find('"', at) - at - data.size());
  }
  EXPECT_TRUE(
      holds(page, "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\""));
  EXPECT_FALSE(std::regex_search(
      page, std::regex("https?:|//[a-z]|@import|<link(?! rel=\"icon\")|<script|url\\(|<iframe")));
}

TEST(ViewPage, IsWrittenWholeOrNotAtAll) {
  const TestFolder folder("view_page");
  const auto file = folder.path() / "views.html";
  write_file_atomically(file, std::string_view("the old page"));
  ViewPage page = testing::sample_view_page();
  page.rows[1].pictures[2].image = Image(4, 4, 2);  // no PNG has two bands
  EXPECT_THROW(write_view_page(page, file), ContractViolation);
  EXPECT_EQ(read_text_file(file), "the old page");
  EXPECT_THROW(write_view_page(testing::sample_view_page(), folder.path() / "nowhere" / "v.html"),
               DataError);
}

}  // namespace
}  // namespace viewfold
