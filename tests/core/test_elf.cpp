#include "knlp/core/elf.h"

#include "knlp/core/file.h"

#include "tests/support/expect_error.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>

namespace knlp {
namespace {

using test::TempDir;

/// A shared library as small as it can be: header, two program headers, dynamic section, string
/// table.
std::string library(const std::vector<std::string>& needed, const std::string& runpath) {
    std::string strings(1, '\0');
    std::vector<Elf64_Dyn> dynamic;
    const auto add = [&](Elf64_Sxword tag, const std::string& text) {
        Elf64_Dyn entry{};
        entry.d_tag = tag;
        entry.d_un.d_val = strings.size();
        dynamic.push_back(entry);
        strings += text + '\0';
    };
    for (const std::string& name : needed) add(DT_NEEDED, name);
    add(DT_RUNPATH, runpath);
    const uint64_t at_dynamic = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
    const uint64_t at_strings = at_dynamic + (dynamic.size() + 1) * sizeof(Elf64_Dyn);
    dynamic.push_back({.d_tag = DT_STRTAB, .d_un = {.d_val = at_strings}});

    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    Elf64_Phdr load{}, dyn{};
    load.p_type = PT_LOAD;
    load.p_filesz = at_strings + strings.size();
    dyn.p_type = PT_DYNAMIC;
    dyn.p_offset = at_dynamic;
    dyn.p_filesz = dynamic.size() * sizeof(Elf64_Dyn);
    std::string bytes;
    const auto put = [&bytes](const void* data, size_t size) {
        bytes.append(static_cast<const char*>(data), size);
    };
    put(&header, sizeof(header));
    put(&load, sizeof(load));
    put(&dyn, sizeof(dyn));
    put(dynamic.data(), dynamic.size() * sizeof(Elf64_Dyn));
    return bytes + strings;
}

void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

TEST(Elf, NeededAndSearchPathAreRead) {
    const TempDir dir;
    write(dir.file("liba.so"), library({"libb.so", "libc.so.6"}, "$ORIGIN/sub:${ORIGIN}:/opt/x"));
    const ElfNeeds needs = read_elf_needs(dir.file("liba.so"));
    EXPECT_THAT(needs.needed, testing::ElementsAre("libb.so", "libc.so.6"));
    EXPECT_THAT(needs.search, testing::ElementsAre(dir.path() / "sub", dir.path(), "/opt/x"));
}

TEST(Elf, MissingLibrariesAreFoundThroughThoseThatAreThere) {
    const TempDir dir;
    write(dir.file("liba.so"), library({"libb.so", "libgone.so.1"}, "$ORIGIN"));
    write(dir.file("libb.so"), library({"liba.so", "libdeep.so.2"}, "$ORIGIN"));
    EXPECT_THAT(unresolved_libraries(dir.file("liba.so")),
                testing::ElementsAre("libdeep.so.2", "libgone.so.1"));
}

TEST(Elf, AgreesWithTheLinkersListOfThisProgram) {
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
    const test::Finished dumped = test::run_program({"readelf", "-d", self.string()});
    if (dumped.status != 0) GTEST_SKIP() << "readelf is not installed";
    const ElfNeeds needs = read_elf_needs(self);
    EXPECT_FALSE(needs.needed.empty());
    for (const std::string& name : needs.needed)
        EXPECT_THAT(dumped.out, testing::HasSubstr("[" + name + "]"));
}

TEST(Elf, DamagedFilesAreDataErrors) {
    const TempDir dir;
    const std::string whole = library({"libb.so"}, "$ORIGIN");
    write(dir.file("text"),
          "not a library, but long enough to hold the header of one: " + std::string(100, '.'));
    test::expect_error(kData, {"text", "ELF"}, [&] { read_elf_needs(dir.file("text")); });
    for (size_t length = 0; length < whole.size(); length += 7) {
        write(dir.file("cut"), whole.substr(0, length));
        try {
            read_elf_needs(dir.file("cut"));
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kData) << length;
        }
    }
    uint32_t state = 7;
    for (int round = 0; round < 200; ++round) {
        std::string bytes = whole;
        for (int change = 0; change < 4; ++change) {
            state = state * 1664525u + 1013904223u;
            bytes[(state >> 8) % bytes.size()] = static_cast<char>(state >> 24);
        }
        write(dir.file("hostile"), bytes);
        try {
            EXPECT_LE(read_elf_needs(dir.file("hostile")).needed.size(), whole.size());
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kData) << "round " << round;
        }
    }
}

TEST(BuildId, IsTheOneInTheFileOfTheProgram) {
    const std::string file = read_file("/proc/self/exe");
    // Of a note: lengths of name and content, its type, the name.
    const std::string head("\4\0\0\0\x14\0\0\0\3\0\0\0GNU\0", 16);
    const size_t at = file.find(head);
    if (at == std::string::npos) GTEST_SKIP() << "linked without a build id of 20 bytes";
    std::string wanted;
    for (const char c : file.substr(at + head.size(), 20))
        wanted += fmt::format("{:02x}", static_cast<unsigned char>(c));
    EXPECT_EQ(own_build_id(), wanted);
}

}  // namespace
}  // namespace knlp
