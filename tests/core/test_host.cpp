#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "src/core/cgroup.h"
#include "tests/support/expect_error.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <sched.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <regex>
#include <vector>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

void put(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
}

/// A fake root with a cgroup v2 tree mounted and this process in /a/b.
void make_v2(const TempDir& root) {
    put(root.path() / "proc/self/cgroup", "0::/a/b\n");
    put(root.path() / "proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "29 22 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
    fs::create_directories(root.path() / "sys/fs/cgroup/a/b");
}

TEST(Cgroup, WithoutOneThereIsNoLimit) {
    const TempDir root;
    const CgroupLimits limits = read_cgroup_limits(root.path());
    EXPECT_EQ(limits.cpus, 0);
    EXPECT_EQ(limits.memory_bytes, 0);
}

TEST(Cgroup, V2TakesTheTightestOfAllAncestors) {
    const TempDir root;
    make_v2(root);
    const fs::path cg = root.path() / "sys/fs/cgroup";
    put(cg / "a/cpu.max", "150000 100000\n");
    put(cg / "a/b/cpu.max", "max 100000\n");
    put(cg / "a/memory.max", "8589934592\n");
    put(cg / "a/memory.current", "1073741824\n");
    put(cg / "a/b/memory.max", "4294967296\n");
    put(cg / "a/b/memory.current", "3221225472\n");
    put(cg / "a/b/memory.stat", "anon 1\ninactive_file 536870912\nactive_file 7\n");
    const CgroupLimits limits = read_cgroup_limits(root.path());
    EXPECT_DOUBLE_EQ(limits.cpus, 1.5);
    EXPECT_EQ(limits.memory_bytes, int64_t{4} << 30);
    EXPECT_EQ(limits.memory_free_bytes, (int64_t{1} << 30) + (int64_t{1} << 29));
}

TEST(Cgroup, V2WithoutLimitsSaysNone) {
    const TempDir root;
    make_v2(root);
    put(root.path() / "sys/fs/cgroup/a/b/memory.max", "max\n");
    put(root.path() / "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    const CgroupLimits limits = read_cgroup_limits(root.path());
    EXPECT_EQ(limits.cpus, 0);
    EXPECT_EQ(limits.memory_bytes, 0);
}

TEST(Cgroup, V1ReadsQuotaAndLimitOfItsControllers) {
    const TempDir root;
    put(root.path() / "proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n3:pids:/job\n");
    put(root.path() / "proc/self/mountinfo",
        "30 22 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "31 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    const fs::path cg = root.path() / "sys/fs/cgroup";
    put(cg / "cpu/job/cpu.cfs_quota_us", "250000\n");
    put(cg / "cpu/job/cpu.cfs_period_us", "100000\n");
    put(cg / "cpu/cpu.cfs_quota_us", "-1\n");
    put(cg / "cpu/cpu.cfs_period_us", "100000\n");
    put(cg / "memory/job/memory.limit_in_bytes", "1000000000\n");
    put(cg / "memory/job/memory.usage_in_bytes", "900000000\n");
    put(cg / "memory/memory.limit_in_bytes", "9223372036854771712\n");
    const CgroupLimits limits = read_cgroup_limits(root.path());
    EXPECT_DOUBLE_EQ(limits.cpus, 2.5);
    EXPECT_EQ(limits.memory_bytes, 1000000000);
    EXPECT_EQ(limits.memory_free_bytes, 100000000);
}

TEST(Cgroup, AContainerSeesItsMountPointAsItsOwnGroup) {
    const TempDir root;
    put(root.path() / "proc/self/cgroup", "0::/docker/abc\n");
    put(root.path() / "proc/self/mountinfo",
        "29 22 0:25 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put(root.path() / "sys/fs/cgroup/cpu.max", "200000 100000\n");
    EXPECT_DOUBLE_EQ(read_cgroup_limits(root.path()).cpus, 2.0);
}

TEST(Cgroup, MemoryInUseIsThatOfTheNearestGroupThatSaysIt) {
    const TempDir root;
    EXPECT_FALSE(read_cgroup_memory(root.path()));
    make_v2(root);
    EXPECT_FALSE(read_cgroup_memory(root.path()));
    put(root.path() / "sys/fs/cgroup/a/memory.current", "2000\n");
    EXPECT_EQ(read_cgroup_memory(root.path()), 2000);
    put(root.path() / "sys/fs/cgroup/a/b/memory.current", "1000\n");
    EXPECT_EQ(read_cgroup_memory(root.path()), 1000);
}

TEST(Cgroup, V1TellsMemoryInUseInItsOwnHierarchy) {
    const TempDir root;
    put(root.path() / "proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n0::/job\n");
    put(root.path() / "proc/self/mountinfo",
        "31 22 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put(root.path() / "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "900\n");
    EXPECT_EQ(read_cgroup_memory(root.path()), 900);
}

TEST(Cgroup, NonsenseInItsFilesIsNoLimit) {
    const TempDir root;
    make_v2(root);
    for (const char* text : {"", "x y\n", "0 0\n", "-5 100000\n", "1e999 1\n"}) {
        put(root.path() / "sys/fs/cgroup/a/b/cpu.max", text);
        put(root.path() / "sys/fs/cgroup/a/b/memory.max", text);
        EXPECT_EQ(read_cgroup_limits(root.path()).cpus, 0) << text;
        EXPECT_EQ(read_cgroup_limits(root.path()).memory_bytes, 0) << text;
    }
}

TEST(Host, CoresFollowTheAffinityMask) {
    cpu_set_t before;
    ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
    EXPECT_GE(usable_cores(), 1);
    EXPECT_LE(usable_cores(), CPU_COUNT(&before));
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &before) && CPU_COUNT(&one) == 0) CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(usable_cores(), 1);
    ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(Host, KnowsThisMachine) {
    const test::Finished uname = test::run_program({"uname", "-n"});
    EXPECT_EQ(host().hostname + "\n", uname.out);
    EXPECT_GT(host().memory_bytes, 0);
    EXPECT_GT(available_memory_bytes(), 0);
    EXPECT_LE(available_memory_bytes(), host().memory_bytes);
    EXPECT_EQ(host().boot_id.size(), 36u);
}

TEST(Host, MemoryFiguresGrowWithUse) {
    const int64_t before = resident_bytes();
    std::vector<char> block(64 << 20);
    std::memset(block.data(), 1, block.size());
    EXPECT_GE(resident_bytes(), before + (60 << 20));
    EXPECT_GE(peak_resident_bytes(), resident_bytes());
}

TEST(Host, FreeDiskIsKnownForPathsThatAreNotThereYet) {
    const TempDir dir;
    EXPECT_GT(free_disk_bytes(dir.path()), 0);
    EXPECT_GT(free_disk_bytes(dir.file("a") / "b" / "c"), 0);
}

TEST(Host, KnowsTheFirstCacheAsTheProcessorTellsIt) {
    const long told = ::sysconf(_SC_LEVEL1_DCACHE_SIZE);  // the C library asks the processor
    if (told <= 0 || cache_bytes(1) == 0) GTEST_SKIP() << "the size of the first cache is unknown";
    EXPECT_EQ(cache_bytes(1), told);
    EXPECT_GE(cache_bytes(2), told);
    EXPECT_EQ(cache_bytes(9), 0);
}

TEST(Host, TimesHaveTheirForms) {
    EXPECT_TRUE(std::regex_match(utc_now(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")));
    EXPECT_TRUE(std::regex_match(utc_stamp(), std::regex(R"(\d{8}T\d{6}Z)")));
    const double a = steady_seconds(), b = steady_seconds();
    EXPECT_LE(a, b);
    EXPECT_GT(wall_seconds(), 1.7e9);
}

/// The flags line of /proc/cpuinfo: the kernel's own reading of CPUID.
bool kernel_says(const std::string& flag) {
    return std::regex_search(read_file("/proc/cpuinfo"),
                             std::regex("\\nflags[^\\n]* " + flag + "[ \\n]"));
}

/// Runs `action` with KNLP_ISA set, in a child, because the choice is made once.
int status_with_isa(const char* value, Isa expected) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("KNLP_ISA", value, 1);
        try {
            ::_exit(isa() == expected ? 0 : 1);
        } catch (const Error& error) {
            ::_exit(10 + exit_status(error.kind()));
        }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

TEST(IsaChoice, AgreesWithTheKernel) {
    const bool avx2 = kernel_says("avx2") && kernel_says("fma") && kernel_says("f16c");
    const bool avx512 = kernel_says("avx512f") && kernel_says("avx512bw") &&
                        kernel_says("avx512dq") && kernel_says("avx512vl");
    EXPECT_EQ(status_with_isa("", avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kScalar), 0);
    EXPECT_EQ(has_avx512_bf16(), avx512 && kernel_says("avx512_bf16"));
    EXPECT_EQ(status_with_isa("avx512", Isa::kAvx512), avx512 ? 0 : 15);
    EXPECT_EQ(status_with_isa("avx2", Isa::kAvx2), avx2 ? 0 : 15);
}

TEST(IsaChoice, CanBeForcedDownAndRefusesOtherWords) {
    EXPECT_EQ(status_with_isa("scalar", Isa::kScalar), 0);
    EXPECT_EQ(status_with_isa("AVX512", Isa::kScalar), 12);
    EXPECT_EQ(status_with_isa("sse", Isa::kScalar), 12);
}

}  // namespace
}  // namespace knlp
