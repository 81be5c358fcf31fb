// The table that cmake/web_assets.cmake generates; only web_assets.cc and that table include this.
#pragma once

namespace axk1 {

struct WebAssetRow {
  const char* path;  // "/index.html"
  const char* hash;  // of the bytes, hexadecimal
  const char *begin, *end;
  const char *gzip_begin, *gzip_end;  // null when it is kept plain only
};

extern const WebAssetRow kWebAssetRows[];
extern const unsigned kNumWebAssetRows;

}  // namespace axk1
