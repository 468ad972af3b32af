#include "knlp/core/memory.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace knlp {
namespace {

int64_t page_faults() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/// Takes 20 MiB, writes them and gives them back; the compiler must not leave that out.
void use_and_free() {
    constexpr size_t kBytes = size_t{20} << 20;
    void* block = std::malloc(kBytes);
    std::memset(block, 1, kBytes);
    asm volatile("" : : "r"(block) : "memory");
    std::free(block);
}

TEST(Memory, FreedBlocksAreTakenAgainWithoutFaults) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer has its own malloc";
#endif
    keep_freed_memory();
    use_and_free();
    const int64_t before = page_faults();
    for (int turn = 0; turn < 4; ++turn) use_and_free();
    // Every turn would take 5,120 if the pages went back to the kernel.
    EXPECT_LT(page_faults() - before, 1000);
}

/// Whether the kernel marks the mapping around `address` as wanting huge pages ("hg").
bool wants_huge_pages(const void* address) {
    const auto wanted = reinterpret_cast<uintptr_t>(address);
    std::ifstream maps("/proc/self/smaps");
    bool inside = false;
    for (std::string line; std::getline(maps, line);) {
        unsigned long first = 0, last = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &first, &last) == 2 &&
            line.find('-') < line.find(' '))
            inside = wanted >= first && wanted < last;
        if (inside && line.starts_with("VmFlags:")) return line.find(" hg") != std::string::npos;
    }
    return false;
}

TEST(Memory, HugePagesAreAskedForFromTwoMebibytes) {
    if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"))
        GTEST_SKIP() << "this kernel has no transparent huge pages";
    constexpr size_t kBytes = size_t{40} << 20;  // a mapping of its own
    char* block = static_cast<char*>(std::malloc(kBytes));
    prefer_huge_pages(block + 100, 1 << 20);
    EXPECT_FALSE(wants_huge_pages(block + kBytes / 2));
    prefer_huge_pages(block + 100, static_cast<int64_t>(kBytes) - 100);
    EXPECT_TRUE(wants_huge_pages(block + kBytes / 2));
    std::free(block);
}

TEST(Memory, ForgottenPagesOfAFileAreReadAgain) {
    std::FILE* file = std::tmpfile();
    ASSERT_NE(file, nullptr);
    const std::string text(100000, 'x');
    ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file), text.size());
    std::fflush(file);
    void* at = ::mmap(nullptr, text.size(), PROT_READ, MAP_PRIVATE, ::fileno(file), 0);
    ASSERT_NE(at, MAP_FAILED);
    const auto* bytes = static_cast<const char*>(at);
    const auto readable = [&] { return std::string_view(bytes, text.size()) == text; };
    ASSERT_TRUE(readable());
    const int64_t before = page_faults();
    forget_pages(bytes + 10, 50000);  // neither end on a page: 11 whole ones
    EXPECT_TRUE(readable());
    EXPECT_GT(page_faults(), before);
    ::munmap(at, text.size());
    std::fclose(file);
}

}  // namespace
}  // namespace knlp
