#include "formats/k1pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/rng.h"
#include "formats/k1pack_writer.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

// Two trunk records, one of them empty, and three streamed ones of three tensors.
K1PackContents small_contents() {
  K1PackContents contents;
  contents.trunk = {{"embed", {{"embed.weight", DType::kQ8, {40, 64}}}},
                    {"nothing", {{"nothing.weight", DType::kF32, {0}}}},
                    {"norms", {{"a.norm", DType::kF32, {7}}, {"b.norm", DType::kBF16, {3}}}}};
  for (int i = 0; i < 3; ++i) {
    const std::string name = cat("expert.", i);
    contents.streamed.push_back({name,
                                 {{name + ".gate", DType::kQ4, {48, 96}},
                                  {name + ".up", DType::kBF16, {48, 96}},
                                  {name + ".down", DType::kQ3, {96, 48}}}});
  }
  contents.members = {{"config.json", "{\"a\": 1}"}, {"folder/empty.txt", ""}};
  contents.metadata = {{"recipe", "small"}};
  return contents;
}

std::string tensor_bytes(const K1PackTensor& tensor) {
  std::string bytes(tensor.size_bytes, '\0');
  uint64_t state = std::hash<std::string>()(tensor.name);
  for (char& c : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return bytes;
}

// Appends up to `pieces` pieces of at most `piece_bytes`; all of them when pieces is 0.
void write_pieces(K1PackWriter& writer, size_t piece_bytes, size_t pieces = 0) {
  size_t written = 0;
  while (writer.num_done() < writer.records().size()) {
    const K1PackRecord record = writer.records()[writer.num_done()];
    for (const K1PackTensor& tensor : record.tensors) {
      const std::string bytes = tensor_bytes(tensor);
      for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
        writer.append(
            std::as_bytes(std::span(bytes).subspan(at, std::min(piece_bytes, bytes.size() - at))));
        if (++written == pieces) return;
      }
    }
  }
}

std::string write_small(const TempDir& dir, const std::string& name = "m.k1pack") {
  const std::string path = dir.path() + "/" + name;
  K1PackWriter writer(path, small_contents(), "test");
  write_pieces(writer, 1000);
  writer.finish();
  return path;
}

template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void check_content(const K1PackFile& file) {
  ASSERT_EQ(file.records().size(), 6u);
  for (const K1PackRecord& record : file.records()) {
    for (const K1PackTensor& tensor : record.tensors) {
      const auto bytes = file.bytes(tensor);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 64, 0u);
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                tensor_bytes(tensor))
          << tensor.name;
    }
  }
}

TEST(K1Pack, HoldsWhatWasWritten) {
  const TempDir dir;
  const std::string path = write_small(dir);
  EXPECT_FALSE(file_exists(path + ".part"));
  EXPECT_FALSE(file_exists(path + ".part.journal"));
  const K1PackFile file(path);
  check_content(file);
  EXPECT_EQ(file.index().num_trunk_records, 3u);
  EXPECT_EQ(file.index().metadata.at("recipe").as_string(), "small");
  for (const K1PackRecord& record : file.records().subspan(3)) {
    EXPECT_EQ(record.offset % kK1PackPage, 0u) << "one direct read fetches an expert";
    EXPECT_EQ(record.size_bytes % kK1PackPage, 0u);
  }
  const NamedFiles members = file.members();
  EXPECT_EQ(members.read("config.json", 100), "{\"a\": 1}");
  EXPECT_TRUE(members.contains("folder/empty.txt"));
  EXPECT_FALSE(members.contains("tokenizer.json"));
  EXPECT_THAT(error_of([&] { members.read("config.json", 3); }), HasSubstr("config.json"));
  ThreadPool pool(2);
  uint64_t seen = 0, all = 0;
  verify_k1pack(file, pool, [&](uint64_t done, uint64_t total) { seen = done, all = total; });
  EXPECT_EQ(seen, all);
  EXPECT_EQ(all, file.header().trunk.size_bytes + file.header().streamed.size_bytes);
}

TEST(K1Pack, ReadsIntoMemory) {
  const TempDir dir;
  const K1PackFile file(write_small(dir), K1PackLoad::kRead);
  check_content(file);
}

TEST(K1Pack, NoRecordsAtAll) {
  const TempDir dir;
  const std::string path = dir.path() + "/empty.k1pack";
  K1PackWriter writer(path, {}, "");
  writer.finish();
  const K1PackFile file(path, K1PackLoad::kRead);
  EXPECT_TRUE(file.records().empty());
  ThreadPool pool(1);
  verify_k1pack(file, pool);
}

TEST(K1Pack, IsToldByNameAndByContent) {
  const TempDir dir;
  EXPECT_TRUE(is_k1pack(write_small(dir)));
  EXPECT_TRUE(is_k1pack(write_small(dir, "no-suffix")));
  EXPECT_FALSE(is_k1pack(dir.path()));
  EXPECT_FALSE(is_k1pack(dir.write("short", "AXK1")));
  EXPECT_FALSE(is_k1pack(dir.path() + "/absent"));
  EXPECT_TRUE(is_k1pack(dir.path() + "/absent.k1pack"));
  EXPECT_THAT(error_of([&] { open_model_files(dir.write("text.k1pack", "hello")); }),
              HasSubstr("text.k1pack: is no k1pack file"));
}

// Every byte of the file is covered by some checksum, and the message says where it is.
TEST(K1Pack, EveryDamagedByteIsFound) {
  const TempDir dir;
  const std::string good = read_file(write_small(dir));
  const K1PackFile original(dir.path() + "/m.k1pack");
  ThreadPool pool(1);
  size_t tried = 0;
  for (size_t at = 0; at < good.size(); at += at < 128 ? 1 : 97) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const std::string path = dir.write("damaged.k1pack", bytes);
    const std::string message = error_of([&] { verify_k1pack(K1PackFile(path), pool); });
    ASSERT_THAT(message, HasSubstr("damaged.k1pack: ")) << "byte " << at;
    for (const K1PackRecord& record : original.records()) {
      if (at < record.offset || at >= record.offset + record.size_bytes) continue;
      EXPECT_THAT(message,
                  HasSubstr(cat("record \"", record.name, "\" at offset ", record.offset)));
    }
    if (at >= original.header().index.offset) {
      EXPECT_THAT(message, HasSubstr(cat("index at offset ", original.header().index.offset)));
    }
    ++tried;
  }
  std::printf("[ cases ] k1pack damaged bytes: %zu\n", tried);
}

TEST(K1Pack, CutShortAnywhere) {
  const TempDir dir;
  const std::string good = read_file(write_small(dir));
  for (size_t size : {size_t{0}, size_t{7}, size_t{8}, size_t{4095}, size_t{4096}, size_t{5000},
                      good.size() - 1}) {
    const std::string path = dir.write("cut.k1pack", good.substr(0, size));
    EXPECT_THAT(error_of([&] { K1PackFile file(path); }),
                HasSubstr(size < 8 ? "is no k1pack file" : "is cut short"))
        << size;
  }
  EXPECT_THAT(error_of([&] { K1PackFile file(dir.write("long.k1pack", good + "x")); }),
              HasSubstr("expected"));
}

TEST(K1Pack, ShortenedUnderTheReader) {
  const TempDir dir;
  const std::string path = write_small(dir);
  const K1PackFile file(path);
  const uint64_t last = file.records().back().offset;
  std::filesystem::resize_file(path, last + 4096);
  ThreadPool pool(2);
  EXPECT_EQ(first_damaged_record(DirectReader(path), file.records(), pool), 5u);
}

TEST(K1Pack, HeaderOfAnotherVersion) {
  std::string header = k1pack_header_bytes(
      {.trunk = {4096, 0}, .streamed = {4096, 0}, .members = {4096, 0}, .index = {4096, 0}});
  const auto parse = [&] {
    return error_of([&] { parse_k1pack_header(std::as_bytes(std::span(header)), 4096, "x"); });
  };
  EXPECT_EQ(parse(), "no error");
  header[8] = 9;
  EXPECT_EQ(parse(), "x: is of version 9 of the format, expected 1");
}

TEST(K1Pack, HeaderWithPartsThatDoNotFit) {
  const auto parse = [](const K1PackHeader& header, uint64_t file_bytes) {
    const std::string bytes = k1pack_header_bytes(header);
    return error_of([&] { parse_k1pack_header(std::as_bytes(std::span(bytes)), file_bytes, "x"); });
  };
  const uint64_t huge = ~uint64_t{0} - 4095;
  EXPECT_THAT(parse({{4096, huge}, {0, 0}, {0, 0}, {0, 8192}}, 8192), HasSubstr("begins at"));
  EXPECT_THAT(parse({{0, 4096}, {4096, 0}, {4096, 0}, {4096, 0}}, 4096), HasSubstr("begins at"));
  EXPECT_THAT(parse({{4096, 64}, {4160, 0}, {4160, 0}, {4160, 40}}, 4200),
              HasSubstr("whole pages"));
}

// Each lie of the index alone, everything else right.
TEST(K1Pack, IndexThatLies) {
  const TempDir dir;
  const K1PackFile file(write_small(dir));
  const std::string good = k1pack_index_text(file.index());
  EXPECT_EQ(error_of([&] { parse_k1pack_index(good, file.header(), "x"); }), "no error");
  size_t tried = 0;
  const auto expect = [&](const std::string& from, const std::string& to,
                          const std::string& message) {
    std::string text = good;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    EXPECT_THAT(error_of([&] { parse_k1pack_index(text, file.header(), "x"); }), HasSubstr(message))
        << from << " -> " << to;
    ++tried;
  };
  const uint64_t first = file.records()[0].offset, second = file.records()[2].offset;
  expect(cat("\"embed\",\"offset\":", first), cat("\"embed\",\"offset\":", first + 64),
         "record \"embed\" begins at offset 4160, expected 4096");
  expect(cat("\"norms\",\"offset\":", second), cat("\"norms\",\"offset\":", second - 64),
         "record \"norms\" begins at");
  expect("\"embed\",\"offset\":4096,\"bytes\":", "\"embed\",\"offset\":4096,\"bytes\":99999999",
         "its part of the file ends at");
  expect("\"embed\",\"offset\":4096,\"bytes\":3", "\"embed\",\"offset\":4096,\"bytes\":-3",
         "an integer from 0");
  expect("[40,64]", "[4000,64]", "expected at 4096 and to end by the record's end");
  expect("[40,64]", "[4611686018427387904,64]", "its shape is none that type Q8 can have");
  expect("[40,64]", "[4611686018427387904,4611686018427387904]", "its shape is none");
  expect("[40,64]", "[40]", "its shape is none that type Q8 can have");
  expect("[40,64]", "[40,64,1]", "its shape is none that type Q8 can have");
  expect("[40,64]", "[-40,64]", "extents that are not negative");
  expect("[40,64]", "[40,0]", "its shape is none");
  expect("[7]", "[1,1,1,1,1,1,1,1,7]", "more than 8 dimensions");
  expect("\"Q8\"", "\"Q9\"", "expected F32, BF16, F16, I32, Q8, Q4 or Q3");
  expect("\"a.norm\"", "\"b.norm\"", "\"b.norm\" occurs twice");
  expect("\"embed.weight\"", "\"\"", "\"\" is empty");
  expect("\"expert.0\"", "\"expert.1\"", "\"expert.1\" occurs twice");
  expect("\"checksum\":\"", "\"checksum\":\"x", "16 hexadecimal digits");
  expect("config.json", "../config.json", "without \"..\"");
  expect("config.json", "/etc/passwd", "a relative path");
  expect("config.json", "a//b", "a relative path");
  expect("\"trunk\":[", "\"trunk\":[],\"other\":[", "unknown field \"other\"");
  expect("\"metadata\":{", "\"metadata\":[],\"x\":{", "unknown field \"x\"");
  expect("\"tensors\":[", "\"tensors\":[7,", "expected an object");
  expect("\"members\":[", "\"members\":{},\"x\":[", "unknown field");
  expect("{\"metadata\"", "[{\"metadata\"", "index");
  const size_t last = good.rfind("{\"name\":\"expert.2\"");
  std::string shorter = good.substr(0, last - 1) + "]}";
  EXPECT_THAT(error_of([&] { parse_k1pack_index(shorter, file.header(), "x"); }),
              HasSubstr("the streamed part ends at offset"));
  EXPECT_THAT(error_of([&] { parse_k1pack_index(std::string(1000, '['), file.header(), "x"); }),
              HasSubstr("x: index"));
  std::printf("[ cases ] k1pack lies of the index: %zu\n", tried + 2);
}

TEST(K1PackWriter, GoesOnWhereItWasInterrupted) {
  const TempDir dir;
  const std::string good = read_file(write_small(dir));
  const std::string path = dir.path() + "/again.k1pack";
  size_t resumed = 0;
  for (size_t pieces = 1;; ++pieces) {
    {
      K1PackWriter writer(path, small_contents(), "test");
      write_pieces(writer, 2500, pieces);
      if (writer.num_done() == writer.records().size()) break;
    }
    EXPECT_FALSE(file_exists(path));
    K1PackWriter writer(path, small_contents(), "test");
    EXPECT_FALSE(writer.started_anew());
    resumed += writer.num_done() > 0;
    write_pieces(writer, 700);
    writer.finish();
    EXPECT_EQ(read_file(path), good) << pieces;
    std::filesystem::remove(path);
  }
  EXPECT_GT(resumed, 5u);
  std::printf("[ cases ] k1pack interruptions: %zu\n", resumed);
}

TEST(K1PackWriter, MistrustsWhatAnInterruptedRunHasLeft) {
  const TempDir dir;
  const std::string good = read_file(write_small(dir));
  const std::string path = dir.path() + "/again.k1pack";
  const auto interrupt = [&] {
    K1PackWriter writer(path, small_contents(), "test");
    write_pieces(writer, 1 << 20, 10);  // two trunk records, and three tensors twice, and one more
    EXPECT_EQ(writer.num_done(), 5u);
  };
  const auto complete = [&](size_t expected_done) {
    K1PackWriter writer(path, small_contents(), "test");
    EXPECT_EQ(writer.num_done(), expected_done);
    write_pieces(writer, 1 << 20);
    writer.finish();
    EXPECT_EQ(read_file(path), good);
  };
  interrupt();
  complete(5);
  interrupt();  // a note that was cut off
  std::filesystem::resize_file(path + ".part.journal",
                               std::filesystem::file_size(path + ".part.journal") - 1);
  complete(4);
  interrupt();  // a byte that never reached the disk
  std::string part = read_file(path + ".part");
  part[K1PackFile(dir.path() + "/m.k1pack").records()[3].offset + 5] ^= 1;
  write_file_atomic(path + ".part", part);
  complete(3);
  interrupt();  // the file itself is gone, or shorter than the journal says
  std::filesystem::resize_file(path + ".part", 5000);
  complete(0);
}

TEST(K1PackWriter, StartsAnewForOtherContents) {
  const TempDir dir;
  const std::string path = dir.path() + "/m.k1pack";
  {
    K1PackWriter writer(path, small_contents(), "one source");
    write_pieces(writer, 4096, 6);
  }
  {
    K1PackWriter writer(path, small_contents(), "another source");
    EXPECT_TRUE(writer.started_anew());
    EXPECT_EQ(writer.num_done(), 0u);
    write_pieces(writer, 4096, 6);
  }
  K1PackContents other = small_contents();
  other.members["config.json"] = "{}";
  K1PackWriter writer(path, other, "another source");
  EXPECT_TRUE(writer.started_anew());
}

TEST(K1PackWriter, TwoOfOnePathExcludeEachOther) {
  const TempDir dir;
  const std::string path = dir.path() + "/m.k1pack";
  K1PackWriter writer(path, small_contents(), "");
  EXPECT_THAT(error_of([&] { K1PackWriter second(path, small_contents(), ""); }),
              HasSubstr("is being written by another process"));
  write_pieces(writer, 4096);
  writer.finish();
  EXPECT_THAT(error_of([&] { K1PackWriter third(dir.path(), small_contents(), ""); }),
              HasSubstr("is not a regular file"));
  EXPECT_THAT(error_of([&] { K1PackWriter fourth(dir.path() + "/no/x", small_contents(), ""); }),
              HasSubstr("cannot create"));
}

// A limit on the size of files stands for a full disk: both fail in the same two calls.
TEST(K1PackWriter, FullDiskIsAnErrorAndLeavesNothingBroken) {
  const TempDir dir;
  const std::string path = dir.path() + "/m.k1pack";
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const auto limit = [&](rlim_t bytes) {
    const rlimit wanted{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &wanted);
  };
  limit(20'000);
  const std::string reserve = error_of([&] { K1PackWriter writer(path, small_contents(), ""); });
  limit(before.rlim_cur);
  EXPECT_THAT(reserve, HasSubstr("m.k1pack.part: cannot reserve"));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "nothing was done, nothing is left";

  std::string write;
  {
    K1PackWriter writer(path, small_contents(), "");
    write_pieces(writer, 4096, 3);
    limit(20'000);
    write = error_of([&] { write_pieces(writer, 4096); });
    limit(before.rlim_cur);
  }
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(write, HasSubstr("cannot"));
  EXPECT_FALSE(file_exists(path));
  K1PackWriter writer(path, small_contents(), "");
  EXPECT_GT(writer.num_done(), 0u);
  write_pieces(writer, 4096);
  writer.finish();
  ThreadPool pool(1);
  verify_k1pack(K1PackFile(path), pool);
}

TEST(K1PackWriter, RefusesWhatNoFileCanHold) {
  const TempDir dir;
  K1PackContents contents = small_contents();
  contents.trunk[0].tensors[0].shape = {uint64_t{1} << 62, 4};
  EXPECT_THAT(error_of([&] { K1PackWriter writer(dir.path() + "/m", contents, ""); }),
              HasSubstr("does not fit a file"));
}

}  // namespace
}  // namespace axk1
