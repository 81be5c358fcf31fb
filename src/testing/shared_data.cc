#include "testing/shared_data.h"

#include <zstd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "io/file.h"

namespace axk1::testing {

std::string testdata(const std::string& name) {
  return AXK1_SOURCE_DIR "/testdata/" + name;
}

std::string shared_path(const std::string& name) {
  const std::string path = AXK1_SOURCE_DIR "/../shared/" + name;
  return file_exists(path) ? path : "";
}

std::string read_zst(const std::string& path) {
  const std::string packed = read_file(path);
  std::string out;
  std::vector<char> chunk(ZSTD_DStreamOutSize());
  ZSTD_DStream* stream = ZSTD_createDStream();
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  while (in.pos < in.size) {
    ZSTD_outBuffer o{chunk.data(), chunk.size(), 0};
    const size_t result = ZSTD_decompressStream(stream, &o, &in);
    if (ZSTD_isError(result)) throw std::runtime_error(path + ": " + ZSTD_getErrorName(result));
    out.append(chunk.data(), o.pos);
  }
  ZSTD_freeDStream(stream);
  return out;
}

std::map<std::string, std::string> read_tar_zst(const std::string& path) {
  const std::string tar = read_zst(path);
  std::map<std::string, std::string> files;
  for (size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {  // ustar: 512-byte blocks
    std::string name(tar.c_str() + at, strnlen(tar.data() + at, 100));
    const std::string prefix(tar.c_str() + at + 345, strnlen(tar.data() + at + 345, 155));
    if (!prefix.empty() && tar.compare(at + 257, 6, std::string("ustar\0", 6)) == 0) {
      name = prefix + "/" + name;
    }
    const size_t size = std::strtoull(tar.substr(at + 124, 12).c_str(), nullptr, 8);
    const char type = tar[at + 156];
    if (type == '0' || type == '\0') files[name] = tar.substr(at + 512, size);
    at += 512 + (size + 511) / 512 * 512;
  }
  return files;
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "axk1-test-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed: " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::write(const std::string& name, const std::string& bytes) const {
  const std::filesystem::path path = std::filesystem::path(path_) / name;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path.string();
}

}  // namespace axk1::testing
