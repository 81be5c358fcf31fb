#include "model/plan.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "testing/shared_data.h"

namespace axk1 {
namespace {

class ControlGroups : public ::testing::Test {
 protected:
  void limit(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(
        std::filesystem::path(dir_.path() + "/" + file).parent_path());
    dir_.write(file, text);
  }
  uint64_t found(const std::string& process) {
    return control_group_memory_bytes(dir_.path(), dir_.write("process", process));
  }
  testing::TempDir dir_;
};

TEST_F(ControlGroups, NoneMeansNoLimit) {
  EXPECT_EQ(found("0::/\n"), 0u);
  EXPECT_EQ(control_group_memory_bytes(dir_.path(), dir_.path() + "/none"), 0u);
  limit("memory.max", "max\n");
  EXPECT_EQ(found("0::/\n"), 0u);
}

TEST_F(ControlGroups, TheLowestOfTheGroupAndThoseAround) {
  limit("memory.max", "9000\n");
  limit("a/memory.max", "3000\n");
  limit("a/b/memory.max", "max\n");
  limit("c/memory.max", "10\n");
  EXPECT_EQ(found("0::/\n"), 9000u);
  EXPECT_EQ(found("0::/a\n"), 3000u);
  EXPECT_EQ(found("0::/a/b\n"), 3000u);
  EXPECT_EQ(found("0::/not/to/be/seen\n"), 9000u);
  EXPECT_EQ(found("nonsense\n:\n::\n0::\n0::x\n"), 9000u);
}

TEST_F(ControlGroups, VersionOne) {
  limit("memory/memory.limit_in_bytes", "9223372036854771712\n");
  limit("memory/docker/x/memory.limit_in_bytes", "5000\n");
  EXPECT_EQ(found("5:cpu,memory:/docker/x\n1:name=systemd:/\n"), 5000u);
  EXPECT_EQ(found("5:cpu:/docker/x\n"), 9223372036854771712u);
}

TEST(MachineMemory, IsKnown) {
  EXPECT_GT(machine_memory_bytes(), uint64_t{1} << 20);
}

}  // namespace
}  // namespace axk1
