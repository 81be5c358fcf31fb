#include "formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "base/bits.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxNameBytes = 65535;  // of a key, by the format's own rule; also for tensors
constexpr uint32_t kMaxDims = 4;           // GGML_MAX_DIMS

// Bytes of one scalar; 0 for strings and arrays.
size_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

template <class T>
T read_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// The scalar at `at`, in the form of GgufValue::bits.
uint64_t scalar_bits(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kBool:
      return read_as<uint8_t>(at);
    case GgufType::kI8:
      return static_cast<uint64_t>(int64_t{read_as<int8_t>(at)});
    case GgufType::kU16:
      return read_as<uint16_t>(at);
    case GgufType::kI16:
      return static_cast<uint64_t>(int64_t{read_as<int16_t>(at)});
    case GgufType::kU32:
      return read_as<uint32_t>(at);
    case GgufType::kI32:
      return static_cast<uint64_t>(int64_t{read_as<int32_t>(at)});
    case GgufType::kF32:
      return std::bit_cast<uint64_t>(double{read_as<float>(at)});
    case GgufType::kU64:
      return read_as<uint64_t>(at);
    case GgufType::kI64:
      return static_cast<uint64_t>(read_as<int64_t>(at));
    case GgufType::kF64:
      return std::bit_cast<uint64_t>(read_as<double>(at));
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return 0;
}

std::optional<int64_t> to_integer(GgufType type, uint64_t bits) {
  if (type == GgufType::kF32 || type == GgufType::kF64 || scalar_bytes(type) == 0) {
    return std::nullopt;
  }
  if (type == GgufType::kU64 && bits > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return std::nullopt;
  }
  return static_cast<int64_t>(bits);
}

}  // namespace

const char* gguf_type_name(GgufType type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<uint32_t>(type);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

// Block sizes of the types in ggml.h (enum ggml_type) and ggml-common.h (the block structs).
std::optional<GgmlBlock> ggml_block(uint32_t ggml_type) {
  switch (ggml_type) {
    case 0:
      return GgmlBlock{1, 4, "F32"};
    case 1:
      return GgmlBlock{1, 2, "F16"};
    case 2:
      return GgmlBlock{32, 18, "Q4_0"};
    case 3:
      return GgmlBlock{32, 20, "Q4_1"};
    case 6:
      return GgmlBlock{32, 22, "Q5_0"};
    case 7:
      return GgmlBlock{32, 24, "Q5_1"};
    case 8:
      return GgmlBlock{32, 34, "Q8_0"};
    case 9:
      return GgmlBlock{32, 36, "Q8_1"};
    case 10:
      return GgmlBlock{256, 84, "Q2_K"};
    case 11:
      return GgmlBlock{256, 110, "Q3_K"};
    case 12:
      return GgmlBlock{256, 144, "Q4_K"};
    case 13:
      return GgmlBlock{256, 176, "Q5_K"};
    case 14:
      return GgmlBlock{256, 210, "Q6_K"};
    case 15:
      return GgmlBlock{256, 292, "Q8_K"};
    case 16:
      return GgmlBlock{256, 66, "IQ2_XXS"};
    case 17:
      return GgmlBlock{256, 74, "IQ2_XS"};
    case 18:
      return GgmlBlock{256, 98, "IQ3_XXS"};
    case 19:
      return GgmlBlock{256, 50, "IQ1_S"};
    case 20:
      return GgmlBlock{32, 18, "IQ4_NL"};
    case 21:
      return GgmlBlock{256, 110, "IQ3_S"};
    case 22:
      return GgmlBlock{256, 82, "IQ2_S"};
    case 23:
      return GgmlBlock{256, 136, "IQ4_XS"};
    case 24:
      return GgmlBlock{1, 1, "I8"};
    case 25:
      return GgmlBlock{1, 2, "I16"};
    case 26:
      return GgmlBlock{1, 4, "I32"};
    case 27:
      return GgmlBlock{1, 8, "I64"};
    case 28:
      return GgmlBlock{1, 8, "F64"};
    case 29:
      return GgmlBlock{256, 56, "IQ1_M"};
    case 30:
      return GgmlBlock{1, 2, "BF16"};
    case 34:
      return GgmlBlock{256, 54, "TQ1_0"};
    case 35:
      return GgmlBlock{256, 66, "TQ2_0"};
    case 39:
      return GgmlBlock{32, 17, "MXFP4"};
    default:
      return std::nullopt;
  }
}

std::optional<int64_t> GgufArray::integer(size_t i) const {
  if (!scalars_ || i >= count_) return std::nullopt;
  return to_integer(type_, scalar_bits(type_, scalars_ + i * scalar_bytes(type_)));
}

std::optional<double> GgufArray::number(size_t i) const {
  if (!scalars_ || i >= count_) return std::nullopt;
  const uint64_t bits = scalar_bits(type_, scalars_ + i * scalar_bytes(type_));
  if (type_ == GgufType::kF32 || type_ == GgufType::kF64) return std::bit_cast<double>(bits);
  if (type_ == GgufType::kU64) return static_cast<double>(bits);
  return static_cast<double>(static_cast<int64_t>(bits));
}

// Reads the bytes of one file from front to back.
class GgufParser {
 public:
  explicit GgufParser(GgufFile& file) : file_(file), bytes_(file.bytes_) {}

  void run() {
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      wrong("does not begin with the four bytes GGUF");
    }
    at_ = 4;
    file_.version_ = scalar<uint32_t>("version");
    if (file_.version_ != 2 && file_.version_ != 3) {
      const bool swapped = (file_.version_ & 0xffff) == 0 && file_.version_ != 0;
      fail(ErrorCode::kUnsupported, file_.source_, ": GGUF version ", file_.version_,
           swapped ? " (a big-endian file)" : "", ", expected 2 or 3, little-endian");
    }
    const uint64_t num_tensors = scalar<uint64_t>("tensor count");
    const uint64_t num_entries = scalar<uint64_t>("metadata count");
    // An entry takes at least 13 bytes (key length, type, one byte), a tensor 32.
    require_count(num_entries, 13, "metadata entries");
    read_metadata(num_entries);
    require_count(num_tensors, 32, "tensors");
    read_tensors(num_tensors);
  }

 private:
  template <class... Parts>
  [[noreturn]] void wrong(const Parts&... parts) const {
    fail(ErrorCode::kInvalidInput, file_.source_, ": byte ", at_, ": ", parts...);
  }

  uint64_t left() const { return bytes_.size() - at_; }

  void require_count(uint64_t count, uint64_t min_bytes, std::string_view what) const {
    if (count > left() / min_bytes) {
      wrong("claims ", count, " ", what, ", more than the ", left(), " bytes left can hold");
    }
  }

  const std::byte* take(uint64_t count, std::string_view what) {
    if (count > left()) {
      wrong(what, " needs ", count, " bytes, but the file ends after ", left());
    }
    const std::byte* start = bytes_.data() + at_;
    at_ += count;
    return start;
  }

  template <class T>
  T scalar(std::string_view what) {
    return read_as<T>(take(sizeof(T), what));
  }

  std::string_view string(std::string_view what, uint64_t max_bytes) {
    const uint64_t length = scalar<uint64_t>(what);
    if (length > max_bytes) wrong(what, " has ", length, " bytes, expected at most ", max_bytes);
    return {reinterpret_cast<const char*>(take(length, what)), static_cast<size_t>(length)};
  }

  GgufType type(std::string_view what) {
    const uint32_t number = scalar<uint32_t>(what);
    if (number > static_cast<uint32_t>(GgufType::kF64)) {
      wrong(what, ": value type ", number, ", expected 0 to 12");
    }
    return static_cast<GgufType>(number);
  }

  GgufArray array(std::string_view key) {
    GgufArray result;
    result.type_ = type(key);
    const uint64_t count = scalar<uint64_t>(key);
    if (result.type_ == GgufType::kArray) {
      fail(ErrorCode::kUnsupported, file_.source_, ": metadata \"", printable(key),
           "\" is an array of arrays, which is not supported");
    }
    if (result.type_ == GgufType::kString) {
      require_count(count, 8, "strings");
      result.strings_.reserve(count);
      for (uint64_t i = 0; i < count; ++i) result.strings_.push_back(string(key, left()));
      return result;
    }
    const size_t width = scalar_bytes(result.type_);
    require_count(count, width, "array elements");
    result.scalars_ = take(count * width, key);
    result.count_ = count;
    return result;
  }

  void read_metadata(uint64_t count) {
    file_.metadata_.reserve(std::min<uint64_t>(count, 4096));
    for (uint64_t i = 0; i < count; ++i) {
      GgufFile::Entry entry;
      entry.key = string("metadata key", kMaxNameBytes);
      GgufValue& value = entry.value;
      value.type = type(entry.key);
      if (value.type == GgufType::kString) {
        value.string = string(entry.key, left());
      } else if (value.type == GgufType::kArray) {
        value.array = array(entry.key);
      } else {
        value.bits = scalar_bits(value.type, take(scalar_bytes(value.type), entry.key));
        if (value.type == GgufType::kBool && value.bits > 1) {
          wrong("metadata \"", printable(entry.key), "\": bool ", value.bits, ", expected 0 or 1");
        }
      }
      file_.by_key_.push_back(static_cast<uint32_t>(file_.metadata_.size()));
      file_.metadata_.push_back(std::move(entry));
    }
    auto key_of = [&](uint32_t i) { return file_.metadata_[i].key; };
    std::ranges::sort(file_.by_key_, {}, key_of);
    const auto twice = std::ranges::adjacent_find(file_.by_key_, {}, key_of);
    if (twice != file_.by_key_.end()) {
      wrong("metadata key \"", printable(key_of(*twice)), "\" occurs twice");
    }
  }

  void read_tensors(uint64_t count) {
    std::unordered_set<std::string_view> names;
    for (uint64_t i = 0; i < count; ++i) {
      GgufTensorInfo tensor;
      tensor.name = string("tensor name", kMaxNameBytes);
      const std::string shown = printable(tensor.name);
      if (!names.insert(tensor.name).second) wrong("tensor \"", shown, "\" occurs twice");
      const uint32_t num_dims = scalar<uint32_t>("number of dimensions");
      if (num_dims < 1 || num_dims > kMaxDims) {
        wrong("tensor \"", shown, "\" has ", num_dims, " dimensions, expected 1 to ", kMaxDims);
      }
      for (uint32_t d = 0; d < num_dims; ++d) tensor.dims.push_back(scalar<uint64_t>("dimension"));
      tensor.ggml_type = scalar<uint32_t>("tensor type");
      tensor.offset = scalar<uint64_t>("tensor offset");
      file_.tensors_.push_back(std::move(tensor));
    }
    if (count == 0) return;

    const int64_t alignment = file_.find_integer("general.alignment").value_or(32);
    if (alignment < 1 || alignment > 1 << 30 || (alignment & (alignment - 1)) != 0) {
      wrong("general.alignment is ", alignment, ", expected a power of two");
    }
    const uint64_t data = round_up(at_, static_cast<size_t>(alignment));
    for (GgufTensorInfo& tensor : file_.tensors_) place(tensor, data);
  }

  // Turns the offset into one from the start of the file and checks that the tensor lies inside.
  void place(GgufTensorInfo& tensor, uint64_t data) const {
    const std::string shown = printable(tensor.name);
    std::optional<uint64_t> elements = 1;
    for (uint64_t dim : tensor.dims) {
      if (elements) elements = checked_mul(*elements, dim);
    }
    if (!elements || *elements >> 63) wrong("tensor \"", shown, "\": its shape overflows");
    if (const auto block = ggml_block(tensor.ggml_type)) {
      if (tensor.dims[0] % block->elements != 0) {
        wrong("tensor \"", shown, "\": rows of ", tensor.dims[0],
              " elements, expected a multiple of ", block->elements, " for type ", block->name);
      }
      const auto num_bytes = checked_mul(*elements / block->elements, block->bytes);
      if (!num_bytes) wrong("tensor \"", shown, "\": its size overflows");
      tensor.num_bytes = *num_bytes;
    }
    const auto start = checked_add(data, tensor.offset);
    const auto end = start ? checked_add(*start, tensor.num_bytes) : std::nullopt;
    if (!end || *end > bytes_.size()) {
      wrong("tensor \"", shown, "\" at offset ", tensor.offset, " with ", tensor.num_bytes,
            " bytes lies beyond the end of the file");
    }
    tensor.offset = *start;
  }

  GgufFile& file_;
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

GgufFile GgufFile::open(const std::string& path) {
  GgufFile file;
  file.file_.emplace(path);
  file.bytes_ = file.file_->bytes();
  file.source_ = path;
  GgufParser(file).run();
  return file;
}

GgufFile GgufFile::parse(std::span<const std::byte> bytes, std::string source) {
  GgufFile file;
  file.bytes_ = bytes;
  file.source_ = std::move(source);
  GgufParser(file).run();
  return file;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  auto key_of = [&](uint32_t i) { return metadata_[i].key; };
  const auto found = std::ranges::lower_bound(by_key_, key, {}, key_of);
  return found != by_key_.end() && key_of(*found) == key ? &metadata_[*found].value : nullptr;
}

static const GgufValue* typed(const GgufFile& file, std::string_view key, bool fits(GgufType),
                              std::string_view expected) {
  const GgufValue* value = file.find(key);
  if (value && !fits(value->type)) {
    fail(ErrorCode::kInvalidInput, file.source(), ": metadata \"", key, "\" is of type ",
         gguf_type_name(value->type), ", expected ", expected);
  }
  return value;
}

std::optional<std::string_view> GgufFile::find_string(std::string_view key) const {
  const GgufValue* value = typed(
      *this, key, [](GgufType type) { return type == GgufType::kString; }, "a string");
  return value ? std::optional(value->string) : std::nullopt;
}

std::optional<int64_t> GgufFile::find_integer(std::string_view key) const {
  auto fits = [](GgufType type) {
    return type != GgufType::kBool && to_integer(type, 0).has_value();
  };
  const GgufValue* value = typed(*this, key, fits, "an integer");
  if (!value) return std::nullopt;
  const auto integer = to_integer(value->type, value->bits);
  if (!integer) {
    fail(ErrorCode::kInvalidInput, source_, ": metadata \"", key, "\" is ", value->bits,
         ", too large");
  }
  return integer;
}

std::optional<bool> GgufFile::find_bool(std::string_view key) const {
  const GgufValue* value = typed(
      *this, key, [](GgufType type) { return type == GgufType::kBool; }, "a bool");
  return value ? std::optional(value->bits != 0) : std::nullopt;
}

const GgufArray* GgufFile::find_array(std::string_view key) const {
  const GgufValue* value = typed(
      *this, key, [](GgufType type) { return type == GgufType::kArray; }, "an array");
  return value ? &value->array : nullptr;
}

}  // namespace axk1
