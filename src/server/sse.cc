#include "server/sse.h"

namespace axk1 {
namespace {

void append_json(std::string& out, const json::object& data) {
  boost::json::serializer serializer;
  serializer.reset(&data);
  char buffer[1024];
  while (!serializer.done()) {
    const auto piece = serializer.read(buffer, sizeof buffer);
    out.append(piece.data(), piece.size());
  }
}

}  // namespace

void append_event(std::string& out, const json::object& data) {
  out += "data: ";
  append_json(out, data);
  out += "\n\n";
}

void append_event(std::string& out, std::string_view name, const json::object& data) {
  out += "event: ";
  out += name;
  out += '\n';
  append_event(out, data);
}

void append_done(std::string& out) {
  out += "data: [DONE]\n\n";
}

void append_comment(std::string& out, std::string_view text) {
  out += ": ";
  out += text;
  out += "\n\n";
}

}  // namespace axk1
