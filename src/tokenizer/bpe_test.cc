#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

namespace axk1 {
namespace {

struct Model {
  Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
};

// Single letters, and `count` merges of entries picked at random.
Model random_model(std::mt19937& random, size_t letters, size_t count) {
  Model model;
  std::vector<std::string> entries;
  for (size_t i = 0; i < letters; ++i)
    entries.push_back(std::string(1, static_cast<char>('a' + i)));
  for (size_t i = 0; i < letters; ++i)
    model.vocabulary.add(entries[i], static_cast<int64_t>(i), "");
  for (size_t tries = 0; model.merges.size() < count && tries < 100 * count; ++tries) {
    const size_t left = random() % entries.size(), right = random() % entries.size();
    const std::string merged = entries[left] + entries[right];
    if (merged.size() > 12) continue;
    auto id = model.vocabulary.find(merged);
    if (!id) {
      id = static_cast<TokenId>(entries.size());
      model.vocabulary.add(merged, *id, "");
      entries.push_back(merged);
    }
    model.merges.push_back({static_cast<TokenId>(left), static_cast<TokenId>(right), *id,
                            static_cast<uint32_t>(model.merges.size())});
  }
  return model;
}

// The definition, word for word: join the leftmost of the pairs with the lowest rank, as long as
// there is one.
std::vector<TokenId> by_definition(const Model& model, std::string_view text) {
  std::map<std::pair<TokenId, TokenId>, BpeMerge> merges;
  for (const BpeMerge& merge : model.merges) merges[{merge.left, merge.right}] = merge;
  std::vector<TokenId> ids;
  for (size_t i = 0; i < text.size(); ++i) ids.push_back(*model.vocabulary.find(text.substr(i, 1)));
  while (true) {
    const BpeMerge* best = nullptr;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = merges.find({ids[i], ids[i + 1]});
      if (found == merges.end() || (best && found->second.rank >= best->rank)) continue;
      best = &found->second;
      at = i;
    }
    if (!best) return ids;
    ids[at] = best->result;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

std::vector<TokenId> encode(const Bpe& bpe, BpeScratch& scratch, std::string_view text) {
  std::vector<TokenId> ids;
  const Piece all{0, text.size()};
  bpe.encode(text, {&all, 1}, scratch, ids);
  return ids;
}

TEST(Bpe, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  size_t cases = 0;
  for (int round = 0; round < 40; ++round) {
    const size_t letters = 2 + random() % 4;
    const Model model = random_model(random, letters, 5 + random() % 60);
    const Bpe bpe(model.vocabulary, model.merges, {});
    BpeScratch scratch;
    for (int i = 0; i < 100; ++i) {
      // Short ones (cached, searched) and long ones (heap): the limits are 31 bytes and 48 symbols.
      const size_t length = i % 4 == 0 ? random() % 300 : random() % 50;
      std::string text;
      for (size_t k = 0; k < length; ++k) text += static_cast<char>('a' + random() % letters);
      const auto expected = by_definition(model, text);
      ASSERT_EQ(encode(bpe, scratch, text), expected) << text;
      ASSERT_EQ(encode(bpe, scratch, text), expected) << text << " again";
      ++cases;
    }
  }
  std::printf("[ cases ] BPE against its definition: %zu\n", cases);
}

TEST(Bpe, ManyPiecesAtOnce) {
  std::mt19937 random(2);
  const Model model = random_model(random, 4, 50);
  const Bpe bpe(model.vocabulary, model.merges, {});
  BpeScratch scratch;
  std::string text;
  std::vector<Piece> pieces;
  std::vector<TokenId> expected;
  for (int i = 0; i < 5000; ++i) {
    const size_t begin = text.size();
    for (size_t length = random() % 40; length > 0; --length) {
      text += static_cast<char>('a' + random() % 4);
    }
    pieces.push_back({begin, text.size()});
    const auto ids = by_definition(model, std::string_view(text).substr(begin));
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  std::vector<TokenId> ids;
  bpe.encode(text, pieces, scratch, ids);
  EXPECT_EQ(ids, expected);
}

TEST(Bpe, UnknownCharacters) {
  Vocabulary vocabulary;
  int64_t id = 0;
  for (const char* text : {"a", "<unk>", "b", "ab", "<0xC3>", "<0xA9>"})
    vocabulary.add(text, id++, "");
  const std::vector<BpeMerge> merges = {{0, 2, 3, 0}};
  BpeScratch dropped, unk, fused, fallback;
  using Ids = std::vector<TokenId>;
  EXPECT_EQ(encode(Bpe(vocabulary, merges, {}), dropped, "axxb"), (Ids{3}));
  BpeOptions options;
  options.unk = 1;
  EXPECT_EQ(encode(Bpe(vocabulary, merges, options), unk, "axxb"), (Ids{0, 1, 1, 2}));
  options.fuse_unk = true;
  EXPECT_EQ(encode(Bpe(vocabulary, merges, options), fused, "axxbx"), (Ids{0, 1, 2, 1}));
  options.byte_fallback = true;
  EXPECT_EQ(encode(Bpe(vocabulary, merges, options), fallback, "aéb"), (Ids{0, 4, 5, 2}));
  // An unknown token waits for its neighbour and is overtaken by bytes, as in the original.
  BpeScratch overtaken;
  EXPECT_EQ(encode(Bpe(vocabulary, merges, options), overtaken, "xéb"), (Ids{4, 5, 1, 2}));
}

TEST(Bpe, PrefixSuffixAndWholeEntries) {
  Vocabulary vocabulary;
  int64_t id = 0;
  for (const char* text : {"a", "##b", "##c</w>", "ab", "##b</w>", "a</w>", "abc</w>"}) {
    vocabulary.add(text, id++, "");
  }
  BpeOptions options;
  options.prefix = "##";
  options.suffix = "</w>";
  using Ids = std::vector<TokenId>;
  BpeScratch scratch;
  const Bpe bpe(vocabulary, {{0, 1, 3, 0}, {3, 2, 6, 1}}, options);
  EXPECT_EQ(encode(bpe, scratch, "abc"), (Ids{6}));
  EXPECT_EQ(encode(bpe, scratch, "ab"), (Ids{0, 4}));
  EXPECT_EQ(encode(bpe, scratch, "a"), (Ids{5}));

  Vocabulary words;
  for (const char* text : {"x", "y", "xy"}) words.add(text, text[1] ? 2 : text[0] - 'x', "");
  BpeOptions whole;
  BpeScratch without, with;
  EXPECT_EQ(encode(Bpe(words, {}, whole), without, "xy"), (Ids{0, 1}));
  whole.ignore_merges = true;
  EXPECT_EQ(encode(Bpe(words, {}, whole), with, "xy"), (Ids{2}));
}

}  // namespace
}  // namespace axk1
