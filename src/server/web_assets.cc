#include "server/web_assets.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/text.h"
#include "server/web_asset_table.h"

namespace axk1 {
namespace {

std::string_view type_of(std::string_view path) {
  constexpr struct {
    std::string_view ending, type;
  } kTypes[] = {
      {".css", "text/css; charset=utf-8"},
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".png", "image/png"},
      {".svg", "image/svg+xml"},
      {".txt", "text/plain; charset=utf-8"},
      {".webmanifest", "application/manifest+json"},
      {".woff2", "font/woff2"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (path.ends_with(ending)) return type;
  }
  return "";
}

std::vector<WebAsset> read_table() {
  const auto text = [](const char* begin, const char* end) {
    return std::string_view(begin, static_cast<size_t>(end - begin));
  };
  std::vector<WebAsset> assets;
  for (const WebAssetRow& row : std::span(kWebAssetRows, kNumWebAssetRows)) {
    const WebAsset asset{
        .path = row.path,
        .content_type = type_of(row.path),
        .bytes = text(row.begin, row.end),
        .gzip = row.gzip_begin ? text(row.gzip_begin, row.gzip_end) : std::string_view(),
        .hash = row.hash};
    AXK1_CHECK(!asset.content_type.empty());  // a kind of file that web/dist never had
    assets.push_back(asset);
  }
  std::ranges::sort(assets, {}, &WebAsset::path);
  return assets;
}

// Calls each(item) for the items of a comma-separated header value until one returns true.
template <class Each>
bool any_item(std::string_view list, Each each) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (each(trimmed(list.substr(0, comma)))) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// RFC 9110, 12.5.3: gzip is named with a weight above 0. "*" is not taken as a wish for it.
bool accepts_gzip(std::string_view accept_encoding) {
  return any_item(accept_encoding, [](std::string_view item) {
    const size_t semicolon = item.find(';');
    if (trimmed(item.substr(0, semicolon)) != "gzip") return false;
    if (semicolon == std::string_view::npos) return true;
    const std::string_view weight = trimmed(item.substr(semicolon + 1));
    return weight.starts_with("q=") && weight.find_first_of("123456789") != std::string_view::npos;
  });
}

// RFC 9110, 13.1.2: weak comparison.
bool matches(std::string_view if_none_match, std::string_view etag) {
  return any_item(if_none_match, [&](std::string_view item) {
    if (item == "*") return true;
    if (item.starts_with("W/")) item.remove_prefix(2);
    return item == etag;
  });
}

}  // namespace

const std::vector<WebAsset>& web_assets() {
  static const std::vector<WebAsset> assets = read_table();
  return assets;
}

const WebAsset* find_web_asset(std::string_view path) {
  if (path == "/") path = "/index.html";
  const std::vector<WebAsset>& assets = web_assets();
  const auto found = std::ranges::lower_bound(assets, path, {}, &WebAsset::path);
  return found != assets.end() && found->path == path ? &*found : nullptr;
}

std::string_view web_content_security_policy() {
  return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src 'self' data:; font-src 'self'; manifest-src 'self'; worker-src 'self'; "
         "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
}

WebAnswer answer_web_asset(const WebAsset& asset, std::string_view accept_encoding,
                           std::string_view if_none_match) {
  const bool gzip = !asset.gzip.empty() && accepts_gzip(accept_encoding);
  WebAnswer answer;
  answer.etag = cat('"', asset.hash, gzip ? "-gzip" : "", '"');
  // Names below /assets/ contain a hash of the content, so they never mean anything else.
  answer.cache_control =
      asset.path.starts_with("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";
  if (matches(if_none_match, answer.etag)) {
    answer.status = 304;
    return answer;
  }
  answer.body = gzip ? asset.gzip : asset.bytes;
  answer.encoding = gzip ? "gzip" : "";
  return answer;
}

}  // namespace axk1
