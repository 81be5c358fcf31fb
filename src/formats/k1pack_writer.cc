#include "formats/k1pack_writer.h"

#include <array>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr uint64_t kMostFileBytes = uint64_t{1} << 62;

// The journal: a Note of index kHead, then one for each complete record. `mark` makes a note that
// was cut off, or belongs to other contents, show.
struct Note {
  uint64_t record_idx;
  uint64_t checksum;
  uint64_t mark;
};
constexpr uint64_t kHead = ~uint64_t{0};

Note make_note(uint64_t record_idx, uint64_t checksum, uint64_t fingerprint) {
  const std::array<uint64_t, 3> marked = {record_idx, checksum, fingerprint};
  return {record_idx, checksum, checksum64(std::as_bytes(std::span(marked)))};
}

std::string_view as_text(const Note& note) {
  return {reinterpret_cast<const char*>(&note), sizeof note};
}

void plan_records(const std::vector<K1PackRecordSpec>& specs, uint64_t alignment, uint64_t& next,
                  K1PackIndex& index, const std::string& source) {
  for (const K1PackRecordSpec& spec : specs) {
    K1PackRecord record{.name = spec.name, .offset = next};
    for (const TensorSpec& tensor : spec.tensors) {
      const auto bytes = k1pack_tensor_bytes(tensor.dtype, tensor.shape);
      next = round_up(next, kK1PackTensorAlign);
      if (!bytes || *bytes > kMostFileBytes - next) {
        fail(ErrorCode::kInvalidInput, source, ": tensor \"", printable(tensor.name), "\" of type ",
             dtype_name(tensor.dtype), " and shape ", shape_text(tensor.shape),
             " does not fit a file");
      }
      record.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, next, *bytes});
      next += *bytes;
    }
    next = round_up(next, alignment);
    record.size_bytes = next - record.offset;
    index.records.push_back(std::move(record));
  }
}

}  // namespace

K1PackIndex plan_k1pack(const K1PackContents& contents, const std::string& source) {
  K1PackIndex index;
  index.metadata = contents.metadata;
  uint64_t next = kK1PackPage;
  plan_records(contents.trunk, kK1PackTensorAlign, next, index, source);
  index.num_trunk_records = index.records.size();
  const uint64_t trunk_end = round_up(next, kK1PackPage);
  if (!index.records.empty()) index.records.back().size_bytes += trunk_end - next;
  next = trunk_end;
  plan_records(contents.streamed, kK1PackPage, next, index, source);
  for (const auto& [name, bytes] : contents.members) {
    index.members.push_back({name, next, bytes.size(), checksum64(bytes)});
    next += bytes.size();
  }
  return index;
}

namespace {

K1PackHeader header_of(const K1PackIndex& index, const std::string& index_text) {
  K1PackHeader header;
  const auto extent = [&](uint64_t first, const auto& items) {
    uint64_t size = 0;
    for (const auto& item : items) size += item.size_bytes;
    return K1PackExtent{first, size};
  };
  const std::span<const K1PackRecord> records = index.records;
  header.trunk = extent(kK1PackPage, records.first(index.num_trunk_records));
  header.streamed = extent(header.trunk.end(), records.subspan(index.num_trunk_records));
  header.members = extent(header.streamed.end(), index.members);
  header.index = {header.members.end(), index_text.size()};
  header.index_checksum = checksum64(index_text);
  return header;
}

}  // namespace

K1PackWriter::K1PackWriter(const std::string& path, const K1PackContents& contents,
                           const std::string& origin, const ByteProgress& progress)
    : path_(path), index_(plan_k1pack(contents, path)), members_(contents.members), file_(path) {
  const std::string plan = k1pack_index_text(index_);
  fingerprint_ = checksum64(cat(kK1PackVersion, "\n", plan, "\n", origin));
  // What would not be read back must not be written.
  parse_k1pack_index(plan, header_of(index_, plan), path);
  take_over(progress);
  position_ = num_done_ < index_.records.size() ? index_.records[num_done_].offset : 0;
  next_tensor();
}

void K1PackWriter::take_over(const ByteProgress& progress) {
  const std::string journal = file_.read_journal();
  const auto note = [&](size_t i) {
    Note found{};
    std::memcpy(&found, journal.data() + i * sizeof found, sizeof found);
    return found;
  };
  const size_t num_notes = journal.size() / sizeof(Note);
  const Note head = make_note(kHead, 0, fingerprint_);
  if (num_notes == 0 || std::memcmp(journal.data(), &head, sizeof head) != 0) {
    started_anew_ = !journal.empty();
    file_.start_anew(header_of(index_, k1pack_index_text(index_)).file_bytes());
    file_.append_journal(as_text(head));
    return;
  }
  size_t noted = 0;
  while (noted + 1 < num_notes && noted < index_.records.size()) {
    const Note found = note(noted + 1), expected = make_note(noted, found.checksum, fingerprint_);
    if (std::memcmp(&found, &expected, sizeof found) != 0) break;
    index_.records[noted++].checksum = found.checksum;
  }
  // A journal can outlast the bytes that it speaks of: after a loss of power, say.
  if (noted > 0) {
    const DirectReader reader(file_.part_path());
    ThreadPool pool(kDiskReaders);
    num_done_ = first_damaged_record(reader, records().first(noted), pool, progress);
  }
  file_.cut_journal((1 + num_done_) * sizeof(Note));
}

void K1PackWriter::append(std::span<const std::byte> bytes) {
  AXK1_CHECK(num_done_ < index_.records.size());
  const K1PackTensor& tensor = index_.records[num_done_].tensors[tensor_idx_];
  AXK1_CHECK(bytes.size() <= tensor.offset + tensor.size_bytes - position_);
  put(bytes);
  next_tensor();
}

// Moves on to the next tensor that has bytes to come, over records that are complete.
void K1PackWriter::next_tensor() {
  while (num_done_ < index_.records.size()) {
    const K1PackRecord& record = index_.records[num_done_];
    if (tensor_idx_ == record.tensors.size()) {
      pad_to(record.offset + record.size_bytes);
      end_record();
      continue;
    }
    const K1PackTensor& tensor = record.tensors[tensor_idx_];
    if (position_ < tensor.offset) pad_to(tensor.offset);
    if (position_ < tensor.offset + tensor.size_bytes) return;
    ++tensor_idx_;
  }
}

void K1PackWriter::pad_to(uint64_t offset) {
  static constexpr std::array<std::byte, kK1PackPage> kZeros{};
  while (position_ < offset) {
    put(std::span(kZeros).first(std::min<uint64_t>(kZeros.size(), offset - position_)));
  }
}

void K1PackWriter::end_record() {
  index_.records[num_done_].checksum = checksum_.digest();
  file_.append_journal(
      as_text(make_note(num_done_, index_.records[num_done_].checksum, fingerprint_)));
  checksum_.reset();
  tensor_idx_ = 0;
  ++num_done_;
}

void K1PackWriter::put(std::span<const std::byte> bytes) {
  file_.write_at(position_, bytes);
  checksum_.update(bytes);
  position_ += bytes.size();
}

void K1PackWriter::finish() {
  AXK1_CHECK(num_done_ == index_.records.size());
  for (const K1PackMember& member : index_.members) {
    file_.write_at(member.offset, std::as_bytes(std::span(members_.at(member.name))));
  }
  const std::string text = k1pack_index_text(index_);
  const K1PackHeader header = header_of(index_, text);
  file_.write_at(header.index.offset, std::as_bytes(std::span(text)));
  const std::string first = k1pack_header_bytes(header);
  file_.write_at(0, std::as_bytes(std::span(first)));
  file_.commit();
}

}  // namespace axk1
