// Tokenised documents of one source, however they are stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace axk1 {

// Constant once made: any thread may read.
class Documents {
 public:
  virtual ~Documents() = default;
  virtual size_t size() const = 0;
  virtual size_t length(size_t document) const = 0;  // tokens; at least 1
  // Tokens [begin, begin + ids.size()) of the document. counts[i] is 1 where predicting that token
  // is trained, else 0. Both spans have the same size.
  virtual void read(size_t document, size_t begin, std::span<int32_t> ids,
                    std::span<uint8_t> counts) const = 0;
  // Of all documents: the same for the same tokens, and hardly ever for others.
  virtual uint64_t fingerprint() const = 0;
};

class MemoryDocuments final : public Documents {
 public:
  // A document none of whose tokens is left out of the loss. Empty ones are not added.
  void add(std::span<const int32_t> ids);
  void add(std::span<const int32_t> ids, std::span<const uint8_t> counts);

  size_t size() const override { return ends_.size(); }
  size_t length(size_t document) const override { return ends_[document] - begin_of(document); }
  void read(size_t document, size_t begin, std::span<int32_t> ids,
            std::span<uint8_t> counts) const override;
  uint64_t fingerprint() const override;

 private:
  size_t begin_of(size_t document) const { return document ? ends_[document - 1] : 0; }

  std::vector<int32_t> ids_;
  std::vector<uint8_t> counts_;  // empty as long as every token counts
  std::vector<size_t> ends_;
};

// Which documents are trained on and which are held out, by a hash of their tokens: equal documents
// fall on the same side, and a document stays on its side whatever is added beside it.
struct HeldOutSplit {
  std::vector<uint32_t> train, held_out;  // in the order of the documents
};
HeldOutSplit split_held_out(const Documents& documents, double fraction);

}  // namespace axk1
