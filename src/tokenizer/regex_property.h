// Names of Unicode properties in patterns.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace axk1 {

// What PCRE2 10.42 calls the property that Oniguruma and Rust mean by `name`: general categories by
// short or long name, scripts (as sc:, without the extensions), binary properties. Case, blanks,
// hyphens and underscores do not count. Nothing when PCRE2 knows no such property.
std::optional<std::string> regex_property(std::string_view name);

}  // namespace axk1
