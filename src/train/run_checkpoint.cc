#include "train/run_checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/bits.h"
#include "base/error.h"
#include "io/atomic_file.h"
#include "io/checksum.h"

namespace axk1 {
namespace {

constexpr char kMagic[8] = {'A', 'X', 'K', '1', 'R', 'U', 'N', 1};
constexpr size_t kAlignment = 64;
constexpr uint64_t kMaxTableBytes = 16 << 20;
constexpr std::string_view kPrefix = "step-", kSuffix = ".ckpt";
constexpr size_t kDigits = 10;

struct Header {
  char magic[8];
  uint64_t table_bytes;
  uint64_t table_checksum;
  uint64_t checksum;  // of the bytes before
};
static_assert(sizeof(Header) == 32);

uint64_t header_checksum(const Header& header) {
  return checksum64(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, checksum)));
}

// The steps of a file name of ours.
std::optional<uint64_t> steps_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  name = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  if (name.size() < kDigits || name.size() > 18) return std::nullopt;
  uint64_t steps = 0;
  for (char c : name) {
    if (c < '0' || c > '9') return std::nullopt;
    steps = steps * 10 + static_cast<uint64_t>(c - '0');
  }
  return steps;
}

}  // namespace

void write_run_checkpoint(const std::string& path, const json::object& state,
                          std::span<const CheckpointSection> sections) {
  json::array entries;
  for (const CheckpointSection& section : sections) {
    entries.push_back({{"name", section.name},
                       {"bytes", section.bytes.size()},
                       {"checksum", checksum_text(checksum64(section.bytes))}});
  }
  const std::string table = json::to_text(json::object{{"state", state}, {"sections", entries}});
  Header header{.table_bytes = table.size(), .table_checksum = checksum64(table)};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.checksum = header_checksum(header);

  AtomicFile file(path);
  file.write_at(0, std::as_bytes(std::span(&header, 1)));
  file.write_at(sizeof header, std::as_bytes(std::span(table)));
  uint64_t at = sizeof header + table.size();
  constexpr std::array<std::byte, kAlignment> kZeros = {};
  for (const CheckpointSection& section : sections) {
    const uint64_t start = round_up(at, kAlignment);
    file.write_at(at, std::span(kZeros).first(start - at));
    file.write_at(start, section.bytes);
    at = start + section.bytes.size();
  }
  file.commit();
}

RunCheckpoint::RunCheckpoint(const std::string& path) : path_(path) {
  file_.emplace(path);
  read(file_->bytes());
}

RunCheckpoint::RunCheckpoint(std::span<const std::byte> bytes, std::string path)
    : path_(std::move(path)) {
  read(bytes);
}

void RunCheckpoint::read(std::span<const std::byte> bytes) {
  const std::string& path = path_;
  Header header;
  if (bytes.size() < sizeof header) {
    fail(ErrorCode::kInvalidInput, path, ": is ", bytes.size(),
         " bytes long, expected a training checkpoint");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    fail(ErrorCode::kInvalidInput, path, ": is not a training checkpoint of this version");
  }
  if (header.checksum != header_checksum(header)) {
    fail(ErrorCode::kInvalidInput, path, ": the header's checksum is wrong");
  }
  if (header.table_bytes > std::min<uint64_t>(kMaxTableBytes, bytes.size() - sizeof header)) {
    fail(ErrorCode::kInvalidInput, path, ": ends within its table");
  }
  const auto table_bytes = bytes.subspan(sizeof header, header.table_bytes);
  if (checksum64(table_bytes) != header.table_checksum) {
    fail(ErrorCode::kInvalidInput, path, ": the table's checksum is wrong");
  }
  const std::string place = path + ": table";
  const json::value table =
      json::parse({reinterpret_cast<const char*>(table_bytes.data()), table_bytes.size()}, place);
  const json::ObjectReader reader(table, place);
  const json::value& state = reader.get("state");
  if (!state.is_object()) reader.wrong("state", state, "an object");
  state_ = state;
  const json::value& entries = reader.get("sections");
  if (!entries.is_array()) reader.wrong("sections", entries, "an array");

  uint64_t at = sizeof header + header.table_bytes;
  for (const json::value& value : entries.get_array()) {
    const json::ObjectReader entry(value, place + ": section");
    const std::string name = entry.get_string("name");
    const auto size = static_cast<uint64_t>(entry.get_int("bytes", 0, INT64_MAX));
    const std::optional<uint64_t> checksum = parse_checksum(entry.get_string("checksum"));
    const uint64_t start = round_up(at, kAlignment);
    if (!checksum || start > bytes.size() || size > bytes.size() - start) {
      fail(ErrorCode::kInvalidInput, path, ": ends within section \"", printable(name), "\"");
    }
    for (uint64_t i = at; i < start; ++i) {
      if (bytes[i] != std::byte{0}) {
        fail(ErrorCode::kInvalidInput, path, ": padding at offset ", i, " is not zero");
      }
    }
    if (checksum64(bytes.subspan(start, size)) != *checksum) {
      fail(ErrorCode::kInvalidInput, path, ": the checksum of section \"", printable(name),
           "\" is wrong");
    }
    sections_.push_back({name, bytes.subspan(start, size)});
    at = start + size;
  }
  if (at != bytes.size()) {
    fail(ErrorCode::kInvalidInput, path, ": ", bytes.size() - at, " bytes follow the last section");
  }
}

bool RunCheckpoint::contains(std::string_view name) const {
  return std::ranges::find(sections_, name, &CheckpointSection::name) != sections_.end();
}

std::span<const std::byte> RunCheckpoint::section(std::string_view name, size_t bytes) const {
  const auto found = std::ranges::find(sections_, name, &CheckpointSection::name);
  if (found == sections_.end()) {
    fail(ErrorCode::kInvalidInput, path(), ": has no section \"", name, "\"");
  }
  if (found->bytes.size() != bytes) {
    fail(ErrorCode::kInvalidInput, path(), ": section \"", name, "\": found ", found->bytes.size(),
         " bytes, expected ", bytes);
  }
  return found->bytes;
}

std::string CheckpointFolder::file(uint64_t steps_done) const {
  std::string digits = cat(steps_done);
  digits.insert(0, kDigits - std::min(digits.size(), kDigits), '0');
  return cat(path_, "/", kPrefix, digits, kSuffix);
}

std::vector<uint64_t> CheckpointFolder::steps() const {
  std::vector<uint64_t> steps;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path_, error), end; !error && it != end;
       it.increment(error)) {
    if (const auto found = steps_of(it->path().filename().string())) steps.push_back(*found);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    fail(ErrorCode::kIo, path_, ": cannot list the folder: ", error.message());
  }
  std::ranges::sort(steps);
  return steps;
}

std::optional<RunCheckpoint> CheckpointFolder::newest(
    const std::function<void(const std::string&)>& warn) const {
  const std::vector<uint64_t> all = steps();
  for (size_t i = all.size(); i-- > 0;) {
    try {
      return RunCheckpoint(file(all[i]));
    } catch (const Error& error) {
      warn(cat(error.what(), "; ",
               i ? "the checkpoint before it is taken" : "there is none before it"));
    }
  }
  return std::nullopt;
}

void CheckpointFolder::save(uint64_t steps_done, const json::object& state,
                            std::span<const CheckpointSection> sections, size_t keep) const {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) fail(ErrorCode::kIo, path_, ": cannot make the folder: ", error.message());
  write_run_checkpoint(file(steps_done), state, sections);
  const std::vector<uint64_t> all = steps();
  for (size_t i = 0; i + keep < all.size(); ++i) std::filesystem::remove(file(all[i]), error);
  // A run has one writer, so what is unfinished now was left by one that was killed.
  std::filesystem::directory_iterator it(path_, error);
  for (const std::filesystem::directory_iterator end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name.find(cat(kSuffix, ".tmp-")) != std::string::npos) {
      std::filesystem::remove(it->path(), ignored);
    }
  }
}

}  // namespace axk1
