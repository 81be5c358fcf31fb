#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "base/bf16.h"
#include "base/text.h"
#include "formats/safetensors_dir.h"
#include "formats/safetensors_writer.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

std::string file_bytes(const std::string& header, size_t data_bytes) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + std::string(data_bytes, 'x');
}

SafetensorsHeader parse(const std::string& bytes) {
  return parse_safetensors(std::as_bytes(std::span(bytes)), "x.safetensors");
}

std::string error_of(const std::string& bytes) {
  try {
    parse(bytes);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return cat("\"", name, "\":{\"dtype\":\"", dtype, "\",\"shape\":", shape,
             ",\"data_offsets\":", offsets, "}");
}

TEST(Safetensors, ReadsWhatTheHeaderSays) {
  const SafetensorsHeader header = parse(file_bytes(
      cat("{\"__metadata__\":{\"format\":\"pt\"},", tensor("b", "BF16", "[2,3]", "[8,20]"), ",",
          tensor("a", "F32", "[2]", "[0,8]"), ",", tensor("empty", "F16", "[0,7]", "[8,8]"), ",",
          tensor("scalar", "F16", "[]", "[20,22]"), "}  "),
      22));
  ASSERT_EQ(header.tensors.size(), 4u);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[1].name, "empty");
  EXPECT_EQ(header.tensors[2].name, "b");
  EXPECT_EQ(header.tensors[2].dtype, DType::kBF16);
  EXPECT_EQ(header.tensors[2].shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(header.tensors[2].num_elements(), 6u);
  EXPECT_EQ(header.tensors[3].num_elements(), 1u);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

struct Damage {
  const char* name;
  std::string bytes;
  const char* expected;  // part of the message
};

std::vector<Damage> damages() {
  const std::string good = cat("{", tensor("a", "F32", "[2]", "[0,8]"), "}");
  std::string huge_length = file_bytes(good, 8);
  huge_length[7] = '\x7f';
  std::string long_length = file_bytes(good, 8);
  long_length[0] = 100;
  const auto one = [](const std::string& entry, size_t data) {
    return file_bytes("{" + entry + "}", data);
  };
  return {
      {"empty file", "", "has 0 bytes"},
      {"no header", std::string(7, '\0'), "has 7 bytes"},
      {"length above the limit", huge_length, "more than the 100000000 allowed"},
      {"length beyond the file", long_length, "the file is truncated"},
      {"not an object", file_bytes("[]", 0), "does not begin with '{'"},
      {"empty header", file_bytes("", 0), "does not begin with '{'"},
      {"bad json", file_bytes("{\"a\":", 0), "not valid JSON"},
      {"trailing json", file_bytes("{}{}", 0), "something follows the value"},
      {"bad utf-8", file_bytes("{\"\xff\":1}", 0), "not valid JSON"},
      {"duplicate name",
       file_bytes(cat("{", tensor("a", "F32", "[2]", "[0,8]"), ",",
                      tensor("a", "F32", "[2]", "[8,16]"), "}"),
                  16),
       "key \"a\" occurs twice"},
      {"entry is a number", file_bytes("{\"a\":1}", 0), "tensor \"a\": is described by a integer"},
      {"no dtype", one("\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}", 8), "no \"dtype\" string"},
      {"no shape", one("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}", 8), "no \"shape\""},
      {"no offsets", one("\"a\":{\"dtype\":\"F32\",\"shape\":[2]}", 8), "no \"data_offsets\""},
      {"unknown dtype", one(tensor("a", "F31", "[2]", "[0,8]"), 8), "unknown type \"F31\""},
      {"foreign dtype", one(tensor("a", "F8_E4M3", "[8]", "[0,8]"), 8), "F8_E4M3, which is not"},
      {"negative extent", one(tensor("a", "F32", "[-2]", "[0,8]"), 8), "holds -2"},
      {"fractional extent", one(tensor("a", "F32", "[2.0]", "[0,8]"), 8), "expected integers"},
      {"rank 9", one(tensor("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8), "has 9 numbers"},
      {"shape overflow", one(tensor("a", "F32", "[4294967296,4294967296]", "[0,8]"), 8),
       "overflows 64 bits"},
      {"overflow to the right size", one(tensor("a", "F32", "[2,9223372036854775809]", "[0,8]"), 8),
       "overflows 64 bits"},
      {"byte length", one(tensor("a", "F32", "[3]", "[0,8]"), 8), "of shape [3] takes 12"},
      {"reversed offsets", one(tensor("a", "F32", "[2]", "[8,0]"), 8), "before it begins at 8"},
      {"one offset", one(tensor("a", "F32", "[2]", "[0]"), 8), "has 1 numbers, expected 2"},
      {"three offsets", one(tensor("a", "F32", "[2]", "[0,8,9]"), 8), "has 3 numbers"},
      {"overlap",
       file_bytes(cat("{", tensor("a", "F32", "[2]", "[0,8]"), ",",
                      tensor("b", "F32", "[2]", "[4,12]"), "}"),
                  12),
       "tensor \"b\": begins at data byte 4, inside tensor \"a\""},
      {"same bytes twice",
       file_bytes(cat("{", tensor("a", "F32", "[2]", "[0,8]"), ",",
                      tensor("b", "F32", "[2]", "[0,8]"), "}"),
                  8),
       "inside tensor"},
      {"gap",
       file_bytes(cat("{", tensor("a", "F32", "[2]", "[0,8]"), ",",
                      tensor("b", "F32", "[2]", "[12,20]"), "}"),
                  20),
       "leaving a gap after 8"},
      {"gap at the start", one(tensor("a", "F32", "[2]", "[4,12]"), 12), "leaving a gap after 0"},
      {"truncated data", one(tensor("a", "F32", "[2]", "[0,8]"), 7), "holds only 7 bytes"},
      {"trailing data", one(tensor("a", "F32", "[2]", "[0,8]"), 9), "1 bytes follow"},
      {"metadata of numbers", file_bytes("{\"__metadata__\":{\"a\":1}}", 0), "expected a string"},
      {"metadata no object", file_bytes("{\"__metadata__\":[]}", 0), "expected an object"},
  };
}

TEST(Safetensors, NamesEveryKindOfDamage) {
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.name);
    const std::string error = error_of(damage.bytes);
    EXPECT_THAT(error, HasSubstr(damage.expected));
    EXPECT_THAT(error, HasSubstr("x.safetensors"));
  }
  std::printf("[ cases ] safetensors damage: %zu\n", damages().size());
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string whole = file_bytes(
      cat("{", tensor("a", "F32", "[2]", "[0,8]"), ",", tensor("b", "F16", "[3]", "[8,14]"), "}"),
      14);
  ASSERT_EQ(error_of(whole), "no error");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(error_of(whole.substr(0, size)), "no error") << size;
  }
  std::printf("[ cases ] safetensors truncations: %zu\n", whole.size());
}

TEST(Safetensors, WritesWhatItReads) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/out.safetensors";
  const std::vector<TensorSpec> specs = {{"half", DType::kBF16, {3}},
                                         {"logits \"1\"", DType::kF32, {2, 2}},
                                         {"empty", DType::kF32, {0, 5}},
                                         {"f16", DType::kF16, {1}}};
  const std::vector<uint16_t> half = {0x3f80, 0x4000, 0xbf80};
  const std::vector<float> logits = {1.5f, -2, 3e-20f, 4};
  const uint16_t f16 = f32_to_f16(0.25f);
  {
    SafetensorsWriter writer(path, specs, {{"format", "pt"}});
    writer.append("half", std::as_bytes(std::span(half)));
    writer.append_f32("logits \"1\"", std::span(logits).first(1));
    writer.append("f16", std::as_bytes(std::span(&f16, 1)));
    writer.append_f32("logits \"1\"", std::span(logits).subspan(1));
    EXPECT_FALSE(file_exists(path));
    writer.finish();
  }
  EXPECT_FALSE(file_exists(path + ".tmp"));
  const SafetensorsFile file(path);
  EXPECT_EQ(file.header().data_start % 64, 0u);
  EXPECT_EQ(file.header().metadata.at("format"), "pt");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.read_f32(*file.find("logits \"1\"")), logits);
  EXPECT_EQ(file.read_f32(*file.find("half")), (std::vector<float>{1, 2, -1}));
  EXPECT_EQ(file.read_f32(*file.find("f16")), (std::vector<float>{0.25f}));
  EXPECT_EQ(file.read_f32(*file.find("empty")), std::vector<float>());
  EXPECT_EQ(file.find("logits"), nullptr);
  EXPECT_EQ(file.find("zzz"), nullptr);
}

TEST(Safetensors, UnfinishedFileNeverAppears) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/out.safetensors";
  { SafetensorsWriter writer(path, std::vector<TensorSpec>{{"a", DType::kF32, {2}}}); }
  EXPECT_FALSE(file_exists(path));
  EXPECT_FALSE(file_exists(path + ".tmp"));
  EXPECT_THROW(SafetensorsWriter(dir.path() + "/no/such/x", {}), Error);
  EXPECT_THROW(SafetensorsWriter(
                   path, std::vector<TensorSpec>{{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}),
               Error);
}

std::string index_error(const std::string& text) {
  try {
    parse_safetensors_index(text, "index.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(SafetensorsDir, IndexMayNameOnlyFilesOfItsFolder) {
  EXPECT_EQ(index_error(R"({"weight_map":{"a":"m-1.safetensors"}})"), "no error");
  size_t cases = 0;
  for (const char* file : {R"("../x.safetensors")", R"("/etc/passwd")", R"("..")", R"(".")",
                           R"("")", R"("a/b")", R"("a\u0000b")", "7", "null"}) {
    EXPECT_THAT(index_error(cat(R"({"weight_map":{"a":)", file, "}}")),
                HasSubstr("expected the plain name of a file"))
        << file;
    ++cases;
  }
  EXPECT_THAT(index_error("{}"), HasSubstr("weight_map"));
  EXPECT_THAT(index_error(R"({"weight_map":[]})"), HasSubstr("weight_map"));
  EXPECT_THAT(index_error(R"({"weight_map":{}})"), HasSubstr("names no tensor"));
  EXPECT_THAT(index_error(R"({"weight_map":{"a":"x","a":"y"}})"), HasSubstr("occurs twice"));
  std::printf("[ cases ] safetensors index damage: %zu\n", cases + 4);
}

class Shards : public ::testing::Test {
 protected:
  void shard(const std::string& name, const std::vector<std::string>& tensors) {
    std::string header = "{";
    for (size_t i = 0; i < tensors.size(); ++i) {
      header +=
          cat(i ? "," : "", tensor(tensors[i], "F32", "[1]", cat("[", 4 * i, ",", 4 * i + 4, "]")));
    }
    dir_.write(name, file_bytes(header + "}", 4 * tensors.size()));
  }
  void index(const std::string& map) {
    dir_.write("model.safetensors.index.json", cat("{\"weight_map\":", map, "}"));
  }
  std::string error() {
    try {
      open_safetensors_dir(dir_.path());
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  testing::TempDir dir_;
};

TEST_F(Shards, GoodOnesOpen) {
  shard("1.safetensors", {"a", "b"});
  shard("2.safetensors", {"c"});
  index(R"({"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"})");
  EXPECT_EQ(open_safetensors_dir(dir_.path()).size(), 2u);
}

TEST_F(Shards, MissingShardIsNamed) {
  shard("1.safetensors", {"a"});
  index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("2.safetensors: is missing"));
}

TEST_F(Shards, TensorInTheWrongShard) {
  shard("1.safetensors", {"a", "b"});
  shard("2.safetensors", {"c"});
  index(R"({"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("2.safetensors: does not hold tensor \"b\""));
  EXPECT_THAT(error(), HasSubstr("1.safetensors"));
}

TEST_F(Shards, TensorInNoShard) {
  shard("1.safetensors", {"a"});
  index(R"({"a":"1.safetensors","b":"1.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("does not hold tensor \"b\""));
}

TEST_F(Shards, TensorInTwoShards) {
  shard("1.safetensors", {"a"});
  shard("2.safetensors", {"a", "b"});
  index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("tensor \"a\" occurs twice"));
}

TEST_F(Shards, TensorMissingFromTheIndex) {
  shard("1.safetensors", {"a", "b"});
  index(R"({"a":"1.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("tensor \"b\" is not in"));
}

TEST_F(Shards, TruncatedShard) {
  shard("1.safetensors", {"a"});
  dir_.write("2.safetensors", file_bytes(cat("{", tensor("b", "F32", "[9]", "[0,36]"), "}"), 20));
  index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  EXPECT_THAT(error(), HasSubstr("2.safetensors: tensor \"b\": ends at data byte 36"));
}

TEST_F(Shards, NothingThere) {
  EXPECT_THAT(error(), HasSubstr("holds neither"));
}

}  // namespace
}  // namespace axk1
