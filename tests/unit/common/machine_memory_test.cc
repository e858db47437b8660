#include "common/machine_memory.h"

#include <filesystem>
#include <fstream>

#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

void Write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST_CASE("machine memory: what is free and its own, or less by a control group", "[unit]") {
  const testing::TempFolder folder;
  const std::filesystem::path proc = folder.path() / "proc", groups = folder.path() / "cgroup";
  const auto memory = [&] { return MachineMemoryBytes(proc, groups); };
  CHECK(memory() == 0);
  Write(proc / "meminfo", "MemTotal:       8000 kB\nMemAvailable:   6000 kB\n");
  Write(proc / "self" / "status", "Name:\tx\nVmRSS:\t    1000 kB\n");
  CHECK(memory() == 7000 * 1024);
  // v1: no limit is a number near 2^63; limits of groups above count.
  Write(proc / "self" / "cgroup", "5:cpu:/x\n4:memory:/a/b\n0::/\n");
  Write(groups / "memory" / "memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(memory() == 7000 * 1024);
  Write(groups / "memory" / "a" / "memory.limit_in_bytes", "3000000\n");
  Write(groups / "memory" / "a" / "b" / "memory.limit_in_bytes", "4000000\n");
  CHECK(memory() == 3000000);
  // v2.
  Write(proc / "self" / "cgroup", "0::/c\n");
  Write(groups / "c" / "memory.max", "max\n");
  CHECK(memory() == 7000 * 1024);
  Write(groups / "c" / "memory.max", "2000000\n");
  CHECK(memory() == 2000000);
  // In a container the group is mounted as the root, and its path is that of the host.
  Write(proc / "self" / "cgroup", "0::/somewhere/else\n");
  Write(groups / "memory.max", "1000000\n");
  CHECK(memory() == 1000000);
  Write(groups / "else" / "memory.max", "900000\n");
  CHECK(memory() == 900000);
}

TEST_CASE("machine memory: this machine has some", "[unit]") {
  CHECK(MachineMemoryBytes() > (uint64_t{16} << 20));
}

}  // namespace mentor::TEST_FILE
