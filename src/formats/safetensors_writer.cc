#include "formats/safetensors_writer.h"

#include <algorithm>
#include <optional>

#include "base/bits.h"
#include "base/check.h"
#include "io/json.h"

namespace axk1 {

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::span<const TensorSpec> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  // Wide elements first, so that no tensor of an odd size misaligns one after it.
  std::vector<const TensorSpec*> order;
  for (const TensorSpec& tensor : tensors) order.push_back(&tensor);
  std::ranges::stable_sort(order, [](const auto* a, const auto* b) {
    return dtype_bytes(a->dtype) > dtype_bytes(b->dtype);
  });

  json::object header;
  if (!metadata.empty()) {
    json::object& entries = header["__metadata__"].emplace_object();
    for (const auto& [key, text] : metadata) entries[key] = text;
  }
  uint64_t offset = 0;
  for (const TensorSpec* tensor : order) {
    std::optional<uint64_t> end = dtype_bytes(tensor->dtype);
    for (uint64_t extent : tensor->shape) {
      if (end) end = checked_mul(*end, extent);
    }
    if (end) end = checked_add(*end, offset);
    if (!end || *end > INT64_MAX) {
      fail(ErrorCode::kInvalidInput, path, ": tensor \"", printable(tensor->name), "\" of shape ",
           shape_text(tensor->shape), " is too large for a file");
    }
    if (header.contains(tensor->name) || tensor->name == "__metadata__") {
      fail(ErrorCode::kInvalidInput, path, ": tensor name \"", printable(tensor->name),
           "\" is taken");
    }
    header[tensor->name] = {{"dtype", dtype_name(tensor->dtype)},
                            {"shape", json::array(tensor->shape.begin(), tensor->shape.end())},
                            {"data_offsets", {offset, *end}}};
    slots_[tensor->name] = {offset, *end};
    offset = *end;
  }
  std::string text = json::to_text(header);
  text.resize(round_up(8 + text.size(), 64) - 8, ' ');
  const uint64_t data_start = 8 + text.size();
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  file_.write_at(0, std::as_bytes(std::span(length)));
  file_.write_at(8, std::as_bytes(std::span(text)));
  for (auto& [name, slot] : slots_) {
    slot.next += data_start;
    slot.end += data_start;
  }
}

void SafetensorsWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  const auto at = slots_.find(name);
  AXK1_CHECK(at != slots_.end());
  AXK1_CHECK(bytes.size() <= at->second.end - at->second.next);
  file_.write_at(at->second.next, bytes);
  at->second.next += bytes.size();
}

void SafetensorsWriter::finish() {
  for (const auto& [name, slot] : slots_) AXK1_CHECK(slot.next == slot.end);
  file_.commit();
}

}  // namespace axk1
