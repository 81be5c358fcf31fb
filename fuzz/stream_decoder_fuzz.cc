// deps: tokenizer base
// Bytes as text: decoding, validation, normal forms, and streaming from tokens that cut characters.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"
#include "tokenizer/unicode.h"

namespace {

axk1::Tokenizer byte_tokenizer() {
  axk1::TokenizerSpec spec;
  spec.source = "bytes";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    spec.vocabulary.add(axk1::bytes_to_text({&c, 1}), byte, spec.source);
  }
  for (int lead = 0xea; lead < 0xee; ++lead) {  // and the first two bytes of Hangul syllables
    for (int second = 0x80; second < 0xc0; ++second) {
      const char both[] = {static_cast<char>(lead), static_cast<char>(second)};
      const auto id = static_cast<axk1::TokenId>(spec.vocabulary.size());
      spec.vocabulary.add(axk1::bytes_to_text({both, 2}), id, spec.source);
      spec.merges.push_back({lead, second, id, static_cast<uint32_t>(id)});
    }
  }
  spec.bpe.bytes = spec.decoder.bytes = true;
  return axk1::Tokenizer(std::move(spec));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const axk1::Tokenizer kTokenizer = byte_tokenizer();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string lossy = axk1::utf8_lossy(text);
  AXK1_CHECK(axk1::is_valid_utf8(lossy));
  const size_t valid = axk1::valid_utf8_prefix(text);
  AXK1_CHECK((valid == size) == axk1::is_valid_utf8(text));
  AXK1_CHECK(axk1::is_valid_utf8(text.substr(0, valid)));

  for (const auto form : {axk1::NormalForm::kNfc, axk1::NormalForm::kNfd, axk1::NormalForm::kNfkc,
                          axk1::NormalForm::kNfkd}) {
    const std::string once = axk1::normalize(lossy, form);
    AXK1_CHECK(axk1::is_valid_utf8(once));
    AXK1_CHECK(axk1::normalize(once, form) == once);
    AXK1_CHECK(!axk1::is_normalized(lossy, form) || once == lossy);
  }

  const auto ids = kTokenizer.encode(text);
  axk1::StreamDecoder stream(kTokenizer);
  std::string back, streamed;
  for (const axk1::TokenId id : ids) {
    back += kTokenizer.token_bytes(id);
    const std::string part = stream.push(id);
    AXK1_CHECK(axk1::is_valid_utf8(part));
    streamed += part;
  }
  streamed += stream.flush();
  AXK1_CHECK(back == text);
  AXK1_CHECK(streamed == lossy && kTokenizer.decode(ids) == lossy);
  return 0;
}
