// The filters, tests and global functions of Jinja2, with tojson, raise_exception and strftime_now
// as Hugging Face transformers defines them.
#pragma once

#include <span>

#include "chat/jinja_runtime.h"

namespace axk1::jinja {

struct Filter {
  std::string_view name;
  Native apply;  // `self` is the value in front of the |
};

struct Test {
  std::string_view name;
  bool (*holds)(Runtime&, const Value&, const Args&);
};

std::span<const Filter> text_filters();
std::span<const Filter> number_filters();
std::span<const Filter> sequence_filters();
std::span<const Filter> functional_filters();  // map, select, ...: those that apply others
std::span<const Test> tests();

// Null when there is none of that name.
Native find_filter(std::string_view name);
Native find_global(std::string_view name);

Value call_filter(Runtime& runtime, std::string_view name, const Value& value, const Args& args);
bool call_test(Runtime& runtime, std::string_view name, const Value& value, const Args& args);

// item.part.part by "a.b.0"; the default stands for every undefined part when it is not None.
Value attribute_path(Runtime& runtime, const Value& item, const Value& path, const Value& absent);

}  // namespace axk1::jinja
