#include "apps/message_assembler.h"

#include <gtest/gtest.h>

#include <vector>

namespace axk1 {
namespace {

// The messages that the lines make; what is not complete at the end follows "...".
std::vector<std::string> assemble(const std::vector<std::string>& lines) {
  MessageAssembler assembler;
  std::vector<std::string> messages;
  for (const std::string& line : lines) {
    if (assembler.push(line)) messages.push_back(assembler.take());
  }
  if (!assembler.empty()) messages.push_back("..." + assembler.take());
  return messages;
}

using Strings = std::vector<std::string>;

TEST(MessageAssembler, OneLineIsOneMessage) {
  EXPECT_EQ(assemble({"안녕", "", "b\r"}), (Strings{"안녕", "", "b"}));
}

TEST(MessageAssembler, BackslashGoesOn) {
  EXPECT_EQ(assemble({"a\\", "b\\", "c", "d"}), (Strings{"a\nb\nc", "d"}));
  EXPECT_EQ(assemble({"a\\"}), (Strings{"...a\n"}));
  EXPECT_EQ(assemble({"\\", "x"}), (Strings{"\nx"}));
}

TEST(MessageAssembler, Block) {
  EXPECT_EQ(assemble({"\"\"\"", "a", "", "b\\", "\"\"\"", "next"}), (Strings{"a\n\nb\\", "next"}));
  EXPECT_EQ(assemble({"\"\"\"a", "b\"\"\"", "next"}), (Strings{"a\nb", "next"}));
  EXPECT_EQ(assemble({"\"\"\"one line\"\"\"", "next"}), (Strings{"one line", "next"}));
  EXPECT_EQ(assemble({"\"\"\"\"\"\"", "next"}), (Strings{"", "next"}));
  EXPECT_EQ(assemble({"\"\"\"", "open"}), (Strings{"...open\n"}));
  EXPECT_EQ(assemble({"a \"\"\" b"}), (Strings{"a \"\"\" b"}));
}

TEST(MessageAssembler, TakeForgetsAnOpenBlock) {
  MessageAssembler assembler;
  EXPECT_FALSE(assembler.push("\"\"\"dropped"));
  EXPECT_FALSE(assembler.empty());
  assembler.take();
  EXPECT_TRUE(assembler.empty());
  EXPECT_TRUE(assembler.push("kept"));
  EXPECT_EQ(assembler.take(), "kept");
}

}  // namespace
}  // namespace axk1
