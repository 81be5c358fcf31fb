#include "server/web_assets.h"

#include <gtest/gtest.h>

#include <string>

namespace axk1 {
namespace {

TEST(WebAssets, PageIsInTheProgram) {
  const WebAsset* page = find_web_asset("/");
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page, find_web_asset("/index.html"));
  EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
  EXPECT_TRUE(page->bytes.starts_with("<!doctype html>"));
  EXPECT_TRUE(page->bytes.ends_with("</html>\n"));
  for (const char* path : {"/sw.js", "/manifest.webmanifest", "/icon.svg", "/icon-512.png"}) {
    EXPECT_NE(find_web_asset(path), nullptr) << path;
  }
}

TEST(WebAssets, OnlyWholePathsAreFound) {
  for (const char* path : {"", "index.html", "/index", "/index.html/", "/assets", "/assets/",
                           "/../index.html", "//index.html", "/sw.js.gz", "/INDEX.HTML"}) {
    EXPECT_EQ(find_web_asset(path), nullptr) << path;
  }
}

// Everything the page names must be there, since nothing is fetched from elsewhere.
TEST(WebAssets, WhatThePageNamesIsThere) {
  const std::string_view page = find_web_asset("/")->bytes;
  size_t named = 0;
  for (const std::string_view attribute : {"src=\"", "href=\""}) {
    for (size_t at = page.find(attribute); at != std::string_view::npos;
         at = page.find(attribute, at + 1)) {
      const size_t begin = at + attribute.size();
      std::string path(page.substr(begin, page.find('"', begin) - begin));
      ASSERT_TRUE(path.starts_with("./")) << path;
      EXPECT_NE(find_web_asset(path.substr(1)), nullptr) << path;
      ++named;
    }
  }
  EXPECT_GE(named, 5u);
}

TEST(WebAssets, PolicyForbidsInlineAndForeignCode) {
  const std::string_view policy = web_content_security_policy();
  EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "));
  EXPECT_EQ(policy.find("unsafe"), std::string_view::npos);
  EXPECT_EQ(policy.find("http"), std::string_view::npos);
  EXPECT_EQ(policy.find('*'), std::string_view::npos);
  const std::string_view page = find_web_asset("/")->bytes;
  EXPECT_EQ(page.find("<style"), std::string_view::npos);
  EXPECT_EQ(page.find("style="), std::string_view::npos);
  for (size_t at = page.find("<script"); at != std::string_view::npos;
       at = page.find("<script", at + 1)) {
    EXPECT_NE(page.substr(at, page.find('>', at) - at).find("src="), std::string_view::npos);
  }
}

TEST(WebAssets, CompressedFormIsSentToThoseWhoTakeIt) {
  const WebAsset& page = *find_web_asset("/");
  ASSERT_FALSE(page.gzip.empty());
  for (const char* accepts : {"gzip", "br, gzip", "deflate,gzip;q=0.5", "gzip ; q=1", " gzip "}) {
    const WebAnswer answer = answer_web_asset(page, accepts, "");
    EXPECT_EQ(answer.encoding, "gzip") << accepts;
    EXPECT_EQ(answer.body, page.gzip) << accepts;
    EXPECT_TRUE(answer.body.starts_with("\x1f\x8b")) << accepts;
  }
  for (const char* accepts : {"", "identity", "br", "gzip;q=0", "gzip;q=0.000", "x-gzip", "*"}) {
    const WebAnswer answer = answer_web_asset(page, accepts, "");
    EXPECT_EQ(answer.encoding, "") << accepts;
    EXPECT_EQ(answer.body, page.bytes) << accepts;
  }
  const WebAsset& icon = *find_web_asset("/icon-512.png");
  EXPECT_EQ(answer_web_asset(icon, "gzip", "").encoding, "");
}

TEST(WebAssets, CopyThatTheClientHasIsNotSentAgain) {
  const WebAsset& page = *find_web_asset("/");
  const std::string plain = answer_web_asset(page, "", "").etag;
  const std::string packed = answer_web_asset(page, "gzip", "").etag;
  EXPECT_NE(plain, packed);  // different bytes
  for (const std::string& tag : {plain, "W/" + plain, "\"x\", " + plain, std::string("*")}) {
    const WebAnswer answer = answer_web_asset(page, "", tag);
    EXPECT_EQ(answer.status, 304) << tag;
    EXPECT_EQ(answer.body, "") << tag;
    EXPECT_EQ(answer.etag, plain) << tag;
  }
  for (const std::string& tag : {packed, std::string("\"x\""), plain.substr(1), std::string(",")}) {
    EXPECT_EQ(answer_web_asset(page, "", tag).status, 200) << tag;
  }
}

TEST(WebAssets, OnlyNamesWithAHashAreKeptForGood) {
  size_t immutable = 0;
  for (const WebAsset& asset : web_assets()) {
    const bool kept =
        answer_web_asset(asset, "", "").cache_control.find("immutable") != std::string::npos;
    EXPECT_EQ(kept, asset.path.starts_with("/assets/")) << asset.path;
    immutable += kept;
  }
  EXPECT_GT(immutable, 0u);
}

}  // namespace
}  // namespace axk1
