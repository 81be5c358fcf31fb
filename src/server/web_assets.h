// The chat page: the files of web/dist, which are part of the program, and what HTTP says of them.
// Constant data and pure functions: any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace axk1 {

struct WebAsset {
  std::string_view path;  // "/index.html"
  std::string_view content_type;
  std::string_view bytes;
  std::string_view gzip;  // the same, compressed; empty where that saves nothing
  std::string_view hash;  // of the bytes, hexadecimal
};

// All of them, by path.
const std::vector<WebAsset>& web_assets();

// The file that a GET of `path` (decoded, without query) means; "/" is the page itself. Null when
// there is none.
const WebAsset* find_web_asset(std::string_view path);

// Whose scripts, styles and connections the page may use: this server's only.
std::string_view web_content_security_policy();

// What to answer to a GET of an asset.
struct WebAnswer {
  int status = 200;           // or 304: the client has it
  std::string_view body;      // empty with 304
  std::string_view encoding;  // "" or "gzip"
  std::string etag;
  std::string_view cache_control;
};

// accept_encoding, if_none_match: those headers of the request, "" when absent.
WebAnswer answer_web_asset(const WebAsset& asset, std::string_view accept_encoding,
                           std::string_view if_none_match);

}  // namespace axk1
