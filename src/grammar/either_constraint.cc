// Answers that may take one of several forms.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "grammar/byte_constraint.h"
#include "grammar/constraints.h"

namespace axk1 {
namespace {

using Forms = std::vector<std::unique_ptr<TokenConstraint>>;

class EitherConstraint final : public ByteConstraint {
 public:
  explicit EitherConstraint(Forms forms) : forms_(std::move(forms)) { AXK1_CHECK(!forms_.empty()); }

  bool allows_all() const override {
    return std::any_of(forms_.begin(), forms_.end(), [](const auto& f) { return f->allows_all(); });
  }

  void allowed(std::span<uint32_t> words) override {
    forms_.front()->allowed(words);
    for (size_t i = 1; i < forms_.size(); ++i) {
      words_.resize(words.size());
      forms_[i]->allowed(words_);
      for (size_t w = 0; w < words.size(); ++w) words[w] |= words_[w];
    }
  }

  bool push(TokenId id) override {
    return keep([id](TokenConstraint& form) { return form.push(id); });
  }

  bool push_bytes(std::string_view bytes) override {
    return keep([bytes](TokenConstraint& form) {
      auto* const as_bytes = dynamic_cast<ByteConstraint*>(&form);
      return as_bytes && as_bytes->push_bytes(bytes);
    });
  }

  std::unique_ptr<TokenConstraint> clone() const override {
    Forms copies;
    for (const auto& form : forms_) copies.push_back(form->clone());
    return std::make_unique<EitherConstraint>(std::move(copies));
  }

 private:
  // Those that take it stay. One that does not has not changed, so if none does, nothing has.
  template <class Push>
  bool keep(Push&& push) {
    std::vector<bool> takes;
    for (const auto& form : forms_) takes.push_back(push(*form));
    if (std::none_of(takes.begin(), takes.end(), [](bool t) { return t; })) return false;
    size_t i = 0;
    std::erase_if(forms_, [&](const auto&) { return !takes[i++]; });
    return true;
  }

  Forms forms_;                  // that are still possible
  std::vector<uint32_t> words_;  // of one of them
};

}  // namespace

std::unique_ptr<TokenConstraint> make_either_constraint(
    std::vector<std::unique_ptr<TokenConstraint>> forms) {
  return std::make_unique<EitherConstraint>(std::move(forms));
}

}  // namespace axk1
