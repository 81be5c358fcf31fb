// Decoding allocates nothing once a session has its memory.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "testing/shared_data.h"

namespace {
std::atomic<size_t> num_allocations{0};
}

// Not inlined: g++ would see malloc and delete, or new and free, meet and warn of a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  ++num_allocations;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace axk1 {
namespace {

TEST(Decode, AllocatesNothing) {
  Engine engine(testing::testdata("../models/nano-v0"), {.num_threads = 2});
  Session first(engine), second(engine);
  const std::vector<TokenId> prompt(70, 300);
  for (Session* session : {&first, &second}) {
    session->set_tokens(prompt);
    session->reserve(512);
  }
  Sampler sampler({.temperature = 0.7f, .top_p = 0.9f, .repetition_penalty = 1.1f, .seed = 1},
                  engine.vocab_size());
  std::vector<TokenId> answer;
  answer.reserve(400);
  Session* const both[] = {&first, &second};
  size_t before = 0;
  for (int i = 0; i < 300; ++i) {
    if (i == 150) before = num_allocations;  // vectors have reached their size
    const TokenId id = sampler.sample(first.logits(), prompt, answer);
    answer.push_back(id);
    engine.step(both, std::vector<TokenId>{id, id});
  }
  // One for each vector of ids that this test itself makes.
  EXPECT_EQ(num_allocations - before, 150u);
}

}  // namespace
}  // namespace axk1
