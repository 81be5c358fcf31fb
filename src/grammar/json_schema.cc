#include "grammar/json_schema.h"

#include <set>

#include "base/error.h"
#include "grammar/grammar.h"
#include "grammar/schema_reader.h"

namespace axk1 {
namespace {

// Runs what works out nodes, and says of failures what they mean for a schema.
template <class Make>
auto with_errors(Make&& make) {
  try {
    return make();
  } catch (const NodeStore::NeedsItself&) {
    fail(ErrorCode::kInvalidInput,
         "schema: a $ref leads back to itself without a property or an item in between");
  } catch (const NodeStore::NotExact& inside) {
    throw UnsupportedSchema(inside.what, cat("schema: ", inside.what, ": not supported here"));
  }
}

Node any_object() {
  Node node;
  node.objects.emplace_back();
  return node;
}

}  // namespace

std::shared_ptr<const Grammar> compile_json_schema(const json::value& schema) {
  return with_errors([&] {
    NodeStore nodes;
    SchemaReader reader(schema, nodes);
    return std::make_shared<const Grammar>(nodes, reader.root());
  });
}

std::shared_ptr<const Grammar> compile_any_json_object() {
  NodeStore nodes;
  const NodeId root = nodes.add(any_object());
  return std::make_shared<const Grammar>(nodes, root);
}

std::shared_ptr<const Grammar> compile_tool_calls(std::span<const ToolSchema> tools) {
  if (tools.empty()) fail(ErrorCode::kInvalidInput, "tools: found none, expected at least one");
  NodeStore nodes;
  const NodeId object = nodes.add(any_object());
  std::deque<SchemaReader> readers;
  std::set<std::string> names;
  Node calls;
  for (const ToolSchema& tool : tools) {
    if (!names.insert(tool.name).second) {
      fail(ErrorCode::kInvalidInput, "tools: two have the name \"", printable(tool.name), "\"");
    }
    try {
      with_errors([&] {
        readers.emplace_back(tool.parameters, nodes);
        const NodeId arguments = nodes.intersection({object, readers.back().root()});
        // Compiled alone first, so that what is wrong is told with the name of the tool.
        Grammar(nodes, arguments);
        Node name;
        name.strings.push_back(
            {std::make_shared<TextDfa>(TextDfa::of_texts({tool.name})), 0, kNoMax});
        ObjectRule call;
        call.in_order = true;
        call.order = {"name", "arguments"};
        call.required = {"name", "arguments"};
        call.parts.emplace_back();
        call.parts[0].properties = {{"name", nodes.add(std::move(name))}, {"arguments", arguments}};
        calls.objects.push_back(std::move(call));
        return 0;
      });
    } catch (const UnsupportedSchema& error) {
      throw UnsupportedSchema(error.keyword(),
                              cat("tool \"", printable(tool.name), "\": ", error.what()));
    } catch (const EmptySchema& error) {
      throw EmptySchema(cat("tool \"", printable(tool.name), "\": ", error.what()));
    } catch (const Error& error) {
      fail(error.code(), "tool \"", printable(tool.name), "\": ", error.what());
    }
  }
  const NodeId root = nodes.add(std::move(calls));
  return std::make_shared<const Grammar>(nodes, root);
}

}  // namespace axk1
