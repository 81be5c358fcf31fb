#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

constexpr uint64_t kNoPair = ~uint64_t{0};
constexpr uint32_t kNone = 0xffffffff;
constexpr size_t kCacheLines = size_t{1} << 15;  // 2 MiB
// Up to here the quadratic search for the best pair is faster than a heap.
constexpr size_t kShortSymbols = 48;

uint64_t pair_key(TokenId left, TokenId right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Multiplicative hashing (Knuth, TAOCP vol. 3, 6.4): 2^64 divided by the golden ratio.
constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

uint64_t hash_key(uint64_t key) {
  return (key ^ key >> 29) * kGolden;
}

uint64_t load_word(const char* data) {
  uint64_t word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

}  // namespace

BpeScratch::BpeScratch() : cache_(kCacheLines) {}

Bpe::Bpe(const Vocabulary& vocabulary, const std::vector<BpeMerge>& merges, BpeOptions options)
    : vocabulary_(vocabulary), options_(std::move(options)) {
  const size_t capacity = std::bit_ceil(std::max<size_t>(merges.size() * 2, 16));
  pairs_.assign(capacity, {kNoPair, kNoPair});
  pair_shift_ = 64 - std::countr_zero(capacity);
  for (const BpeMerge& merge : merges) {
    const uint64_t key = pair_key(merge.left, merge.right);
    size_t slot = hash_key(key) >> pair_shift_;
    while (pairs_[slot].key != kNoPair && pairs_[slot].key != key)
      slot = (slot + 1) & (capacity - 1);
    pairs_[slot] = {key, uint64_t{merge.rank} << 32 | static_cast<uint32_t>(merge.result)};
  }
  all_bytes_ = options_.bytes && options_.prefix.empty() && options_.suffix.empty();
  for (int byte = 0; byte < 256; ++byte) {
    const char as_char = static_cast<char>(byte);
    byte_ids_[byte] = vocabulary.find(bytes_to_text({&as_char, 1})).value_or(-1);
    constexpr char kHex[] = "0123456789ABCDEF";
    const char name[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    fallback_ids_[byte] = vocabulary.find({name, sizeof(name)}).value_or(-1);
    all_bytes_ &= byte_ids_[byte] >= 0;
  }
}

uint64_t Bpe::find_pair(TokenId left, TokenId right) const {
  const uint64_t key = pair_key(left, right);
  const size_t mask = pairs_.size() - 1;
  for (size_t slot = hash_key(key) >> pair_shift_;; slot = (slot + 1) & mask) {
    if (pairs_[slot].key == key) return pairs_[slot].merged;
    if (pairs_[slot].key == kNoPair) return kNoPair;
  }
}

void Bpe::encode(std::string_view text, std::span<const Piece> pieces, BpeScratch& scratch,
                 std::vector<TokenId>& out) const {
  constexpr size_t kKeyBytes = sizeof(BpeScratch::Key);
  // The lines of a few pieces are on their way while those before are looked at.
  constexpr size_t kAhead = 16;
  struct Lookup {
    BpeScratch::Key key;
    BpeScratch::CacheLine* line;
  };
  std::array<Lookup, kAhead> lookups;
  auto prepare = [&](size_t i) {
    const Piece piece = pieces[i];
    const size_t length = piece.end - piece.begin;
    if (length > BpeScratch::kMaxKey) return;
    auto& [key, line] = lookups[i % kAhead];
    const char* data = text.data() + piece.begin;
    char padded[kKeyBytes];
    if (piece.begin + kKeyBytes > text.size()) {
      std::memset(padded, 0, kKeyBytes);
      std::memcpy(padded, data, length);
      data = padded;
    }
    uint64_t hash = 0;
    for (size_t w = 0; w < 4; ++w) {
      const size_t in_word = std::min<size_t>(length - std::min(length, w * 8), 8);
      const uint64_t mask = in_word == 8 ? ~uint64_t{0} : (uint64_t{1} << (in_word * 8)) - 1;
      key.words[w] = load_word(data + w * 8) & mask;
    }
    key.words[3] |= uint64_t{length} << 56;
    for (const uint64_t word : key.words) {
      hash = (hash ^ word) * kGolden;
      hash ^= hash >> 32;
    }
    line = &scratch.cache_[hash & (kCacheLines - 1)];
    __builtin_prefetch(line);
  };
  const size_t count = pieces.size();
  for (size_t i = 0; i < std::min(kAhead, count); ++i) prepare(i);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view piece = text.substr(pieces[i].begin, pieces[i].end - pieces[i].begin);
    if (piece.size() > BpeScratch::kMaxKey) {
      encode_uncached(piece, scratch, out);
    } else if (!piece.empty()) {
      const Lookup& lookup = lookups[i % kAhead];
      encode_cached(piece, lookup.key, *lookup.line, scratch, out);
    }
    if (i + kAhead < count) prepare(i + kAhead);
  }
}

void Bpe::encode_cached(std::string_view piece, const BpeScratch::Key& key,
                        BpeScratch::CacheLine& line, BpeScratch& scratch,
                        std::vector<TokenId>& out) const {
  if (line.key == key) {
    out.insert(out.end(), line.ids, line.ids + line.num_ids);
    return;
  }
  const size_t first = out.size();
  encode_uncached(piece, scratch, out);
  const size_t num_ids = out.size() - first;
  if (num_ids > BpeScratch::kMaxIds) return;
  line.key = key;
  line.num_ids = static_cast<uint32_t>(num_ids);
  std::copy(out.begin() + static_cast<ptrdiff_t>(first), out.end(), line.ids);
}

void Bpe::encode_uncached(std::string_view piece, BpeScratch& scratch,
                          std::vector<TokenId>& out) const {
  // No character of an entry stands for more than one byte of a piece in bytes.
  if (options_.ignore_merges && piece.size() <= vocabulary_.max_text_bytes()) {
    const auto whole =
        options_.bytes ? vocabulary_.find(bytes_to_text(piece)) : vocabulary_.find(piece);
    if (whole) {
      out.push_back(*whole);
      return;
    }
  }
  scratch.ids_.clear();
  if (all_bytes_) {
    scratch.ids_.resize(piece.size());
    for (size_t i = 0; i < piece.size(); ++i) {
      scratch.ids_[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
    }
  } else {
    append_symbols(options_.bytes ? bytes_to_text(piece) : piece, scratch.ids_);
  }
  if (scratch.ids_.size() >= kNone) {
    fail(ErrorCode::kInvalidInput, "a piece of ", scratch.ids_.size(),
         " characters without a place to cut is too long to encode");
  }
  if (scratch.ids_.size() <= kShortSymbols) {
    merge_short(scratch, out);
  } else {
    merge_long(scratch, out);
  }
}

// BPE::merge_word of tokenizers/src/models/bpe/model.rs, up to the merging. Note there: an unknown
// token that waits for its neighbours is put behind byte-fallback tokens.
void Bpe::append_symbols(std::string_view text, std::vector<TokenId>& ids) const {
  TokenId waiting_unk = -1;
  std::string decorated;
  for (size_t at = 0; at < text.size();) {
    const size_t length = decode_utf8(text.substr(at)).length;
    std::string_view symbol = text.substr(at, length);
    const bool first = at == 0, last = at + length == text.size();
    at += length;
    if ((!first && !options_.prefix.empty()) || (last && !options_.suffix.empty())) {
      decorated = cat(first ? "" : options_.prefix, symbol, last ? options_.suffix : "");
      symbol = decorated;
    }
    if (const auto id = vocabulary_.find(symbol)) {
      if (waiting_unk >= 0) ids.push_back(waiting_unk);
      waiting_unk = -1;
      ids.push_back(*id);
      continue;
    }
    if (options_.byte_fallback && std::ranges::all_of(symbol, [&](char c) {
          return fallback_ids_[static_cast<unsigned char>(c)] >= 0;
        })) {
      for (unsigned char c : symbol) ids.push_back(fallback_ids_[c]);
      continue;
    }
    if (options_.unk) {
      if (waiting_unk >= 0 && !options_.fuse_unk) ids.push_back(waiting_unk);
      waiting_unk = *options_.unk;
    }
  }
  if (waiting_unk >= 0) ids.push_back(waiting_unk);
}

void Bpe::merge_short(BpeScratch& scratch, std::vector<TokenId>& out) const {
  std::vector<TokenId>& ids = scratch.ids_;
  std::vector<uint64_t>& pairs = scratch.pairs_;  // pairs[i]: what ids[i], ids[i + 1] become
  size_t count = ids.size();
  if (count == 0) return;
  pairs.resize(count);
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = find_pair(ids[i], ids[i + 1]);
  while (count > 1) {
    uint64_t best = kNoPair;
    size_t at = 0;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (pairs[i] >> 32 < best >> 32) {
        best = pairs[i];
        at = i;
      }
    }
    if (best == kNoPair) break;
    ids[at] = static_cast<TokenId>(best & 0xffffffffu);
    for (size_t i = at + 1; i + 1 < count; ++i) ids[i] = ids[i + 1];
    for (size_t i = at; i + 2 < count; ++i) pairs[i] = pairs[i + 1];
    --count;
    if (at + 1 < count) pairs[at] = find_pair(ids[at], ids[at + 1]);
    if (at > 0) pairs[at - 1] = find_pair(ids[at - 1], ids[at]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
}

void Bpe::merge_long(BpeScratch& scratch, std::vector<TokenId>& out) const {
  auto& symbols = scratch.symbols_;
  auto& heap = scratch.heap_;
  const auto count = static_cast<uint32_t>(scratch.ids_.size());
  symbols.resize(count);
  heap.clear();
  for (uint32_t i = 0; i < count; ++i) {
    symbols[i] = {scratch.ids_[i], i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1, false};
  }
  // Lowest rank first, then leftmost.
  auto later = [](const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  auto consider = [&](uint32_t left) {
    const uint64_t merged = find_pair(symbols[left].id, symbols[symbols[left].next].id);
    if (merged == kNoPair) return false;
    heap.push_back(
        {static_cast<uint32_t>(merged >> 32), left, static_cast<TokenId>(merged & 0xffffffffu)});
    return true;
  };
  for (uint32_t i = 0; i + 1 < count; ++i) consider(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    const BpeScratch::Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    BpeScratch::Symbol& left = symbols[best.position];
    if (left.gone || left.next == kNone) continue;
    BpeScratch::Symbol& right = symbols[left.next];
    const uint64_t merged = find_pair(left.id, right.id);  // is the candidate still what it was?
    if (merged == kNoPair || static_cast<TokenId>(merged & 0xffffffffu) != best.result) continue;
    left.id = best.result;
    right.gone = true;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = best.position;
    if (left.previous != kNone && consider(left.previous)) {
      std::push_heap(heap.begin(), heap.end(), later);
    }
    if (left.next != kNone && consider(best.position)) {
      std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace axk1
