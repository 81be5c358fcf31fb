// Drives a fuzz target without libFuzzer: every file of its corpus, then a fixed number of seeded
// mutations of them. Same inputs in the same order on every machine.
//
//   NAME_fuzz_smoke NAME CORPUS_DIR        AXK1_FUZZ_RUNS: mutations, default 4,000
//
// An input that ends the process is left in the working folder as crash-NAME.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// In programs with a sanitizer: called before it ends the process.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kDefaultRuns = 4000;
constexpr size_t kMaxBytes = size_t{1} << 16;

// What the handlers below save; only async-signal-safe calls may use it there.
const uint8_t* current_data = nullptr;
size_t current_size = 0;
char crash_path[512];

void save_current() {
  const int fd = ::open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return;
  const bool whole = ::write(fd, current_data, current_size) == static_cast<ssize_t>(current_size);
  ::close(fd);
  static constexpr char kMessage[] = "input that failed: ";
  if (!whole || ::write(2, kMessage, sizeof(kMessage) - 1) < 0 ||
      ::write(2, crash_path, std::strlen(crash_path)) < 0 || ::write(2, "\n", 1) < 0) {
    return;
  }
}

void on_signal(int number) {
  save_current();
  ::_exit(128 + number);
}

void run_one(const Bytes& input) {
  // A block of exactly this size, so that a read past the end is seen.
  std::unique_ptr<uint8_t[]> exact(new uint8_t[input.size()]);
  std::copy(input.begin(), input.end(), exact.get());
  current_data = exact.get();
  current_size = input.size();
  LLVMFuzzerTestOneInput(exact.get(), input.size());
}

// Pieces that parsers treat specially.
constexpr const char* kTokens[] = {
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    "null",
    "true",
    "-1",
    "1e999",
    "0",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "{%-",
    "-%}",
    "if ",
    "for ",
    "endfor",
    " in ",
    "<|",
    "|>",
    "\\u",
    "\\ud800",
    "\xff",
    "\xed\xa0\x80",
    "\xf0\x9f",
    "\xea\xb0\x80",
    "\n",
    "shape",
    "data_offsets",
    "dtype",
    "18446744073709551615",
    "-9223372036854775808",
};

class Mutator {
 public:
  Mutator(std::vector<Bytes> seeds, uint64_t seed) : seeds_(std::move(seeds)), rng_(seed) {}

  Bytes next() {
    Bytes bytes = pick(seeds_);
    for (size_t steps = 1 + below(4); steps > 0; --steps) mutate(bytes);
    if (bytes.size() > kMaxBytes) bytes.resize(kMaxBytes);
    return bytes;
  }

 private:
  // Not std::uniform_int_distribution: its results differ between standard libraries.
  size_t below(size_t n) { return n ? static_cast<size_t>(rng_() % n) : 0; }
  const Bytes& pick(const std::vector<Bytes>& from) { return from[below(from.size())]; }
  size_t place(const Bytes& bytes) { return below(bytes.size() + 1); }

  void insert(Bytes& bytes, const uint8_t* data, size_t size) {
    bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(place(bytes)), data, data + size);
  }

  void mutate(Bytes& bytes) {
    const size_t kind = below(9);
    if (bytes.empty() && kind < 6) {
      bytes.push_back(static_cast<uint8_t>(rng_()));
      return;
    }
    switch (kind) {
      case 0: {  // flip one bit
        bytes[below(bytes.size())] ^= static_cast<uint8_t>(1u << below(8));
        break;
      }
      case 1: {  // overwrite one byte
        bytes[below(bytes.size())] = static_cast<uint8_t>(rng_());
        break;
      }
      case 2: {  // cut the end off
        bytes.resize(below(bytes.size()));
        break;
      }
      case 3: {  // remove a run
        const size_t from = below(bytes.size());
        const size_t count = 1 + below(std::min<size_t>(bytes.size() - from, 64));
        bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(from),
                    bytes.begin() + static_cast<ptrdiff_t>(from + count));
        break;
      }
      case 4: {  // repeat a run
        const size_t from = below(bytes.size());
        const size_t count = 1 + below(std::min<size_t>(bytes.size() - from, 64));
        const Bytes run(bytes.begin() + static_cast<ptrdiff_t>(from),
                        bytes.begin() + static_cast<ptrdiff_t>(from + count));
        for (size_t times = 1 + below(16); times > 0; --times) {
          insert(bytes, run.data(), run.size());
        }
        break;
      }
      case 5: {  // overwrite an integer of 1, 2, 4 or 8 bytes with one that lies at an edge
        static constexpr std::array<uint64_t, 10> kEdges = {
            0,          1,          0x7f,       0xff,         0x7fff,
            0xffffffff, 0x7fffffff, 1ull << 32, ~uint64_t{0}, uint64_t{1} << 63};
        const uint64_t value = kEdges[below(kEdges.size())] + below(3) - 1;
        const size_t width = std::min(bytes.size(), size_t{1} << below(4));
        std::memcpy(bytes.data() + below(bytes.size() - width + 1), &value, width);
        break;
      }
      case 6: {  // insert a token
        const char* token = kTokens[below(std::size(kTokens))];
        insert(bytes, reinterpret_cast<const uint8_t*>(token), std::strlen(token));
        break;
      }
      case 7: {  // the head of this one, the tail of another
        const Bytes& other = pick(seeds_);
        bytes.resize(place(bytes));
        bytes.insert(bytes.end(), other.begin() + static_cast<ptrdiff_t>(place(other)),
                     other.end());
        break;
      }
      case 8: {  // insert random bytes
        std::array<uint8_t, 8> noise;
        for (uint8_t& byte : noise) byte = static_cast<uint8_t>(rng_());
        insert(bytes, noise.data(), 1 + below(noise.size()));
        break;
      }
    }
  }

  std::vector<Bytes> seeds_;
  std::mt19937_64 rng_;
};

std::vector<Bytes> read_corpus(const std::string& dir) {
  std::vector<std::string> paths;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(dir, missing)) {
    if (entry.is_regular_file()) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());  // directory order differs between machines
  std::vector<Bytes> seeds;
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

int num_runs() {
  const char* text = std::getenv("AXK1_FUZZ_RUNS");
  if (!text) return kDefaultRuns;
  char* end = nullptr;
  const long runs = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || runs < 0 || runs > 1000000000) {
    std::fprintf(stderr, "AXK1_FUZZ_RUNS: found \"%s\", expected a number\n", text);
    std::exit(2);
  }
  return static_cast<int>(runs);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s NAME CORPUS_DIR\n", argv[0]);
    return 2;
  }
  std::snprintf(crash_path, sizeof crash_path, "crash-%s", argv[1]);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(save_current);
  std::signal(SIGABRT, on_signal);
  if (!__sanitizer_set_death_callback) {  // sanitizers have their own handlers for these
    for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, on_signal);
  }

  std::vector<Bytes> seeds = read_corpus(argv[2]);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: found no corpus file, expected at least one\n", argv[2]);
    return 1;
  }
  run_one({});
  for (const Bytes& seed : seeds) run_one(seed);
  const int runs = num_runs();
  const size_t num_seeds = seeds.size();
  Mutator mutator(std::move(seeds), 20260109);
  for (int i = 0; i < runs; ++i) run_one(mutator.next());
  std::printf("[ cases ] fuzz %s: %zu seeds, %d mutations\n", argv[1], num_seeds, runs);
  return 0;
}
