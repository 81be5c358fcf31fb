#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/bf16.h"
#include "base/bits.h"
#include "base/check.h"
#include "io/json.h"

namespace axk1 {
namespace {

// The types of the reference implementation (safetensors/src/tensor.rs) that we do not compute in.
constexpr std::string_view kForeignDTypes[] = {
    "BOOL", "F4",      "F6_E2M3", "F6_E3M2", "U8",  "I8",      "I16",     "U16", "I32",
    "U32",  "F8_E5M2", "I64",     "U64",     "F64", "F8_E4M3", "F8_E8M0", "C64"};

[[noreturn]] void wrong(const std::string& source, std::string_view tensor,
                        const std::string& what) {
  fail(ErrorCode::kInvalidInput, source, ": tensor \"", printable(tensor), "\": ", what);
}

DType read_dtype(const json::object& entry, const std::string& source, std::string_view tensor) {
  const json::value* found = entry.if_contains("dtype");
  if (!found || !found->is_string()) wrong(source, tensor, "has no \"dtype\" string");
  const std::string_view name = found->get_string();
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI32}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  if (std::ranges::find(kForeignDTypes, name) != std::end(kForeignDTypes)) {
    fail(ErrorCode::kUnsupported, source, ": tensor \"", printable(tensor), "\": has type ", name,
         ", which is not computed here; expected F32, BF16 or F16");
  }
  wrong(source, tensor,
        cat("has unknown type \"", printable(name, 40), "\", expected F32, BF16 or F16"));
}

std::vector<uint64_t> read_numbers(const json::object& entry, std::string_view field,
                                   size_t max_count, const std::string& source,
                                   std::string_view tensor) {
  const json::value* found = entry.if_contains(field);
  if (!found || !found->is_array()) wrong(source, tensor, cat("has no \"", field, "\" array"));
  const json::array& items = found->get_array();
  if (items.size() > max_count) {
    wrong(source, tensor,
          cat("\"", field, "\" has ", items.size(), " numbers, expected at most ", max_count));
  }
  std::vector<uint64_t> numbers;
  numbers.reserve(items.size());
  for (const json::value& item : items) {
    if (item.is_uint64()) {
      numbers.push_back(item.get_uint64());
    } else if (item.is_int64() && item.get_int64() >= 0) {
      numbers.push_back(static_cast<uint64_t>(item.get_int64()));
    } else {
      wrong(source, tensor,
            cat("\"", field, "\" holds ", printable(json::to_text(item), 40),
                ", expected integers of at least 0"));
    }
  }
  return numbers;
}

TensorInfo read_tensor(std::string_view name, const json::value& v, const std::string& source) {
  if (!v.is_object()) {
    wrong(source, name, cat("is described by a ", json::kind_name(v), ", expected an object"));
  }
  const json::object& entry = v.get_object();
  TensorInfo info;
  info.name = std::string(name);
  info.dtype = read_dtype(entry, source, name);
  info.shape = read_numbers(entry, "shape", kMaxSafetensorsRank, source, name);
  const std::vector<uint64_t> offsets = read_numbers(entry, "data_offsets", 2, source, name);
  if (offsets.size() != 2) {
    wrong(source, name, cat("\"data_offsets\" has ", offsets.size(), " numbers, expected 2"));
  }
  if (offsets[0] > offsets[1]) {
    wrong(source, name, cat("data ends at ", offsets[1], ", before it begins at ", offsets[0]));
  }
  info.offset = offsets[0];
  info.size_bytes = offsets[1] - offsets[0];

  std::optional<uint64_t> expected = dtype_bytes(info.dtype);
  for (uint64_t extent : info.shape) {
    expected = checked_mul(*expected, extent);
    if (!expected) wrong(source, name, cat("shape ", shape_text(info.shape), " overflows 64 bits"));
  }
  if (*expected != info.size_bytes) {
    wrong(source, name,
          cat("has ", info.size_bytes, " bytes, but ", dtype_name(info.dtype), " of shape ",
              shape_text(info.shape), " takes ", *expected));
  }
  return info;
}

void read_metadata(const json::value& v, const std::string& source,
                   std::map<std::string, std::string>& metadata) {
  if (!v.is_object()) {
    fail(ErrorCode::kInvalidInput, source, ": \"__metadata__\" is a ", json::kind_name(v),
         ", expected an object of strings");
  }
  for (const auto& [key, item] : v.get_object()) {
    if (!item.is_string()) {
      fail(ErrorCode::kInvalidInput, source, ": \"__metadata__\": \"", printable(key), "\" is a ",
           json::kind_name(item), ", expected a string");
    }
    metadata.emplace(std::string(key), std::string(item.get_string()));
  }
}

// The tensors, sorted by offset, must cover the data part exactly.
void check_coverage(const std::vector<TensorInfo>& tensors, uint64_t data_bytes,
                    const std::string& source) {
  uint64_t end = 0;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset < end) {
      wrong(source, tensor.name,
            cat("begins at data byte ", tensor.offset, ", inside tensor \"",
                printable(previous->name), "\", which ends at ", end));
    }
    if (tensor.offset > end) {
      wrong(source, tensor.name,
            cat("begins at data byte ", tensor.offset, ", leaving a gap after ", end));
    }
    end = tensor.offset + tensor.size_bytes;
    if (end > data_bytes) {
      wrong(source, tensor.name,
            cat("ends at data byte ", end, ", but the file holds only ", data_bytes,
                " bytes of data: it is truncated or its header is wrong"));
    }
    previous = &tensor;
  }
  if (end < data_bytes) {
    fail(ErrorCode::kInvalidInput, source, ": ", data_bytes - end,
         " bytes follow the data of the last tensor, expected none");
  }
}

}  // namespace

std::string shape_text(std::span<const uint64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += cat(i ? ", " : "", shape[i]);
  return text + "]";
}

SafetensorsHeader parse_safetensors(std::span<const std::byte> bytes, const std::string& source) {
  if (bytes.size() < 8) {
    fail(ErrorCode::kInvalidInput, source, ": has ", bytes.size(),
         " bytes, too few for a safetensors file");
  }
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < 8; ++i) {
    header_bytes |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    fail(ErrorCode::kInvalidInput, source, ": announces a header of ", header_bytes,
         " bytes, more than the ", kMaxSafetensorsHeaderBytes,
         " allowed: not a safetensors file, or a damaged one");
  }
  if (header_bytes > bytes.size() - 8) {
    fail(ErrorCode::kInvalidInput, source, ": announces a header of ", header_bytes,
         " bytes, but only ", bytes.size() - 8, " follow: the file is truncated");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header_bytes);
  if (text.empty() || text.front() != '{') {
    fail(ErrorCode::kInvalidInput, source, ": the header does not begin with '{'");
  }
  const json::value parsed = json::parse(text, cat(source, ": header"));
  if (!parsed.is_object()) {
    fail(ErrorCode::kInvalidInput, source, ": the header is not an object");
  }

  SafetensorsHeader header;
  header.data_start = 8 + header_bytes;
  header.tensors.reserve(parsed.get_object().size());
  for (const auto& [key, item] : parsed.get_object()) {
    if (key == "__metadata__") {
      read_metadata(item, source, header.metadata);
    } else {
      header.tensors.push_back(read_tensor(key, item, source));
    }
  }
  // Empty tensors come before the one that begins where they stand.
  std::ranges::sort(header.tensors, [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.offset, a.size_bytes, a.name) < std::tie(b.offset, b.size_bytes, b.name);
  });
  check_coverage(header.tensors, bytes.size() - header.data_start, source);
  return header;
}

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path), header_(parse_safetensors(file_.bytes(), path)) {
  by_name_.resize(header_.tensors.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::ranges::sort(by_name_, {},
                    [this](uint32_t i) -> const std::string& { return header_.tensors[i].name; });
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(
      by_name_, name, {}, [this](uint32_t i) { return std::string_view(header_.tensors[i].name); });
  if (at == by_name_.end() || header_.tensors[*at].name != name) return nullptr;
  return &header_.tensors[*at];
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  return file_.bytes().subspan(header_.data_start + tensor.offset, tensor.size_bytes);
}

std::vector<float> SafetensorsFile::read_f32(const TensorInfo& tensor) const {
  const std::span<const std::byte> from = bytes(tensor);
  AXK1_CHECK(tensor.dtype != DType::kI32);
  std::vector<float> values(tensor.num_elements());
  if (tensor.dtype == DType::kF32) {
    if (!values.empty()) std::memcpy(values.data(), from.data(), from.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * i, sizeof bits);
    values[i] = tensor.dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
  }
  return values;
}

}  // namespace axk1
