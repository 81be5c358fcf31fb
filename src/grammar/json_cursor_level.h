// The stack of a JsonCursor.
#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <string>

#include "grammar/json_cursor.h"

namespace axk1 {

// A key of an open object. Lists share their beginnings.
struct JsonCursor::Key {
  uint32_t refs = 1;
  size_t hash;
  std::string text;
  Key* before;
};

// An open container. Never changed once it has been shared.
struct JsonCursor::Level {
  struct Rule {
    NodeId node;  // that the container's own place wants
    uint32_t rule;
    NodeId child;      // what the next or current value must be
    uint32_t missing;  // required keys that have not come
  };

  uint32_t refs = 1;
  bool object = false;
  uint32_t depth = 1;  // 1: the outermost
  uint32_t count = 0;  // items; or keys, with the current one
  Level* below = nullptr;
  Key* keys = nullptr;
  boost::container::small_vector<Rule, 2> rules;
  uint32_t words_per_rule = 0;
  boost::container::small_vector<uint64_t, 4> seen;  // names, by rule

  bool saw(size_t rule, uint32_t name) const {
    return seen[rule * words_per_rule + name / 64] >> (name % 64) & 1;
  }
};

}  // namespace axk1
