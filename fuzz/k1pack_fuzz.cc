// deps: formats io
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "formats/k1pack_index.h"

namespace {

// What is accepted must lie inside the file, and say the same when written and read again.
void check(const axk1::K1PackIndex& index, const axk1::K1PackHeader& header) {
  for (const axk1::K1PackRecord& record : index.records) {
    if (record.offset + record.size_bytes > header.members.offset) std::abort();
    for (const axk1::K1PackTensor& tensor : record.tensors) {
      if (tensor.offset < record.offset || tensor.offset % axk1::kK1PackTensorAlign != 0 ||
          tensor.offset + tensor.size_bytes > record.offset + record.size_bytes) {
        std::abort();
      }
    }
  }
  for (const axk1::K1PackMember& member : index.members) {
    if (member.offset + member.size_bytes > header.index.offset) std::abort();
    if (member.name.starts_with('/') || member.name.find("..") == 0) std::abort();
  }
  const std::string text = axk1::k1pack_index_text(index);
  if (axk1::k1pack_index_text(axk1::parse_k1pack_index(text, header, "x")) != text) std::abort();
}

}  // namespace

// As a whole file, and as an index whose header fits it: mutations hardly ever get past a checksum.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    axk1::parse_k1pack_header(std::as_bytes(std::span(data, size)), size, "x");
  } catch (const axk1::Error&) {
  }
  // The sizes of the parts as the seeds have them.
  axk1::K1PackHeader header{
      .trunk = {4096, 8192}, .streamed = {12288, 12288}, .members = {24576, 8}};
  header.index = {header.members.end(), size};
  try {
    check(axk1::parse_k1pack_index(text, header, "x"), header);
  } catch (const axk1::Error&) {
  }
  return 0;
}
