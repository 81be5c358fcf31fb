// Writes k1pack files (docs/formats.md, "k1pack"), record by record, so that neither memory nor an
// interruption matters: what is done stays done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "formats/k1pack.h"
#include "formats/k1pack_index.h"
#include "formats/safetensors_writer.h"
#include "io/checksum.h"
#include "io/part_file.h"

namespace axk1 {

struct K1PackRecordSpec {
  std::string name;
  std::vector<TensorSpec> tensors;
};

// Everything that a file will hold but the bytes of its tensors.
struct K1PackContents {
  std::vector<K1PackRecordSpec> trunk;
  std::vector<K1PackRecordSpec> streamed;
  std::map<std::string, std::string> members;
  json::object metadata;
};

// Offsets and sizes for the contents; checksums are 0. Throws Error(kInvalidInput) naming `source`
// for a tensor that no file can hold.
K1PackIndex plan_k1pack(const K1PackContents& contents, const std::string& source);

// The file grows as PATH.part, beside a journal PATH.part.journal with the checksum of every record
// that is complete; finish() flushes it and puts it under its name. A writer for the same contents
// and the same `origin` (text that tells apart what the bytes are made from) goes on after the last
// complete record of an interrupted one; of other contents it starts anew. Two writers of one path
// exclude each other. One thread at a time.
//
// Throws Error(kIo, kNotFound); what was written so far then stays, to go on from.
class K1PackWriter {
 public:
  // `progress`: of reading back what an interrupted run has left.
  K1PackWriter(const std::string& path, const K1PackContents& contents, const std::string& origin,
               const ByteProgress& progress = {});

  std::span<const K1PackRecord> records() const { return index_.records; }
  // The records that are complete, from the first on; append() continues with the next.
  size_t num_done() const { return num_done_; }
  // An interrupted run of something else was there, and is lost.
  bool started_anew() const { return started_anew_; }

  // The next bytes of the record num_done(): its tensors one after the other, without padding, in
  // pieces that end with a tensor at the latest. The last byte completes the record; records
  // without any complete themselves.
  void append(std::span<const std::byte> bytes);
  void finish();  // once, when all records are complete

 private:
  void take_over(const ByteProgress& progress);
  void pad_to(uint64_t offset);
  void next_tensor();
  void end_record();
  void put(std::span<const std::byte> bytes);

  std::string path_;
  K1PackIndex index_;
  std::map<std::string, std::string> members_;
  uint64_t fingerprint_ = 0;
  PartFile file_;
  size_t num_done_ = 0;
  bool started_anew_ = false;
  size_t tensor_idx_ = 0;  // of the record under way
  uint64_t position_ = 0;  // of the next byte
  Checksum64 checksum_;    // of the record under way
};

}  // namespace axk1
