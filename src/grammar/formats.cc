#include "grammar/formats.h"

#include <string>

#include "base/text.h"
#include "grammar/pattern.h"

namespace axk1 {
namespace {

// RFC 3339 section 5.6, without leap seconds; days as the month, and the year, have them.
std::string date() {
  const std::string year = "\\d{4}";
  const std::string divisible_by_4 = "(?:0[48]|[2468][048]|[13579][26])";
  const std::string leap = "(?:\\d{2}" + divisible_by_4 + "|(?:[02468][048]|[13579][26])00)";
  return "(?:" + year + "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])" +
         "|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|" + leap + "-02-29)";
}

const std::string kTime =
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";

const std::string kDuration =  // RFC 3339 appendix A
    "P(?:\\d+W|(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)"
    "(?:T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S))?"
    "|T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S))";

const std::string kByte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const std::string kIpv4 = "(?:" + kByte + "\\.){3}" + kByte;

// RFC 4291 section 2.2.
std::string ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string last = "(?:" + h + ":" + h + "|" + kIpv4 + ")";
  std::string all = "(?:(?:" + h + ":){6}" + last;
  for (int left = 0; left <= 5; ++left) {  // groups in front of the ::
    const std::string front = left == 0 ? "" : cat("(?:(?:", h, ":){0,", left - 1, "}", h, ")?");
    const int behind = 5 - left;
    all += cat("|", front, "::", behind > 0 ? cat("(?:", h, ":){", behind, "}") : "", last);
  }
  const auto front = [&](int most) { return cat("(?:(?:", h, ":){0,", most - 1, "}", h, ")?"); };
  all += cat("|", front(6), "::", h, "|", front(7), "::)");
  return all;
}

// RFC 1123 labels. The third and fourth characters of none are "--", so that no A-label is taken
// whose Punycode would have to be decoded. Trailing dots are left out.
const std::string kLabel = [] {
  const std::string l = "[A-Za-z0-9]", h = "[A-Za-z0-9-]";
  return cat(l, "(?:", l, "|", h, l, "(?:", h, "{0,59}", l, ")?|", h, "-", l, "(?:", h, "{0,58}", l,
             ")?)?");
}();
const std::string kHostname = kLabel + "(?:\\." + kLabel + ")*";

// RFC 5321 Mailbox with a dot-string and a domain name: no quoted strings, no address literals.
const std::string kAtom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const std::string kEmail = kAtom + "(?:\\." + kAtom + ")*@" + kHostname;

// RFC 3986. IPvFuture is left out.
struct Uri {
  std::string pct = "%[0-9A-Fa-f]{2}";
  std::string unreserved_delims = "-A-Za-z0-9._~!$&'()*+,;=";
  std::string pchar = "(?:[" + unreserved_delims + ":@]|" + pct + ")";
  std::string host = "(?:\\[" + ipv6() + "\\]|(?:[" + unreserved_delims + "]|" + pct + ")*)";
  std::string authority =
      "(?:(?:[" + unreserved_delims + ":]|" + pct + ")*@)?" + host + "(?::\\d*)?";
  std::string segments = "(?:/" + pchar + "*)*";
  std::string absolute = "/(?:" + pchar + "+" + segments + ")?";
  std::string rest = "(?:\\?(?:" + pchar + "|[/?])*)?(?:#(?:" + pchar + "|[/?])*)?";
  std::string scheme = "[A-Za-z][A-Za-z0-9+.-]*";

  std::string uri() const {
    return scheme + ":(?://" + authority + segments + "|" + absolute + "|" + pchar + "+" +
           segments + "|)" + rest;
  }
  std::string reference() const {
    const std::string no_colon = "(?:[" + unreserved_delims + "@]|" + pct + ")";
    return "(?:" + uri() + "|(?://" + authority + segments + "|" + absolute + "|" + no_colon + "+" +
           segments + "|)" + rest + ")";
  }
};

std::optional<std::string> pattern_of(std::string_view format) {
  if (format == "date") return date();
  if (format == "time") return kTime;
  if (format == "date-time") return date() + "[Tt]" + kTime;
  if (format == "duration") return kDuration;
  if (format == "uuid") return "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
  if (format == "ipv4") return kIpv4;
  if (format == "ipv6") return ipv6();
  if (format == "hostname") return kHostname;
  if (format == "email") return kEmail;
  if (format == "uri") return Uri().uri();
  if (format == "uri-reference") return Uri().reference();
  if (format == "json-pointer") return "(?:/(?:[^~/]|~[01])*)*";
  if (format == "relative-json-pointer") {
    return "(?:0|[1-9]\\d*)(?:#|(?:/(?:[^~/]|~[01])*)*)";
  }
  return std::nullopt;
}

}  // namespace

std::optional<StringRule> string_rule_of_format(std::string_view format) {
  const std::optional<std::string> pattern = pattern_of(format);
  if (!pattern) return std::nullopt;
  StringRule rule;
  rule.texts = std::make_shared<TextDfa>(compile_pattern("^(?:" + *pattern + ")$"));
  if (format == "hostname") rule.max = 253;
  if (format == "email") rule.max = 254;
  return rule;
}

}  // namespace axk1
