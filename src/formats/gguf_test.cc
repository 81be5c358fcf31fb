#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

// Writes the parts of a file one after the other.
struct Writer {
  std::string bytes;

  template <class T>
  Writer& put(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Writer& text(std::string_view s) {
    put<uint64_t>(s.size());
    bytes += s;
    return *this;
  }
  Writer& key(std::string_view name, GgufType type) {
    text(name);
    return put(static_cast<uint32_t>(type));
  }
};

Writer head(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
  Writer w;
  w.bytes = "GGUF";
  w.put(version).put(tensors).put(entries);
  return w;
}

// Two metadata entries of every kind in turn, and two tensors.
std::string good_file() {
  Writer w = head(2, 9);
  w.key("general.alignment", GgufType::kU32).put<uint32_t>(16);
  w.key("name", GgufType::kString).text("모델");
  w.key("i8", GgufType::kI8).put<int8_t>(-3);
  w.key("flag", GgufType::kBool).put<uint8_t>(1);
  w.key("f32", GgufType::kF32).put(1.5f);
  w.key("u64", GgufType::kU64).put(~uint64_t{0});
  w.key("strings", GgufType::kArray).put(static_cast<uint32_t>(GgufType::kString)).put<uint64_t>(2);
  w.text("a").text("");
  w.key("ints", GgufType::kArray).put(static_cast<uint32_t>(GgufType::kI32)).put<uint64_t>(3);
  w.put<int32_t>(1).put<int32_t>(-2).put<int32_t>(3);
  w.key("floats", GgufType::kArray).put(static_cast<uint32_t>(GgufType::kF64)).put<uint64_t>(1);
  w.put(0.25);
  w.text("w").put<uint32_t>(2).put<uint64_t>(32).put<uint64_t>(2).put<uint32_t>(8).put<uint64_t>(0);
  w.text("b").put<uint32_t>(1).put<uint64_t>(4).put<uint32_t>(0).put<uint64_t>(80);
  while (w.bytes.size() % 16) w.bytes += '\0';
  for (int i = 0; i < 96; ++i) w.bytes += static_cast<char>(i);
  return w.bytes;
}

GgufFile parse(const std::string& bytes) {
  return GgufFile::parse(std::as_bytes(std::span(bytes)), "test.gguf");
}

TEST(Gguf, ReadsEveryKind) {
  const std::string bytes = good_file();
  const GgufFile file = parse(bytes);
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.metadata().size(), 9u);
  EXPECT_EQ(file.find_string("name"), "모델");
  EXPECT_EQ(file.find_integer("i8"), -3);
  EXPECT_EQ(file.find_bool("flag"), true);
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_EQ(file.find_string("absent"), std::nullopt);
  const GgufArray* strings = file.find_array("strings");
  EXPECT_EQ(strings->size(), 2u);
  EXPECT_EQ(strings->strings()[0], "a");
  EXPECT_EQ(strings->integer(0), std::nullopt);
  EXPECT_EQ(file.find_array("ints")->integer(1), -2);
  EXPECT_EQ(file.find_array("ints")->integer(3), std::nullopt);
  EXPECT_EQ(file.find_array("ints")->number(2), 3.0);
  EXPECT_EQ(file.find_array("floats")->number(0), 0.25);
  EXPECT_EQ(file.find_array("floats")->integer(0), std::nullopt);

  ASSERT_EQ(file.tensors().size(), 2u);
  const GgufTensorInfo& w = file.tensors()[0];
  EXPECT_EQ(w.num_bytes, 68u);  // two rows of one Q8_0 block
  EXPECT_EQ(file.tensor_bytes(w)[5], std::byte{5});
  EXPECT_EQ(file.tensors()[1].num_bytes, 16u);
  EXPECT_EQ(file.tensor_bytes(file.tensors()[1])[0], std::byte{80});
}

TEST(Gguf, WrongKindsAreNamed) {
  const std::string bytes = good_file();
  const GgufFile file = parse(bytes);
  EXPECT_THROW(file.find_string("i8"), Error);
  EXPECT_THROW(file.find_integer("name"), Error);
  EXPECT_THROW(file.find_integer("f32"), Error);
  EXPECT_THROW(file.find_integer("flag"), Error);
  EXPECT_THROW(file.find_integer("u64"), Error);  // does not fit
  EXPECT_THROW(file.find_bool("i8"), Error);
  EXPECT_THROW(file.find_array("name"), Error);
}

TEST(Gguf, EveryTruncationIsAnError) {
  const std::string bytes = good_file();
  for (size_t length = 0; length < bytes.size(); ++length) {
    // The heap buffer has exactly that length, so that a sanitizer sees any read beyond it.
    const std::string cut(bytes.data(), length);
    EXPECT_THROW(parse(cut), Error) << length;
  }
  std::printf("[ cases ] truncated GGUF files: %zu\n", bytes.size());
}

TEST(Gguf, EveryFlippedByteIsReadOrRefused) {
  const std::string bytes = good_file();
  size_t refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const unsigned char flip : {0x01, 0x80, 0xff}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ flip);
      try {
        parse(damaged);
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, bytes.size());
}

void expect_error(const std::string& bytes, ErrorCode code, const std::string& part) {
  try {
    parse(bytes);
    ADD_FAILURE() << "read without an error, expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("test.gguf: "));
  }
}

TEST(Gguf, LyingHeaders) {
  const auto kBad = ErrorCode::kInvalidInput, kUnsupported = ErrorCode::kUnsupported;
  const uint64_t huge = ~uint64_t{0};
  auto one_tensor = [](std::function<void(Writer&)> write) {
    Writer w = head(1, 0);
    write(w);
    w.bytes.append(200, '\0');
    return w.bytes;
  };
  expect_error("GGML", kBad, "GGUF");
  expect_error(head(0, 0, 1).bytes, kUnsupported, "version 1");
  expect_error(head(0, 0, 0x03000000).bytes, kUnsupported, "big-endian");
  expect_error(head(0, huge).bytes, kBad, "metadata entries");
  expect_error(head(huge, 0).bytes, kBad, "tensors");
  Writer w = head(0, 1);
  expect_error(w.put(huge).put(uint64_t{0}).bytes, kBad, "metadata key");
  w = head(0, 1);
  expect_error(w.text("k").put<uint32_t>(13).put(huge).bytes, kBad, "value type 13");
  w = head(0, 1);
  expect_error(w.key("k", GgufType::kString).put(huge).bytes, kBad, "bytes");
  w = head(0, 1);
  expect_error(w.key("k", GgufType::kArray).put<uint32_t>(10).put(huge >> 3).bytes, kBad,
               "array elements");
  w = head(0, 1);
  expect_error(w.key("k", GgufType::kArray).put<uint32_t>(8).put(huge).bytes, kBad, "strings");
  w = head(0, 1);
  expect_error(w.key("k", GgufType::kArray).put<uint32_t>(9).put<uint64_t>(1).bytes, kUnsupported,
               "array of arrays");
  w = head(0, 1);
  expect_error(w.key("k", GgufType::kBool).put<uint8_t>(2).bytes, kBad, "bool 2");
  w = head(0, 2);
  w.key("k", GgufType::kU32).put<uint32_t>(0).key("k", GgufType::kU32).put<uint32_t>(0);
  expect_error(w.bytes, kBad, "occurs twice");
  w = head(1, 1);
  w.key("general.alignment", GgufType::kU32).put<uint32_t>(3);
  w.text("t").put<uint32_t>(1).put<uint64_t>(1).put<uint32_t>(0).put<uint64_t>(0);
  expect_error(w.bytes, kBad, "power of two");

  expect_error(one_tensor([](Writer& t) { t.text("t").put<uint32_t>(5); }), kBad, "5 dimensions");
  expect_error(one_tensor([](Writer& t) { t.text("t").put<uint32_t>(0); }), kBad, "0 dimensions");
  expect_error(one_tensor([&](Writer& t) {
                 t.text("t").put<uint32_t>(2).put(huge).put(huge).put<uint32_t>(0).put<uint64_t>(0);
               }),
               kBad, "overflows");
  expect_error(one_tensor([&](Writer& t) {
                 t.text("t").put<uint32_t>(1).put(huge >> 2).put<uint32_t>(0).put<uint64_t>(0);
               }),
               kBad, "");
  expect_error(one_tensor([](Writer& t) {
                 t.text("t").put<uint32_t>(1).put<uint64_t>(33).put<uint32_t>(8).put<uint64_t>(0);
               }),
               kBad, "multiple of 32");
  expect_error(one_tensor([](Writer& t) {
                 t.text("t").put<uint32_t>(1).put<uint64_t>(999).put<uint32_t>(0).put<uint64_t>(0);
               }),
               kBad, "beyond the end");
  expect_error(one_tensor([&](Writer& t) {
                 t.text("t").put<uint32_t>(1).put<uint64_t>(1).put<uint32_t>(0).put(huge);
               }),
               kBad, "beyond the end");
}

TEST(Gguf, FileWrittenByOthers) {
  const std::string name = "data/models/llama-2-tiny-random.gguf.zst";
  AXK1_SKIP_WITHOUT_SHARED(name);
  const testing::TempDir dir;
  const std::string path = dir.write("m.gguf", testing::read_zst(testing::shared_path(name)));
  const GgufFile file = GgufFile::open(path);
  EXPECT_EQ(file.find_string("general.architecture"), "llama");
  EXPECT_GT(file.tensors().size(), 0u);
  EXPECT_GT(file.find_array("tokenizer.ggml.tokens")->size(), 1000u);
  uint64_t last_end = 0;
  for (const GgufTensorInfo& tensor : file.tensors()) {
    EXPECT_GT(tensor.num_bytes, 0u) << tensor.name;
    EXPECT_GE(tensor.offset, last_end) << tensor.name;
    last_end = tensor.offset + tensor.num_bytes;
  }
  std::printf("[ cases ] tensors of a GGUF file by others: %zu\n", file.tensors().size());
}

}  // namespace
}  // namespace axk1
